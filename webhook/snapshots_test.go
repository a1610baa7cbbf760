package webhook_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/secret"
	"github.com/alertrelay/relay/webhook"
)

// records are snapshots that remember what they were asked.
type records struct {
	kept   []string
	labels map[string]string
	err    error
}

func (r *records) Record(_ context.Context, all []json.RawMessage) ([]error, error) {
	verdicts := make([]error, len(all))
	for i, one := range all {
		if strings.Contains(string(one), "bad") {
			verdicts[i] = errors.New("it is bad")
			continue
		}
		r.kept = append(r.kept, string(one))
	}
	return verdicts, r.err
}

func (r *records) Find(_ context.Context, labels map[string]string) ([]webhook.FoundSnapshot, error) {
	r.labels = labels
	if labels["service"] != "pay" {
		return nil, r.err
	}
	return []webhook.FoundSnapshot{{Key: "service=pay", Snapshot: relay.Snapshot{TraceID: "t"}}}, r.err
}

func TestRecordSnapshots(t *testing.T) {
	t.Parallel()
	const kind = "Content-Type: application/json"
	for _, tc := range []struct {
		name, body string
		code       int
		answer     string
		kept       []string
	}{
		{
			"one", `{"trace_id":"t"}`, 200,
			`{"status":"success","data":{"recorded":1,"refused":[]}}`,
			[]string{`{"trace_id":"t"}`},
		},
		{
			"several, with a bad one between", `[{"a":1},{"bad":1},{"b":1}]`, 200,
			`{"status":"success","data":{"recorded":2,"refused":[{"index":1,"error":"it is bad"}]}}`,
			[]string{`{"a":1}`, `{"b":1}`},
		},
		{"none that is good", `{"bad":1}`, 400, `{"status":"error","errorType":"bad_data","error":"snapshot 0: it is bad"}`, nil},
		{"no JSON", `trace`, 400, "", nil},
		{"something after it", `{} {}`, 400, "", nil},
		{"an empty list", `[]`, 400, `{"status":"error","errorType":"bad_data","error":"the list is empty"}`, nil},
		{
			"too many", "[" + strings.Repeat("1,", 1000) + "1]", 400,
			`{"status":"error","errorType":"bad_data","error":"1001 snapshots are more than 1000"}`, nil,
		},
		{"too long", `"` + strings.Repeat("x", 1<<20) + `"`, 413, "", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := &records{}
			w := send(newHandler(t, webhook.Options{Snapshots: r}), http.MethodPut, "/api/v1/snapshots", tc.body, kind)
			require.Equal(t, tc.code, w.Code, w.Body)
			if tc.answer != "" {
				require.JSONEq(t, tc.answer, w.Body.String())
			}
			require.Equal(t, tc.kept, r.kept)
		})
	}

	h := newHandler(t, webhook.Options{Snapshots: &records{err: errors.New("down")}})
	require.Equal(t, 503, send(h, http.MethodPut, "/api/v1/snapshots", `{}`, kind).Code)
	require.Equal(t, 415, send(h, http.MethodPut, "/api/v1/snapshots", `{}`).Code)
	require.Equal(t, 405, send(h, http.MethodPost, "/api/v1/snapshots", `{}`, kind).Code)
}

// TestHangingSnapshots take nothing from webhooks, and are answered after as long as a webhook would be.
func TestHangingSnapshots(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHandler(t, webhook.Options{Snapshots: &records{}})
		put := func(size int) (answered func() int) {
			conn := connect(t, h)
			_, err := fmt.Fprintf(conn, "PUT /api/v1/snapshots HTTP/1.1\r\nHost: relay\r\n"+
				"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n[", size)
			require.NoError(t, err)
			return func() int {
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				return resp.StatusCode
			}
		}
		began := time.Now()
		require.Equal(t, http.StatusRequestEntityTooLarge, put(32<<20)(), "refused before it takes room")
		var hanging []func() int
		for range 40 {
			hanging = append(hanging, put(1<<20))
		}
		synctest.Wait()
		big := least + strings.Repeat(" ", 8<<20-len(least))
		require.Equal(t, http.StatusOK, send(h, http.MethodPost, "/webhook", big).Code)
		require.Zero(t, time.Since(began))
		for _, answered := range hanging {
			require.Equal(t, http.StatusServiceUnavailable, answered())
		}
		require.Equal(t, 10*time.Second, time.Since(began))
		time.Sleep(time.Minute) // in the bubble's time: the server lingers before it closes
	})
}

func TestFindSnapshots(t *testing.T) {
	t.Parallel()
	r := &records{}
	h := newHandler(t, webhook.Options{Snapshots: r})
	w := send(h, http.MethodGet, "/api/v1/snapshots?label=service=pay&label=path=%2Fa%3Db", "")
	require.JSONEq(t,
		`{"status":"success","data":{"snapshots":[{"key":"service=pay","snapshot":{"trace_id":"t"}}]}}`, w.Body.String())
	require.Equal(t, map[string]string{"service": "pay", "path": "/a=b"}, r.labels)
	require.JSONEq(t, `{"status":"success","data":{"snapshots":[]}}`,
		send(h, http.MethodGet, "/api/v1/snapshots?label=service=x", "").Body.String())
	for _, query := range []string{"", "?label=service", "?label==x", "?service=pay"} {
		require.Equal(t, 400, send(h, http.MethodGet, "/api/v1/snapshots"+query, "").Code, query)
	}
}

func TestSnapshotsAskForTheToken(t *testing.T) {
	t.Parallel()
	h := newHandler(t, webhook.Options{
		Snapshots: &records{}, Auth: webhook.Auth{API: secret.Of(secret.New("operator"), "")},
	})
	require.Equal(t, 401, send(h, http.MethodGet, "/api/v1/snapshots?label=a=b", "").Code)
	require.Equal(t, 403, send(h, http.MethodPut, "/api/v1/snapshots", `{}`, "Authorization: Bearer x").Code)
	require.Equal(t, 200, send(h, http.MethodGet, "/api/v1/snapshots?label=a=b", "", "Authorization: Bearer operator").Code)
}
