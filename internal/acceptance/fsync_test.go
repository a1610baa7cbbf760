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

// TestTheAnswerLeavesAfterTheSync watches the system calls of the relay: before a webhook is answered 200, the
// transaction that stores it is on the disk.
func TestTheAnswerLeavesAfterTheSync(t *testing.T) {
	t.Parallel()
	strace := parts.Binary(t, "strace")
	relay := startSilent(t)
	trace := filepath.Join(t.TempDir(), "trace")
	tracer := parts.Start(t, strace, "-f", "-y", "-s", "65536", "-o", trace,
		"-e", "trace=write,pwrite64,fsync,fdatasync", "-p", strconv.Itoa(relay.PID()))
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
		body := notification(syncMark(i), alert(i, "on the disk"))
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

// startSilent starts a relay that has little to write but what it accepts: its only vendor never answers.
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

// syncMark is a name that the store's file shows.
func syncMark(i int) string { return fmt.Sprintf("Synced%03dMark", i) }

// The system calls of a trace, each with the thread before it. A call that others come in between of is in two pieces.
var (
	answered = regexp.MustCompile(`write\(.*"HTTP/1.1 200 OK`)
	writes   = regexp.MustCompile(`^\d+ +pwrite64\(\d+<[^>]*relay\.db>`)
	synced   = regexp.MustCompile(`^\d+ +f(?:data)?sync\(\d+<[^>]*relay\.db>\) += 0`)
	syncing  = regexp.MustCompile(`^(\d+) +f(?:data)?sync\(\d+<[^>]*relay\.db> *<unfinished`)
	resumed  = regexp.MustCompile(`^(\d+) +<\.\.\. f(?:data)?sync resumed>.*= 0`)
	syncs    = regexp.MustCompile(`(?m)^.*sync.*\n`)
)

// The steps of a transaction, as the store's file format has it: its pages are written and synced, then the page that
// makes them count is.
const (
	pagesWritten = iota + 1
	pagesSynced
	metaWritten
	metaSynced
)

// answersBeforeSync counts the answers of a trace, and tells of those that left before the transaction that holds their
// mark was on the disk.
func answersBeforeSync(calls string) (answers int, early []string) {
	step := 0                  // of the transaction of the next answer
	within := map[string]int{} // the step at which a sync began, by thread
	for line := range strings.Lines(calls) {
		switch {
		case writes.MatchString(line):
			if step == 0 && strings.Contains(line, syncMark(answers)) {
				step = pagesWritten
			} else if step == pagesSynced {
				step = metaWritten
			}
		case synced.MatchString(line):
			step = afterSync(step, step)
		case syncing.MatchString(line):
			within[syncing.FindStringSubmatch(line)[1]] = step
		case resumed.MatchString(line):
			step = afterSync(step, within[resumed.FindStringSubmatch(line)[1]])
		case answered.MatchString(line):
			if step != metaSynced {
				early = append(early, syncMark(answers))
			}
			answers++
			step = 0
		}
	}
	return answers, early
}

// afterSync is the step after a sync that began at another: it says nothing of what was written later.
func afterSync(step, began int) int {
	if step == began && (step == pagesWritten || step == metaWritten) {
		return step + 1
	}
	return step
}
