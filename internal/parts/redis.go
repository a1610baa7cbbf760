package parts

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// redisServer is the environment variable that names another server to test with, a Valkey for example.
const redisServer = "RELAY_TEST_REDIS_SERVER"

// A Redis is a real redis-server on a loopback port, with its files in the test's own folder.
type Redis struct {
	*Process
	// Address is host:port; it stays the same over Restart.
	Address string

	args []string
}

// StartRedis starts a redis-server that keeps an AOF, unless args say otherwise: they are in the form of its
// configuration, "--appendfsync", "always".
func StartRedis(tb testing.TB, args ...string) *Redis {
	tb.Helper()
	return startRedis(tb, FreeAddress(tb), args...)
}

// StartRedisReplica starts a replica, and waits until it has all of its primary.
func StartRedisReplica(tb testing.TB, primary *Redis, args ...string) *Redis {
	tb.Helper()
	r := startRedis(tb, FreeAddress(tb), args...)
	r.Follow(tb, primary)
	return r
}

// StartRedisCluster starts the nodes of a cluster, each a primary, and waits until all know of all.
func StartRedisCluster(tb testing.TB, nodes int, args ...string) []*Redis {
	tb.Helper()
	cluster := make([]*Redis, nodes)
	create := []string{"--cluster", "create"}
	for i := range cluster {
		_, bus, _ := net.SplitHostPort(FreeAddress(tb))
		cluster[i] = startRedis(tb, FreeAddress(tb), append([]string{
			"--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "2000",
		}, args...)...)
		create = append(create, cluster[i].Address)
	}
	cluster[0].cli(tb, append(create, "--cluster-yes")...)
	for _, node := range cluster {
		WaitFor(tb, "the cluster", func() error {
			if info := node.Do(tb, "CLUSTER", "INFO"); !strings.Contains(info, "cluster_state:ok") {
				return errors.New(info)
			}
			return nil
		})
	}
	return cluster
}

// MoveSlot moves the hash slot of a key from one node of a cluster to another, as resharding does, and calls halfway when
// half of its keys have moved.
func MoveSlot(tb testing.TB, cluster []*Redis, from, to *Redis, key string, halfway func()) {
	tb.Helper()
	slot := from.Do(tb, "CLUSTER", "KEYSLOT", key)
	source, target := from.Do(tb, "CLUSTER", "MYID"), to.Do(tb, "CLUSTER", "MYID")
	to.Do(tb, "CLUSTER", "SETSLOT", slot, "IMPORTING", source)
	from.Do(tb, "CLUSTER", "SETSLOT", slot, "MIGRATING", target)
	host, port, _ := net.SplitHostPort(to.Address)
	move := func(keys []string) {
		if len(keys) > 0 {
			from.Do(tb, append([]string{"MIGRATE", host, port, "", "0", "60000", "KEYS"}, keys...)...)
		}
	}
	keys := func() []string { return strings.Fields(from.Do(tb, "CLUSTER", "GETKEYSINSLOT", slot, "1000")) }
	all := keys()
	move(all[:len(all)/2])
	halfway()
	for all = keys(); len(all) > 0; all = keys() {
		move(all)
	}
	to.Do(tb, "CLUSTER", "SETSLOT", slot, "NODE", target)
	for _, node := range cluster {
		node.Do(tb, "CLUSTER", "SETSLOT", slot, "NODE", target)
	}
}

// StartSentinel starts a Sentinel that watches a primary under a name, and returns its address. It alone decides that the
// primary is down, after a second.
func StartSentinel(tb testing.TB, name string, primary *Redis) *Redis {
	tb.Helper()
	host, port, _ := net.SplitHostPort(primary.Address)
	file := filepath.Join(tb.TempDir(), "sentinel.conf")
	config := fmt.Sprintf("sentinel monitor %s %s %s 1\nsentinel down-after-milliseconds %s 3000\n"+
		"sentinel failover-timeout %s 5000\n", name, host, port, name, name)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		tb.Fatal(err)
	}
	address := FreeAddress(tb)
	_, port, _ = net.SplitHostPort(address)
	r := &Redis{Address: address, args: []string{
		file, "--sentinel", "--bind", "127.0.0.1", "--port", port, "--dir", filepath.Dir(file),
	}}
	r.start(tb)
	return r
}

