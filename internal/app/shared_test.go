package app_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/config"
	"github.com/alertrelay/relay/internal/app"
	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/sandbox"
	"github.com/alertrelay/relay/outbox/redis"
)

// inRedis is a configuration with its store in a Redis.
func inRedis(text string, server *parts.Redis) string {
	return fmt.Sprintf("storage: {redis: {addresses: [%q]}}\n%s", server.Address, text)
}

func TestRedisMayBeDownAtStartAndLater(t *testing.T) {
	t.Parallel()
	server := parts.StartRedis(t)
	server.Kill()
	box, text := vendors(t)
	p := launch(t, t.TempDir(), inRedis(text, server), nil)

	down := func() {
		require.Eventually(t, func() bool {
			code, _ := p.do(t, http.MethodGet, "/-/ready", nil)
			return code == http.StatusServiceUnavailable
		}, wait, tick)
		code, answer := p.post(t, "/webhook", notification("HighLatency", firing("checkout")))
		require.Equal(t, http.StatusServiceUnavailable, code)
		require.NotContains(t, answer["error"], server.Address, "where Redis is concerns nobody outside")
		code, _ = p.do(t, http.MethodGet, "/-/healthy", nil)
		require.Equal(t, http.StatusOK, code)
		_, said := p.do(t, http.MethodGet, "/-/ready", nil)
		require.NotContains(t, string(said), server.Address)
		require.Equal(t, "0", p.metric(t, "relay_redis_up"))
	}
	up := func() {
		server.Restart(t)
		require.Eventually(t, func() bool { return p.Ready() == nil }, wait, tick)
	}
	down()
	up()
	p.accept(t, "accepted", notification("HighLatency", firing("checkout")))
	for _, inbox := range inboxes() {
		await(t, box, inbox, 1)
	}
	// On a busy disk a write may wait for up to two seconds; this one takes all before it along.
	server.Do(t, "CONFIG", "SET", "appendfsync", "always")
	server.Do(t, "SET", "synced", "1")
	server.Kill()
	down()
	up()
	p.accept(t, "duplicate", notification("HighLatency", firing("checkout")))
	p.accept(t, "accepted", notification("HighLatency", firing("checkout"), firing("search")))
	for _, inbox := range inboxes() {
		await(t, box, inbox, 2)
	}
	require.Equal(t, 2, strings.Count(p.logs.String(), "Redis is unavailable: what needs it"), "once each time it went down")
	require.Equal(t, 2, strings.Count(p.logs.String(), "Redis is available again"))
	require.Eventually(t, func() bool {
		return strings.Contains(p.logs.String(), "up to two seconds are lost when Redis crashes on a busy disk, or loses its power")
	}, wait, tick)
}

func TestARedisThatCannotKeepThePromiseIsRefused(t *testing.T) {
	t.Parallel()
	server := parts.StartRedis(t, "--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru")
	_, text := vendors(t)
	load := func(text string) *config.Config {
		c, err := config.Parse("config.yaml", []byte(text))
		require.NoError(t, err)
		return c
	}
	_, err := app.New(t.Context(), load(inRedis(text, server)), app.Options{})
	require.EqualError(t, err, "this Redis cannot be used: its maxmemory-policy is allkeys-lru, so it may throw away what "+
		"was accepted: set noeviction, or storage.redis.allow_eviction")

	var said logs
	allowed := strings.Replace(inRedis(text, server), "addresses:", "allow_eviction: true, addresses:", 1)
	a, err := app.New(t.Context(), load(allowed), app.Options{Logger: slog.New(slog.NewTextHandler(&said, nil))})
	require.NoError(t, err)
	require.NoError(t, a.Close())
	require.Contains(t, said.String(), "Redis is in use, but it may throw away what was accepted")
}

