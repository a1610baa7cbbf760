package bolt_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/boltdb"
	"github.com/alertrelay/relay/outbox"
	"github.com/alertrelay/relay/outbox/bolt"
)

// killedEnv names the file of the store in a process of this test that is going to be killed.
const killedEnv = "RELAY_TEST_KILLED_STORE"

func TestMain(m *testing.M) {
	if path := os.Getenv(killedEnv); path != "" {
		writeUntilKilled(path)
	}
	goleak.VerifyTestMain(m)
}

// TestKill kills a process with 64 writers again and again. What it had acknowledged must be in the file, and what it had
// settled must be gone.
func TestKill(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "relay.db")
	accepted, settled := map[string]bool{}, map[string]bool{}
	for round := range 5 {
		for _, line := range killed(t, path, round) {
			verb, id, _ := strings.Cut(line, " ")
			switch verb {
			case "accepted":
				accepted[id] = true
			case "settled":
				settled[id] = true
			}
		}
		require.NotEmpty(t, accepted)
		check(t, path)
	}
	require.NotEmpty(t, settled)

	s, err := bolt.Open(path, bolt.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	pending := map[string]bool{}
	for {
		batches, _, err := s.Claim(t.Context(), outbox.ClaimRequest{
			Max: 1000, Lease: time.Hour, Integrations: map[relay.IntegrationID]outbox.Terms{mail: {}},
		})
		require.NoError(t, err)
		if len(batches) == 0 {
			break
		}
		for _, b := range batches {
			pending[strings.TrimSuffix(b.Lanes[0].Items[0].ID, "-0")] = true
		}
	}
	for id := range accepted {
		require.True(t, pending[id] || settled[id] || ended(t, s, id), "%s was acknowledged and is lost", id)
	}
	for id := range settled {
		require.False(t, pending[id], "%s was settled and is pending", id)
	}
}

// ended tells whether the history has the webhook as sent: settled, and killed before it could say so.
func ended(t *testing.T, s *bolt.Store, id string) bool {
	t.Helper()
	events, _, err := s.History(t.Context(), outbox.HistoryQuery{
		Notification: id, Types: []outbox.EventType{outbox.EventSent},
	})
	require.NoError(t, err)
	return len(events) == 1
}

// killed runs the writers for a moment and returns what they said.
func killed(t *testing.T, path string, round int) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), killedEnv+"="+path, fmt.Sprint("RELAY_TEST_ROUND=", round))
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	r := bufio.NewReader(out)
	var lines []string
	first, err := r.ReadString('\n')
	require.NoError(t, err)
	lines = append(lines, strings.TrimSpace(first))
	timer := time.AfterFunc(100*time.Millisecond+rand.N(200*time.Millisecond), func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	rest, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Error(t, cmd.Wait(), "it ends by being killed")
	all := strings.Split(string(rest), "\n")
	return append(lines, all[:len(all)-1]...) // the last one may be cut
}

// writeUntilKilled accepts and settles, and says so after each answer.
func writeUntilKilled(path string) {
	s, err := bolt.Open(path, bolt.Options{MaxPending: 10_000_000})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var all sync.WaitGroup
	for writer := range 64 {
		all.Go(func() {
			for i := 0; ; i++ {
				w := benchWebhook(int64(rand.Int32()))
				w.ID = fmt.Sprintf("r%s-%d-%d", os.Getenv("RELAY_TEST_ROUND"), writer, i)
				if _, err := s.Accept(context.Background(), w); err != nil {
					panic(err)
				}
				fmt.Println("accepted", w.ID)
				if i%2 == 0 {
					settleOne(s)
				}
			}
		})
	}
	all.Wait()
}

func settleOne(s *bolt.Store) {
	batches, _, err := s.Claim(context.Background(), outbox.ClaimRequest{
		Max: 1, Lease: time.Hour, Integrations: map[relay.IntegrationID]outbox.Terms{mail: {}},
	})
	if err != nil {
		panic(err)
	}
	for _, b := range batches {
		id := b.Lanes[0].Items[0].ID
		if err := s.Settle(context.Background(), b.Lease, outbox.Outcome{Result: outbox.Sent, Items: []string{id}}); err != nil {
			panic(err)
		}
		fmt.Println("settled", strings.TrimSuffix(id, "-0"))
	}
}

// check looks for damage in the file.
func check(t *testing.T, path string) {
	t.Helper()
	db, err := boltdb.Open(path)
	require.NoError(t, err)
	require.NoError(t, db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			require.NoError(t, err)
		}
		return nil
	}))
	require.NoError(t, db.Close())
}