func startRedis(tb testing.TB, address string, args ...string) *Redis {
	tb.Helper()
	host, port, _ := net.SplitHostPort(address)
	r := &Redis{Address: address, args: append([]string{
		"--bind", host, "--port", port, "--dir", tb.TempDir(), "--save", "", "--appendonly", "yes",
		"--enable-debug-command", "yes", "--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1",
	}, args...)}
	r.start(tb)
	return r
}

func (r *Redis) start(tb testing.TB) {
	tb.Helper()
	r.Process = Start(tb, Binary(tb, cmp.Or(os.Getenv(redisServer), "redis-server")), r.args...)
	WaitFor(tb, "redis-server", func() error {
		select {
		case <-r.done:
			tb.Fatalf("redis-server ended:\n%s", r.Log())
		default:
		}
		conn, err := net.Dial("tcp", r.Address) //nolint:noctx // loopback
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("PING\r\n")); err != nil {
			return err
		}
		answer := make([]byte, 64)
		n, err := conn.Read(answer)
		if err == nil && strings.HasPrefix(string(answer[:n]), "-LOADING") {
			return errors.New(string(answer[:n]))
		}
		return err
	})
}

// Restart starts the server again after Kill or Stop, at its address and with its files.
func (r *Redis) Restart(tb testing.TB) {
	tb.Helper()
	r.start(tb)
}

// Do sends a command and returns the answer as redis-cli prints it to a pipe. A server that wants a password is asked with
// "-a", password before the command.
func (r *Redis) Do(tb testing.TB, args ...string) string {
	tb.Helper()
	_, port, _ := net.SplitHostPort(r.Address)
	return r.cli(tb, append([]string{"-h", "127.0.0.1", "-p", port, "--no-auth-warning"}, args...)...)
}

func (r *Redis) cli(tb testing.TB, args ...string) string {
	tb.Helper()
	out, err := exec.CommandContext(tb.Context(), Binary(tb, "redis-cli"), args...).CombinedOutput()
	if err != nil {
		tb.Fatalf("redis-cli %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// Follow makes the server a replica of another and waits until it has all of it.
func (r *Redis) Follow(tb testing.TB, primary *Redis) {
	tb.Helper()
	host, port, _ := net.SplitHostPort(primary.Address)
	r.Do(tb, "REPLICAOF", host, port)
	const key = "follows" // what is written now must come through
	WaitFor(tb, "the replica", func() error {
		primary.Do(tb, "SET", key, r.Address)
		if got := r.Do(tb, "GET", key); got != r.Address {
			return fmt.Errorf("got %q", got)
		}
		return nil
	})
	primary.Do(tb, "DEL", key)
}

// Promote makes a replica a primary.
func (r *Redis) Promote(tb testing.TB) {
	tb.Helper()
	r.Do(tb, "REPLICAOF", "NO", "ONE")
}

// Info is one field of a section of INFO.
func (r *Redis) Info(tb testing.TB, section, field string) string {
	tb.Helper()
	for line := range strings.Lines(r.Do(tb, "INFO", section)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), field+":"); ok {
			return value
		}
	}
	return ""
}

// Product is what the server says it is: redis or valkey.
func (r *Redis) Product(tb testing.TB) string {
	tb.Helper()
	if r.Info(tb, "server", "valkey_version") != "" {
		return "valkey"
	}
	return "redis"
}

// Port is the server's port.
func (r *Redis) Port() int {
	_, port, _ := net.SplitHostPort(r.Address)
	n, _ := strconv.Atoi(port)
	return n
}
