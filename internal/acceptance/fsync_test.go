package acceptance_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/sandbox"
)

// TestTheAnswerLeavesAfterTheSync watches the system calls of the relay: between reading a webhook and answering it 200,
// what was written to the store is on the disk.
func TestTheAnswerLeavesAfterTheSync(t *testing.T) {
	t.Parallel()
	strace := parts.Binary(t, "strace")
	relay := startSilent(t)
	trace := filepath.Join(t.TempDir(), "trace")
	tracer := parts.Start(t, strace, "-f", "-y", "-s", "40", "-o", trace,
		"-e", "trace=read,write,pwrite64,fsync,fdatasync", "-p", strconv.Itoa(relay.PID()))
	parts.WaitFor(t, "strace to attach", func() error {
		switch log := tracer.Log(); {
		case strings.Contains(log, "Operation not permitted"):
			t.Skipf("no tracing here: %s", log)
		case !strings.Contains(log, "attached"):
			return errors.New("it has not")
		}
		return nil
	})
	for i := range webhooks {
		body := notification(fmt.Sprint("Synced", i), alert(i, "on the disk"))
		require.Equal(t, http.StatusOK, relay.post(t, body))
	}
	tracer.Signal(syscall.SIGINT) // it lets go of the relay
	var calls string
	parts.WaitFor(t, "the trace to be complete", func() error {
		text, err := os.ReadFile(trace)
		if err != nil {
			return err
		}
		if n := strings.Count(string(text), "HTTP/1.1 200 OK"); n < webhooks {
			return fmt.Errorf("%d answers in it", n)
		}
		calls = string(text)
		return nil
	})
	answers, early := answersBeforeSync(calls)
	require.Equal(t, webhooks, answers)
	require.Empty(t, early)

	_, early = answersBeforeSync(syncs.ReplaceAllString(calls, ""))
	require.Len(t, early, webhooks, "were there no syncs, it would be seen")
}

// startSilent starts a relay that writes nothing but what it accepts: its only vendor never answers.
func startSilent(t *testing.T) *relayProcess {
	t.Helper()
	vendors := startVendors(t)
	vendors.DingTalk.Break("", sandbox.FaultHang(make(chan struct{})))
	dir := t.TempDir()
	file := filepath.Join(dir, "config.yaml")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `
route: {receiver: ops}
receivers:
  - name: ops
    dingtalk_configs: [{url: %q, timeout: 1h}]
`, vendors.DingTalk.Add(sandbox.DingTalkRobot{Token: "silent"})), 0o600))
	addr := parts.FreeAddress(t)
	r := &relayProcess{url: "http://" + addr, vendors: vendors, args: []string{
		"--config.file=" + file, "--storage.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + addr,
	}}
	r.start(t)
	return r
}

// webhooks is how many are posted, one after the other.
const webhooks = 20

// The system calls of a trace, each with the thread before it. A call that others come in between of is in two pieces.
var (
	received = regexp.MustCompile(`"POST /webhook HTTP`)
	answered = regexp.MustCompile(`write\(.*"HTTP/1.1 200 OK`)
	writes   = regexp.MustCompile(`^(\d+) +pwrite64\(\d+<[^>]*relay\.db>`)
	synced   = regexp.MustCompile(`^(\d+) +f(?:data)?sync\(\d+<[^>]*relay\.db>\) += 0`)
	syncing  = regexp.MustCompile(`^(\d+) +f(?:data)?sync\(\d+<[^>]*relay\.db> *<unfinished`)
	resumed  = regexp.MustCompile(`^(\d+) +<\.\.\. f(?:data)?sync resumed>.*= 0`)
	syncs    = regexp.MustCompile(`(?m)^.*sync.*\n`)
)

// answersBeforeSync counts the answers of a trace, and tells of those that left before all that was written for them was
// synced.
func answersBeforeSync(calls string) (answers int, early []string) {
	written, clean := false, false
	within := map[string]bool{} // threads in a sync that began after the last write
	for line := range strings.Lines(calls) {
		switch {
		case received.MatchString(line):
			written, clean = false, false
		case writes.MatchString(line):
			written, clean = true, false
			clear(within)
		case synced.MatchString(line):
			clean = written
		case syncing.MatchString(line):
			within[syncing.FindStringSubmatch(line)[1]] = written
		case resumed.MatchString(line):
			thread := resumed.FindStringSubmatch(line)[1]
			clean = clean || within[thread]
			delete(within, thread)
		case answered.MatchString(line):
			answers++
			if !clean {
				early = append(early, fmt.Sprintf("answer %d", answers))
			}
		}
	}
	return answers, early
}
