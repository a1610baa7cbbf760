package redis

import (
	"embed"
	"strings"

	"github.com/alertrelay/relay/internal/redisdb"
)

//go:embed *.lua
var sources embed.FS

// scripts are the steps that the store is made of.
type scripts struct {
	accept, recall, queues, bind, claim, giveup, settle, lift, stats, history, sweep, requeue, drop,
	restamp, dead, waiting, standing *redisdb.Script
}

// newScripts puts each script together from its file and those that it shares with others.
func newScripts(db *redisdb.DB) scripts {
	source := func(files []string) (name, source string) {
		var b strings.Builder
		b.WriteString(keyNames)
		for _, file := range append([]string{"clock"}, files...) {
			text, _ := sources.ReadFile(file + ".lua") // it is embedded
			b.Write(text)
		}
		return files[len(files)-1], b.String()
	}
	script := func(files ...string) *redisdb.Script {
		s := redisdb.NewScript(source(files))
		db.Prepare(s)
		return s
	}
	joint := func(files ...string) *redisdb.Script {
		s := redisdb.NewJointScript(source(append([]string{"each"}, files...)))
		db.Prepare(s)
		return s
	}
	return scripts{
		accept:  joint("marks", "enqueue", "accept"),
		recall:  script("marks", "recall"),
		queues:  script("queues"),
		bind:    script("bind"),
		claim:   script("lanes", "stamps", "limiters", "leases", "lapse", "take", "fold", "shift", "claim"),
		giveup:  script("lanes", "ending", "giveup"),
		settle:  joint("lanes", "stamps", "ending", "settling", "settle"),
		lift:    script("lanes", "lift"),
		stats:   script("enqueue", "stats"),
		history: script("history"),
		sweep:   script("letters", "sweep"),
		requeue: script("lanes", "enqueue", "letters", "requeue"),
		drop:    script("letters", "drop"),
		restamp: script("stamps", "restamp"),

		waiting:  script("waiting"),
		standing: script("lanes", "standing"),
		dead:     script("letters", "dead"),
	}
}
