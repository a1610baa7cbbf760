package app_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/webhook"
)

// record puts snapshots and returns the status code and the answer.
func (p *process) record(t *testing.T, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, p.url+"/api/v1/snapshots", bytes.NewReader([]byte(body)))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text)
}

// TestWhatWasRecordedIsInEveryMessage, and the same when the alert is resolved, although something else was recorded since
// and the relay was restarted.
func TestWhatWasRecordedIsInEveryMessage(t *testing.T) {
	t.Parallel()
	box, text := vendors(t)
	storage := t.TempDir()
	p := start(t, storage, text, nil)
	code, answer := p.record(t, `[{"labels":{"service":"pay","instance":"a:1"},"trace_id":"0af7651916cd43dd8448eb211c80319c",
		"room_id":10086,"user_agent":"WeChat/8.0.42"}, {"labels":{"zone":"x"},"room_id":"1"}]`)
	require.Equal(t, http.StatusOK, code, answer)
	require.Contains(t, answer, `"recorded":1`)
	type found struct{ Snapshots []webhook.FoundSnapshot }
	rows := get[found](t, p, "/snapshots?label=service=pay&label=instance=a:1").Snapshots
	require.Len(t, rows, 2)
	require.Equal(t, "instance=a:1,service=pay", rows[0].Key)
	require.Equal(t, "10086", rows[0].Snapshot.RoomID)

	a := firing("checkout")
	a.Labels["service"], a.Labels["instance"] = "pay", "a:1"
	a.Annotations = template.KV{"summary": "no context of its own"}
	a.StartsAt = time.Now()
	p.accept(t, "accepted", notification("HighErrorRate", a))
	told := []string{"0af7651916cd43dd8448eb211c80319c", "10086", "WeChat/8.0.42", "http://jaeger:16686/trace/0af7"}
	for _, inbox := range inboxes() {
		message := await(t, box, inbox, 1)
		for _, value := range told {
			require.Contains(t, message, value, inbox)
		}
	}

	code, answer = p.record(t, `{"labels":{"service":"pay"},"trace_id":"later"}`)
	require.Equal(t, http.StatusOK, code, answer)
	p.stop()
	p = start(t, storage, text, nil)
	require.Equal(t, "later", get[found](t, p, "/snapshots?label=service=pay").Snapshots[0].Snapshot.TraceID)
	a.Status, a.EndsAt = "resolved", time.Now()
	p.accept(t, "accepted", notification("HighErrorRate", a))
	for _, inbox := range inboxes() {
		message := await(t, box, inbox, 2)
		for _, value := range told {
			require.Contains(t, message, value, inbox)
		}
		require.NotContains(t, message, "later", inbox)
	}
	require.Equal(t, "0", p.metric(t, `relay_enrichment_lookups_total{outcome="answered",source="store"}`),
		"a resolved alert costs no look-up")
}
