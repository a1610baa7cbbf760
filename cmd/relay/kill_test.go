package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/sandbox"
)

const (
	killGroups   = 50
	killStates   = 20 // of each group: 1,000 notifications in all
	killMessages = killGroups * killStates
	killInFlight = 8 // of each vendor
)

// TestKilledAndStartedAgain kills the relay without a word, three times in the middle of 1,000 notifications, and starts
// it again on the same store. Every notification answered 200 arrives at both vendors, in order per alert group, and none
// is told again that was settled when the relay was killed.
func TestKilledAndStartedAgain(t *testing.T) {
	t.Parallel()
	box, err := sandbox.Start(sandbox.Options{Keep: 2 * killMessages})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, box.Close()) })
	box.WeCom.Break("", sandbox.FaultDelay(20*time.Millisecond)) // so that there is something in flight
	box.Slack.Break("", sandbox.FaultDelay(20*time.Millisecond))

	relay := startKillable(t, box)
	accepted := new(atomic.Int64)
	var posting sync.WaitGroup
	for group := range killGroups {
		posting.Go(func() {
			for state := range killStates {
				relay.post(t, group, state)
				accepted.Add(1)
			}
		})
	}
	kills := 0
	for _, after := range []int64{killMessages / 10, killMessages / 3, killMessages * 2 / 3} {
		parts.WaitFor(t, fmt.Sprint(after, " notifications to be accepted"), func() error {
			if n := accepted.Load(); n < after {
				return fmt.Errorf("%d are", n)
			}
			return nil
		})
		relay.restart(t)
		kills++
	}
	posting.Wait()

	for _, inbox := range []string{sandbox.InboxWeCom, sandbox.InboxSlack} {
		repeated := 0
		parts.WaitFor(t, inbox+" to have it all", func() error {
			var told int
			told, repeated = inOrder(t, box.Inbox(inbox))
			if told < killMessages {
				return fmt.Errorf("%d of %d are told", told, killMessages)
			}
			return nil
		})
		t.Logf("%s: %d repeated after %d kills", inbox, repeated, kills)
		require.LessOrEqual(t, repeated, kills*killGroups, inbox)
	}
	require.Equal(t, exitFine, relay.process.Stop(t))
	requireSettledOnce(t, relay.lives)
}

// requireSettledOnce looks for what was told again although it was settled: a relay logs a message as sent once that is
// durable, so none of its lives may log it again.
func requireSettledOnce(t *testing.T, lives []*parts.Process) {
	t.Helper()
	line := regexp.MustCompile(`msg="Notification sent" .* integration=(\S+) .* entry=(\S+)`)
	settled := make(map[string]bool)
	for _, life := range lives {
		for _, found := range line.FindAllStringSubmatch(life.Log(), -1) {
			message := found[1] + " " + found[2]
			require.False(t, settled[message], "%s was told again", message)
			settled[message] = true
		}
	}
	require.Greater(t, len(settled), killMessages, "of both vendors")
}

// inOrder requires that each group's states were told in their order, none left out, and returns how many were told, and
// how many of them told again: a repetition follows at once upon the first telling.
func inOrder(t *testing.T, messages []sandbox.Message) (told, repeated int) {
	t.Helper()
	next := make([]int, killGroups)
	mark := regexp.MustCompile(`group (\d+) state (\d+)\.`)
	for _, m := range messages {
		found := mark.FindSubmatch(m.Body)
		require.NotNil(t, found, "%s", m.Body)
		var group, state int
		_, err := fmt.Sscan(string(found[1])+" "+string(found[2]), &group, &state)
		require.NoError(t, err)
		if state == next[group]-1 {
			repeated++
			continue
		}
		require.Equal(t, next[group], state, "of group %d in %s", group, m.Inbox)
		next[group]++
		told++
	}
	return told, repeated
}

// A killable is the real program, at one address over all its lives.
type killable struct {
	process *parts.Process
	lives   []*parts.Process // all there were, the present one last
	binary  string
	args    []string
	url     string
}

func startKillable(t *testing.T, box *sandbox.Sandbox) *killable {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "config.yaml")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `
global: {locale: en}
route: {receiver: ops}
receivers:
  - name: ops
    wecom_configs: [{name: robot, url: %q, rate_limit: {messages: 0}, max_in_flight: %d, backlog: each}]
    slack_configs: [{name: hook, api_url: %q, rate_limit: {messages: 0}, max_in_flight: %d, backlog: each}]
`,
		box.WeCom.Add(sandbox.WeComRobot{Key: "key", Limit: sandbox.NoLimit()}), killInFlight,
		box.Slack.Add(sandbox.SlackHook{Team: "T0", Bot: "B0", Token: "token", Channel: "ops", Limit: sandbox.NoLimit()}),
		killInFlight), 0o600))
	address := parts.FreeAddress(t)
	k := &killable{
		binary: parts.RelayBinary(t),
		url:    "http://" + address,
		args: []string{
			"--config.file=" + file, "--storage.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + address,
		},
	}
	k.start(t)
	return k
}

func (k *killable) start(t *testing.T) {
	t.Helper()
	k.process = parts.Start(t, k.binary, k.args...)
	k.lives = append(k.lives, k.process)
	k.process.Ready(t, k.url+"/-/ready")
}

// restart kills the program as a crash would and starts it again.
func (k *killable) restart(t *testing.T) {
	t.Helper()
	k.process.Kill()
	k.start(t)
}

// post sends a notification again and again until it is answered 200, as Alertmanager does.
func (k *killable) post(t *testing.T, group, state int) {
	t.Helper()
	body, err := json.Marshal(killNotification(group, state))
	require.NoError(t, err)
	parts.WaitFor(t, "an answer", func() error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, k.url+"/webhook", bytes.NewReader(body))
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		var answer struct{ ID string }
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK || answer.ID == "" {
			return fmt.Errorf("answered %s", resp.Status)
		}
		return nil
	})
}

// killNotification is one state of a group: the same alert, firing anew.
func killNotification(group, state int) *relay.Notification {
	summary := fmt.Sprintf("group %d state %d.", group, state)
	n := &relay.Notification{
		Version: "4", GroupKey: fmt.Sprintf("{}:{group=\"%d\"}", group),
		Alerts: relay.Alerts{{Alert: template.Alert{
			Status: relay.StatusFiring, Fingerprint: fmt.Sprintf("%016x", group),
			StartsAt:    time.Unix(1_800_000_000+int64(state), 0),
			Labels:      template.KV{"alertname": "Kill", "severity": "critical"},
			Annotations: template.KV{"summary": summary},
		}}},
	}
	n.Receiver, n.Status = "relay", relay.StatusFiring
	n.GroupLabels = template.KV{"alertname": "Kill"}
	n.CommonLabels, n.CommonAnnotations = template.KV{}, template.KV{}
	return n
}

// TestASecondSignalEndsAtOnce: the first lets the deliveries under way end, here one that hangs.
func TestASecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	box, err := sandbox.Start(sandbox.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, box.Close()) })
	box.Slack.Break("", sandbox.FaultHang(make(chan struct{})))
	relay := startKillable(t, box)
	relay.post(t, 0, 0)
	_, err = box.Await(t.Context(), sandbox.InboxWeCom, 1)
	require.NoError(t, err)

	relay.process.Signal(syscall.SIGTERM)
	parts.WaitFor(t, "the relay to drain", func() error {
		resp, err := http.Get(relay.url + "/-/ready")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusServiceUnavailable {
			return fmt.Errorf("it is ready: %s", resp.Status)
		}
		return nil
	})
	const bySignal = -1
	require.Equal(t, bySignal, relay.process.Stop(t))
}