func TestRelaysShareOneRedis(t *testing.T) {
	t.Parallel()
	server := parts.StartRedis(t)
	box, text := vendors(t)
	var relays []*process
	for range 3 {
		relays = append(relays, start(t, t.TempDir(), inRedis(text, server), nil))
	}

	const copies = 64
	var mu sync.Mutex
	answers := map[string]int{}
	ids := map[string]bool{}
	n := notification("HighLatency", firing("checkout"))
	var all sync.WaitGroup
	for i := range copies {
		all.Go(func() {
			code, answer := relays[i%len(relays)].post(t, "/webhook", n)
			mu.Lock()
			defer mu.Unlock()
			answers[fmt.Sprint(code, " ", answer["status"])]++
			ids[answer["id"]] = true
		})
	}
	all.Wait()
	require.Equal(t, map[string]int{"200 accepted": 1, "200 duplicate": copies - 1}, answers)
	require.Len(t, ids, 1)
	for _, inbox := range inboxes() {
		await(t, box, inbox, 1)
	}

	for _, p := range relays { // each shows what all have done
		require.Eventually(t, func() bool {
			_, answer := p.do(t, http.MethodGet, "/api/v1/deliveries?state=sent", nil)
			return strings.Count(string(answer), `"state":"sent"`) == len(inboxes())
		}, wait, tick)
		_, answer := p.do(t, http.MethodGet, "/api/v1/notifications", nil)
		require.Equal(t, 1, strings.Count(string(answer), `"groupKey"`), string(answer))
	}

	// Who accepted it may die: the others tell it.
	box.Slack.Break("", sandbox.FaultStatus(http.StatusInternalServerError))
	relays[0].accept(t, "accepted", notification("HighLatency", firing("checkout"), firing("search")))
	for _, inbox := range []string{sandbox.InboxDingTalk, sandbox.InboxWeCom, sandbox.InboxEmail} {
		await(t, box, inbox, 2)
	}
	relays[0].stop()
	box.Slack.Repair("")
	require.Contains(t, await(t, box, sandbox.InboxSlack, 2), "search is too slow")
}

func TestAReceiverThatAnotherRelayMayKnow(t *testing.T) {
	t.Parallel()
	server := parts.StartRedis(t)
	_, text := vendors(t)
	n := notification("HighLatency", firing("checkout"))
	newer := start(t, t.TempDir(), inRedis(text+"  - {name: newer}\n", server), nil)
	require.Eventually(t, func() bool {
		code, _ := newer.post(t, "/webhook/unknown", n)
		return code == http.StatusNotFound
	}, wait, tick, "all relays that are there know what there is")

	older := start(t, t.TempDir(), inRedis(text, server), nil)
	require.Eventually(t, func() bool { return older.metric(t, "relay_configs_seen") == "2" }, wait, tick)
	code, answer := older.post(t, "/webhook/newer", n)
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.NotEmpty(t, answer["error"])
	require.Contains(t, older.logs.String(), "another relay may know it")
	code, _ = newer.post(t, "/webhook/newer", n)
	require.Equal(t, http.StatusOK, code)

	newer.stop()
	code, _ = older.post(t, "/webhook/newer", n)
	require.Equal(t, http.StatusServiceUnavailable, code, "it may come back")
	server.Do(t, "EVAL", `for _, config in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
		redis.call('ZINCRBY', KEYS[1], -ARGV[1], config) end`,
		"1", redis.Prefix(config.DefaultNamespace)+"configs", strconv.FormatInt((15*time.Minute).Milliseconds(), 10))
	require.Eventually(t, func() bool {
		code, _ := older.post(t, "/webhook/newer", n)
		return code == http.StatusNotFound
	}, wait, tick, "15 minutes later nobody knows it")
	require.Equal(t, "1", older.metric(t, "relay_configs_seen"))
}

// TestTooFewReplicasHaveIt: what min_acks asks for and cannot be had is answered 503, a copy as well, until it can.
func TestTooFewReplicasHaveIt(t *testing.T) {
	t.Parallel()
	server := parts.StartRedis(t)
	replica := parts.StartRedisReplica(t, server)
	box, text := vendors(t)
	p := start(t, t.TempDir(), strings.Replace(inRedis(text, server), "addresses:", "min_acks: 1, addresses:", 1), nil)
	before := notification("HighLatency", firing("checkout"))
	p.accept(t, "accepted", before)
	for _, inbox := range inboxes() {
		await(t, box, inbox, 1)
	}

	replica.Freeze()
	t.Cleanup(func() { replica.Signal(syscall.SIGCONT) })
	n := notification("HighLatency", firing("checkout"), firing("search"))
	for _, posted := range []*relay.Notification{before, n, n} { // a copy, something new, and a copy of what was refused
		code, answer := p.post(t, "/webhook", posted)
		require.Equal(t, http.StatusServiceUnavailable, code)
		require.NotContains(t, answer["error"], server.Address)
	}

	replica.Signal(syscall.SIGCONT)
	require.Eventually(t, func() bool {
		code, answer := p.post(t, "/webhook", n)
		return code == http.StatusOK && answer["status"] == "duplicate"
	}, wait, tick, "the primary had it all along")
	for _, inbox := range inboxes() {
		require.Contains(t, await(t, box, inbox, 2), "search is too slow")
	}
}
