package acceptance_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/sandbox"
)

// notification is a webhook body as Alertmanager makes it, of the alerts given.
func notification(group string, alerts ...map[string]any) map[string]any {
	return map[string]any{
		"version": "4", "receiver": "relay", "status": "firing", "groupKey": `{}:{alertname="` + group + `"}`,
		"groupLabels": map[string]string{"alertname": group}, "commonLabels": map[string]string{"alertname": group},
		"commonAnnotations": map[string]string{}, "externalURL": "http://alertmanager.example.org", "truncatedAlerts": 0,
		"alerts": alerts,
	}
}

func alert(i int, summary string) map[string]any {
	return map[string]any{
		"status": "firing", "fingerprint": fmt.Sprintf("%016x", i+1),
		"labels":      map[string]string{"alertname": "Odd", "severity": "warning", "instance": fmt.Sprint("node-", i)},
		"annotations": map[string]string{"summary": summary},
		"startsAt":    "2026-11-20T06:56:25.57Z", "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "",
	}
}

func encoded(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return b
}

func TestBadInput(t *testing.T) { //nolint:tparallel // one relay, whose messages are counted
	t.Parallel()
	relay := startRelay(t, 10*time.Minute)

	version3 := notification("Odd", alert(0, "s"))
	version3["version"] = "3"
	// What a sender might put where it does not belong; no answer and no log line may repeat it.
	const secret = "hunter2-is-a-secret"

	for name, c := range map[string]struct {
		method, path string
		body         []byte
		status       int
		says         string
	}{
		"not JSON":         {"POST", "/webhook", []byte("token=" + secret), http.StatusBadRequest, "JSON"},
		"version 3":        {"POST", "/webhook", encoded(t, version3), http.StatusBadRequest, "version"},
		"custom payload":   {"POST", "/webhook", []byte(`{"text":"` + secret + `"}`), http.StatusBadRequest, "version"},
		"no alerts":        {"POST", "/webhook", encoded(t, notification("Odd")), http.StatusBadRequest, "alerts"},
		"unknown receiver": {"POST", "/webhook/nobody", encoded(t, notification("Odd", alert(0, "s"))), http.StatusNotFound, "nobody"},
		"wrong method":     {"GET", "/webhook", nil, http.StatusMethodNotAllowed, ""},
		"trailing slash":   {"POST", "/webhook/", encoded(t, notification("Odd", alert(0, "s"))), http.StatusNotFound, ""},
		"11 MB":            {"POST", "/webhook", bytes.Repeat([]byte(" "), 11<<20), http.StatusRequestEntityTooLarge, "10"},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), c.method, relay.url+c.path, bytes.NewReader(c.body))
			require.NoError(t, err)
			req.Header.Set("Authorization", "Bearer "+secret)
			client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			resp, err := client.Do(req)
			require.NoError(t, err)
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Equal(t, c.status, resp.StatusCode, string(body))
			require.Contains(t, string(body), c.says)
			require.NotContains(t, string(body), secret)
		})
	}

	t.Run("hostile values arrive and do nothing but show", func(t *testing.T) {
		before := relay.vendors.Counts("").Delivered
		hostile := "\x00\x07\u202e<b>@all</b> <!channel> <@U1> [x](javascript:alert(1))\r\nBcc: all@example.org"
		require.Equal(t, http.StatusOK, relay.post(t, notification("Hostile", alert(0, hostile), alert(1, strings.Repeat("长", 64<<10/3)))))
		newest := relay.awaitMore(t, before)
		require.NotContains(t, newest[sandbox.InboxSlack].Text, "<!channel>")
		require.Empty(t, newest[sandbox.InboxDingTalk].Mentioned)
		require.False(t, newest[sandbox.InboxDingTalk].MentionAll)
		require.Empty(t, newest[sandbox.InboxWeCom].Mentioned)
		require.Empty(t, newest[sandbox.InboxEmail].Mail.Header.Get("Bcc"))
		require.Empty(t, newest[sandbox.InboxEmail].Mail.Faults)
	})

	t.Run("10,000 alerts in one webhook", func(t *testing.T) {
		before := relay.vendors.Counts("").Delivered
		alerts := make([]map[string]any, 10_000)
		for i := range alerts {
			alerts[i] = alert(i, "one of very many")
		}
		require.Equal(t, http.StatusOK, relay.post(t, notification("Many", alerts...)))
		for name, m := range relay.awaitMore(t, before) {
			require.Contains(t, m.Title+m.Text, "Odd", name)
		}
		require.Less(t, relay.peakMemory(t), 600<<20, "bytes of memory at the peak")
	})

	t.Run("nothing else is disturbed", func(t *testing.T) {
		before := relay.vendors.Counts("").Delivered
		require.Equal(t, http.StatusOK, relay.post(t, notification("Fine", alert(0, "all is well with this one"))))
		for name, m := range relay.awaitMore(t, before) {
			require.Contains(t, m.Title+m.Text, "all is well with this one", name)
		}
	})

	require.NotContains(t, relay.Log(), secret)
	for _, credential := range []string{"access_token=acceptance", "SECacceptance", "key=acceptance", "/services/"} {
		require.NotContains(t, relay.Log(), credential)
	}
}

// post posts a notification and returns the status of the answer.
func (r *relayProcess) post(t *testing.T, n map[string]any) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+"/webhook", bytes.NewReader(encoded(t, n)))
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	return resp.StatusCode
}

// peakMemory is the most resident memory the relay has had, in bytes.
func (r *relayProcess) peakMemory(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.PID()))
	require.NoError(t, err)
	var kb int
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			_, err := fmt.Sscanf(rest, "%d kB", &kb)
			require.NoError(t, err)
		}
	}
	return kb << 10
}
