package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/sandbox"
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

// TestWhatApplicationsWriteToRedis is shown; and when Redis is gone the alert is told without.
func TestWhatApplicationsWriteToRedis(t *testing.T) {
	t.Parallel()
	server := parts.StartRedis(t)
	box, text := vendors(t)
	text = strings.Replace(text, "snapshots: {", fmt.Sprintf("snapshots: {redis: {addresses: [%q]}, ", server.Address), 1)
	p := start(t, t.TempDir(), text, nil)
	server.Do(t, "SET", "relay:snapshot:instance=a:1,job=api", fmt.Sprintf(
		`{"trace_id":"0af7651916cd43dd","room_id":10086,"user_agent":"<b>*[WeChat](http://evil)*</b> @all","time":%d}`, time.Now().Unix()),
		"EX", "600")
	alert := func(name string) *relay.Notification {
		a := firing(name)
		a.Labels["job"], a.Labels["instance"] = "api", "a:1"
		a.Annotations = template.KV{"summary": name}
		a.StartsAt = time.Now()
		return notification(name, a)
	}
	p.accept(t, "accepted", alert("first"))
	for _, inbox := range inboxes() {
		message := await(t, box, inbox, 1)
		require.Contains(t, message, "0af7651916cd43dd", inbox)
		require.NotContains(t, message, "<b>*[WeChat](http://evil)*</b> @all", inbox)
		if inbox == sandbox.InboxDingTalk || inbox == sandbox.InboxWeCom {
			require.NotContains(t, message, "[WeChat](http://evil)", inbox)
		}
	}

	server.Kill()
	for i := range 6 {
		p.accept(t, "accepted", alert(fmt.Sprint("without ", i)))
	}
	for _, inbox := range inboxes() {
		require.NotContains(t, await(t, box, inbox, 7), "0af7651916cd43dd", inbox)
	}
	require.Equal(t, "1", p.metric(t, `relay_enrichment_lookups_total{outcome="rested",source="store"}`))
	code, answer := p.record(t, `{"trace_id":"t"}`)
	require.Equal(t, http.StatusServiceUnavailable, code, answer)
	require.NotContains(t, answer, server.Address)
}

// TestARedisThatHangsHoldsUpNoAlert: a storm meets it, each webhook is taken all the same, and soon none asks any more.
func TestARedisThatHangsHoldsUpNoAlert(t *testing.T) {
	t.Parallel()
	server := parts.StartRedis(t)
	_, text := vendors(t)
	text = strings.Replace(text, "snapshots: {", fmt.Sprintf("snapshots: {redis: {addresses: [%q]}, ", server.Address), 1)
	p := start(t, t.TempDir(), text, nil)
	server.Do(t, "CLIENT", "PAUSE", "600000", "ALL")
	alert := func(name string) *relay.Notification {
		a := firing(name)
		a.Labels["job"], a.Annotations = "api", nil
		return notification(name, a)
	}
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			body, err := json.Marshal(alert(fmt.Sprint("at once ", i)))
			if err != nil {
				t.Error(err)
				return
			}
			resp, err := http.Post(p.url+"/webhook", "application/json", bytes.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			if resp.Body.Close(); resp.StatusCode != http.StatusOK {
				t.Error(resp.Status)
			}
		})
	}
	all.Wait()
	for i := range 10 {
		p.accept(t, "accepted", alert(fmt.Sprint("after ", i)))
	}
	rested, err := strconv.Atoi(p.metric(t, `relay_enrichment_lookups_total{outcome="rested",source="store"}`))
	require.NoError(t, err)
	require.GreaterOrEqual(t, rested, 9, "but for one that sees whether it is well again")
	require.Contains(t, p.logs.String(), "A source of the context of alerts fails, so alerts are told without it")
}
