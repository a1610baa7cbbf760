package app_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/config"
	"github.com/alertrelay/relay/internal/app"
	"github.com/alertrelay/relay/internal/parts"
)

// TestWhichPromiseIsInForce: a line of the log and metrics say what a Redis keeps of what was answered 200.
func TestWhichPromiseIsInForce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		server  []string
		replica bool
		storage string // further keys
		want    []string
		info    map[string]string // labels of relay_redis_info
		metrics map[string]string
	}{
		"all that there is": {
			server: []string{"--appendfsync", "always"}, replica: true, storage: "min_acks: 1",
			want: []string{
				"level=INFO", `msg="Redis is in use"`, "replicas=1", "min_acks=1", "nothing is lost when Redis crashes or loses its power",
				"nothing is lost in a failover to one of the 1 replicas that have it",
			},
			info:    map[string]string{"persistence": "aof-always", "maxmemory_policy": "noeviction", "mode": "standalone"},
			metrics: map[string]string{"relay_redis_replicas": "1", "relay_redis_min_acks": "1", "relay_redis_up": "1"},
		},
		"no replica": {
			want:    []string{"level=INFO", `msg="Redis is in use"`, "the last moments before a failover are lost"},
			info:    map[string]string{"persistence": "aof-everysec"},
			metrics: map[string]string{"relay_redis_replicas": "0", "relay_redis_min_acks": "0"},
		},
		"fewer replicas than min_acks": {
			storage: "min_acks: 1",
			want:    []string{"level=WARN", "Redis has fewer replicas than min_acks asks for: webhooks are answered 503", "replicas=0"},
			metrics: map[string]string{"relay_redis_replicas": "0", "relay_redis_min_acks": "1"},
		},
		"snapshots": {
			server: []string{"--appendonly", "no", "--save", "3600 1"},
			want: []string{
				"level=WARN", "Redis is in use, but it forgets when it restarts", "what came since its last snapshot is lost",
			},
			info: map[string]string{"persistence": "rdb"},
		},
		"nothing on a disk": {
			server: []string{"--appendonly", "no"},
			want: []string{
				"level=WARN", "Redis is in use, but it forgets when it restarts", "everything is lost when Redis restarts",
			},
			info: map[string]string{"persistence": "none"},
		},
		"eviction that is allowed": {
			server: []string{"--maxmemory-policy", "allkeys-lru"}, storage: "allow_eviction: true",
			want: []string{"level=WARN", "Redis is in use, but it may throw away what was accepted", "maxmemory_policy=allkeys-lru"},
			info: map[string]string{"maxmemory_policy": "allkeys-lru"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := parts.StartRedis(t, c.server...)
			if c.replica {
				parts.StartRedisReplica(t, server)
			}
			text := "route: {receiver: ops}\nreceivers: [{name: ops}]\n"
			if c.storage != "" {
				c.storage += ", "
			}
			p := start(t, t.TempDir(), strings.Replace(inRedis(text, server), "addresses:", c.storage+"addresses:", 1), nil)
			line := ""
			for said := range strings.Lines(p.logs.String()) {
				if strings.Contains(said, "persistence=") {
					require.Empty(t, line, "it is said once")
					line = said
				}
			}
			for _, want := range c.want {
				require.Contains(t, line, want)
			}
			_, metrics := p.do(t, http.MethodGet, "/metrics", nil)
			for label, value := range c.info {
				require.Regexp(t, `relay_redis_info\{[^\n]*`+label+`="`+value+`"[^\n]*\} 1`, string(metrics))
			}
			for metric, value := range c.metrics {
				require.Equal(t, value, p.metric(t, metric), metric)
			}
		})
	}
}

// TestARedisBecomesUnusable while the relay runs: nothing is accepted until that is mended, and no restart is needed.
func TestARedisBecomesUnusable(t *testing.T) {
	t.Parallel()
	server := parts.StartRedis(t)
	p := start(t, t.TempDir(), inRedis("route: {receiver: ops}\nreceivers: [{name: ops}]\n", server), nil)
	n := notification("HighLatency", firing("checkout"))
	p.accept(t, "accepted", n)
	answers := func(want int) {
		t.Helper()
		require.Eventually(t, func() bool {
			code, _ := p.post(t, "/webhook", n)
			ready, _ := p.do(t, http.MethodGet, "/-/ready", nil)
			return code == want && ready == want
		}, wait, tick)
	}
	server.Do(t, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	answers(http.StatusServiceUnavailable)
	require.Contains(t, p.logs.String(), "This Redis cannot be used: webhooks are answered 503")
	server.Do(t, "CONFIG", "SET", "maxmemory-policy", "noeviction")
	answers(http.StatusOK)
	require.Equal(t, 1, strings.Count(p.logs.String(), "This Redis cannot be used"))
}

// TestAnOldRedisIsRefused at the start.
func TestAnOldRedisIsRefused(t *testing.T) {
	t.Parallel()
	server := parts.StartRedis(t)
	old := &parts.Redis{Address: aged(t, server.Address)}
	c, err := config.Parse("config.yaml", []byte(inRedis("route: {receiver: ops}\nreceivers: [{name: ops}]\n", old)))
	require.NoError(t, err)
	_, err = app.New(t.Context(), c, app.Options{})
	require.ErrorContains(t, err, "this Redis cannot be used: it is "+server.Product(t))
	require.ErrorContains(t, err, ".0 or newer is needed")
}

// aged stands before a server and says that it is older than it is.
func aged(t *testing.T, server string) (address string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer client.Close()
				upstream, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", server)
				if err != nil {
					return
				}
				defer upstream.Close()
				go func() {
					defer upstream.Close()
					_, _ = io.Copy(upstream, client)
				}()
				buffer := make([]byte, 64<<10)
				for {
					n, err := upstream.Read(buffer)
					if err != nil {
						return
					}
					answer := bytes.ReplaceAll(buffer[:n], []byte("redis_version:7"), []byte("redis_version:6"))
					answer = bytes.ReplaceAll(answer, []byte("valkey_version:8"), []byte("valkey_version:7"))
					if _, err := client.Write(answer); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}
