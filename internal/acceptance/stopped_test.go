package acceptance_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/sandbox"
)

// TestARelayStandsStill for longer than its lease, in the middle of a send: the vendor has taken the message, and the answer
// is not read. Another relay tells it once more with what has come since, in order, and what the first one says of it later
// is not heard.
func TestARelayStandsStill(t *testing.T) {
	t.Parallel()
	redis := parts.StartRedis(t)
	vendors := startVendors(t)
	robot := vendors.WeCom.Add(sandbox.WeComRobot{Key: "stopped", Limit: sandbox.NoLimit()})
	stop, taken := make(chan *relayProcess, 1), make(chan struct{})
	vendor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		vendors.Handler().ServeHTTP(answer, r)
		select {
		case relay := <-stop:
			relay.Freeze()
			close(taken)
		default:
		}
		w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
		_, _ = w.Write(answer.Body.Bytes())
	}))
	t.Cleanup(vendor.Close)
	config := fmt.Appendf(nil, `
global: {locale: en}
storage: {redis: {addresses: [%q]}}
route: {receiver: ops}
receivers:
  - name: ops
    wecom_configs: [{url: %q, timeout: 3s, rate_limit: {messages: 0}}]
`, redis.Address, strings.Replace(robot, vendors.URL(), vendor.URL, 1))
	relay := func() *relayProcess {
		dir := t.TempDir()
		file := filepath.Join(dir, "config.yaml")
		require.NoError(t, os.WriteFile(file, config, 0o600))
		addr := parts.FreeAddress(t)
		r := &relayProcess{url: "http://" + addr, vendors: vendors, args: []string{
			"--config.file=" + file, "--storage.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + addr,
		}}
		r.start(t)
		return r
	}

	first := relay()
	t.Cleanup(func() { first.Signal(syscall.SIGCONT) })
	stop <- first
	require.Equal(t, http.StatusOK, first.post(t, notification("Stopped", alert(0, "the first news"))))
	<-taken
	second := relay()
	newer := notification("Stopped", alert(0, "the first news"), alert(1, "the second news"))
	require.Equal(t, http.StatusOK, second.post(t, newer))
	require.Equal(t, http.StatusOK, second.post(t, notification("Other", alert(2, "of another group"))))
	said := func() []string { return texts(vendors.Inbox(sandbox.InboxWeCom)) }
	parts.WaitFor(t, "the other group to be told", func() error {
		if told := said(); len(told) < 2 {
			return fmt.Errorf("told: %q", told)
		}
		return nil
	})
	require.Contains(t, said()[1], "of another group", "what is under way is told by one relay alone; the rest goes on")
	parts.WaitFor(t, "the lease to end", func() error {
		if pending := metric(t, second.url, "relay_pending_notifications"); pending != "0" {
			return errors.New(pending + " pending")
		}
		return nil
	})

	first.Signal(syscall.SIGCONT)
	parts.WaitFor(t, "the first relay to hear that its lease had ended", func() error {
		if !strings.Contains(first.Log(), "The lease had ended before it was settled, so this may be told again") {
			return errors.New("it has not")
		}
		return nil
	})
	newest := notification("Stopped", alert(0, "the first news"), alert(1, "the second news"), alert(3, "the third news"))
	require.Equal(t, http.StatusOK, first.post(t, newest))
	parts.WaitFor(t, "the newest to be told", func() error {
		told := said()
		if !strings.Contains(told[len(told)-1], "the third news") ||
			metric(t, second.url, "relay_pending_notifications") != "0" {
			return fmt.Errorf("told: %q", told)
		}
		return nil
	})

	told := said()
	require.Len(t, told, 4, "%q", told)
	require.Contains(t, told[0], "the first news")
	require.Contains(t, told[2], "the first news", "twice rather than never")
	require.Contains(t, told[2], "the second news")
	require.Contains(t, told[3], "the third news")
	require.Equal(t, "0", metric(t, second.url, "relay_dead_letters"))
}

// texts are what readers see, oldest first.
func texts(messages []sandbox.Message) []string {
	said := make([]string, len(messages))
	for i, m := range messages {
		said[i] = m.Title + "\n" + m.Text
	}
	return said
}
