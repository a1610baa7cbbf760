package redisdb

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

// The oldest servers that the scripts run on.
const (
	leastRedis  = 7
	leastValkey = 8
)

// Persistence is how a server keeps what it was told, weakest first in what it promises.
type Persistence string

// The kinds of persistence. Whether a file is synced is asked with CONFIG, which some services block.
const (
	NoPersistence Persistence = "none"
	Snapshots     Persistence = "rdb"
	AOF           Persistence = "aof" // fsync policy unknown
	AOFNo         Persistence = "aof-no"
	AOFEverySec   Persistence = "aof-everysec"
	AOFAlways     Persistence = "aof-always"
)

// A Server is what a Redis says about itself. Fields that it does not tell are empty.
type Server struct {
	Product     string // redis or valkey
	Version     string
	Mode        string // standalone, cluster, sentinel
	Role        string // master, slave
	RunID       string
	Policy      string // maxmemory-policy
	Persistence Persistence
	Replicas    int // those in step
	// Memory is used, MaxMemory is its bound; 0 is none.
	Memory, MaxMemory int64
}

// Look asks the server that key belongs to about itself.
func (db *DB) Look(ctx context.Context, key string) (Server, error) {
	ctx, cancel := context.WithTimeout(ctx, db.options.Timeout)
	defer cancel()
	client, err := db.node(ctx, key)
	if err != nil {
		return Server{}, fmt.Errorf("redis: look: %w", db.Fault(context.WithoutCancel(ctx), err))
	}
	info, err := client.Info(ctx).Result()
	if err != nil {
		return Server{}, fmt.Errorf("redis: look: %w", db.Fault(context.WithoutCancel(ctx), err))
	}
	_ = db.Fault(ctx, nil)
	s := read(info)
	if pairs, err := client.Do(ctx, "config", "get", "appendfsync", "save").StringSlice(); err == nil {
		s.configured(pairs)
	}
	db.metrics.looked(s)
	return s, nil
}

// configured adds what CONFIG tells, in pairs of a name and a value.
func (s *Server) configured(pairs []string) {
	for pair := range slices.Chunk(pairs, 2) {
		switch {
		case len(pair) < 2:
		case pair[0] == "appendfsync" && s.Persistence == AOF:
			s.Persistence = AOF + "-" + Persistence(pair[1])
		case pair[0] == "save" && s.Persistence == Snapshots && pair[1] == "":
			s.Persistence = NoPersistence
		}
	}
}

// read reads what INFO answers.
func read(info string) Server {
	fields := make(map[string]string)
	for lines := bufio.NewScanner(strings.NewReader(info)); lines.Scan(); {
		if name, value, ok := strings.Cut(strings.TrimSpace(lines.Text()), ":"); ok {
			fields[name] = value
		}
	}
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(fields[name], 10, 64)
		return n
	}
	s := Server{
		Product: "redis", Version: fields["redis_version"], Mode: fields["redis_mode"], Role: fields["role"],
		RunID: fields["run_id"], Policy: fields["maxmemory_policy"], Persistence: Snapshots,
		Memory: number("used_memory"), MaxMemory: number("maxmemory"),
	}
	if version := fields["valkey_version"]; version != "" {
		s.Product, s.Version = "valkey", version
		s.Mode = fields["server_mode"]
	}
	if fields["aof_enabled"] == "1" {
		s.Persistence = AOF
	}
	for name, value := range fields {
		if strings.HasPrefix(name, "slave") && strings.Contains(value, "state=online") {
			s.Replicas++
		}
	}
	return s
}

// A RefusedError says that a Redis is not one to keep notifications in, and what to do.
type RefusedError struct{ Reasons []error }

// Error gives all reasons.
func (e *RefusedError) Error() string {
	return "this Redis cannot be used: " + strings.ReplaceAll(errors.Join(e.Reasons...).Error(), "\n", "; ")
}

// Check says why the server cannot be used for what the relay promises; nil when it can. What a server does not tell is
// taken as good.
func (db *DB) Check(s Server, allowEviction bool) error {
	var reasons []error
	refuse := func(format string, args ...any) { reasons = append(reasons, fmt.Errorf(format, args...)) }
	least := leastRedis
	if s.Product == "valkey" {
		least = leastValkey
	}
	if major, err := strconv.Atoi(before(s.Version, ".")); err == nil && major < least {
		refuse("it is %s %s, %d.0 or newer is needed", s.Product, s.Version, least)
	}
	if s.Policy != "" && s.Policy != "noeviction" && !allowEviction {
		refuse("its maxmemory-policy is %s, so it may throw away what was accepted: set noeviction, or "+
			"storage.redis.allow_eviction", s.Policy)
	}
	_, single := db.client.(*goredis.Client)
	if s.Mode == "cluster" && single {
		refuse("it is a node of a cluster: name several of its nodes in storage.redis.addresses")
	}
	if len(reasons) == 0 {
		return nil
	}
	return &RefusedError{reasons}
}

// Durable tells whether the server writes down each change. What it does not tell is taken as good.
func (s Server) Durable() bool { return s.Persistence != Snapshots && s.Persistence != NoPersistence }

// Promise says what is kept of what was answered 200, for a person who reads it in the log.
func (s Server) Promise(minAcks int) string {
	var crash string
	switch s.Persistence {
	case AOFAlways:
		crash = "nothing is lost when Redis crashes or loses its power"
	case AOFEverySec:
		crash = "up to two seconds are lost when Redis crashes on a busy disk, or loses its power"
	case AOF, AOFNo:
		crash = "nothing is lost when Redis crashes, an unknown part when it loses its power"
	case Snapshots:
		crash = "what came since its last snapshot is lost when Redis crashes"
	case NoPersistence:
		crash = "everything is lost when Redis restarts"
	}
	if minAcks == 0 {
		return crash + "; the last moments before a failover are lost"
	}
	return fmt.Sprintf("%s; nothing is lost in a failover to one of the %d replicas that have it", crash, minAcks)
}

func before(text, sep string) string {
	text, _, _ = strings.Cut(text, sep)
	return text
}
