package operator_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/common/config"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/operator"
)

func client(t *testing.T, h http.HandlerFunc) *operator.Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := operator.New(s.URL+"/prefix/", config.DefaultHTTPClientConfig)
	require.NoError(t, err)
	return c
}

func TestRowsFollowsTheCursors(t *testing.T) {
	t.Parallel()
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/prefix/api/v1/deliveries" || r.URL.Query().Get("state") != "sent" {
			http.Error(w, "wrong", http.StatusTeapot)
			return
		}
		at, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
		limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
		next := ""
		if at < 4 {
			next = fmt.Sprintf(`,"nextCursor":"%d"`, at+1)
		}
		rows := `{"id":"` + strconv.Itoa(at) + `","of the future":1}`
		if at == 2 || limit == 0 {
			rows = "" // a page may be empty
		}
		fmt.Fprintf(w, `{"status":"success","data":{"deliveries":[%s]%s}}`, rows, next)
	})
	query := url.Values{"state": {"sent"}}
	rows, err := c.Rows(t.Context(), operator.Deliveries, query, 0)
	require.NoError(t, err)
	require.Len(t, rows, 4)
	rows, err = c.Rows(t.Context(), operator.Deliveries, query, 3)
	require.NoError(t, err)
	require.Len(t, rows, 3)
	require.Equal(t, "3", rows[2].ID)
	text, err := json.Marshal(rows[0])
	require.NoError(t, err)
	require.JSONEq(t, `{"id":"0","of the future":1}`, string(text))
}

func TestGiveOrdersInBlocks(t *testing.T) {
	t.Parallel()
	var sizes []int
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		var o struct {
			IDs   []string `json:"ids"`
			Force bool     `json:"force"`
		}
		if json.NewDecoder(r.Body).Decode(&o) != nil || !o.Force || r.Header.Get("Content-Type") != "application/json" {
			http.Error(w, "wrong", http.StatusTeapot)
			return
		}
		sizes = append(sizes, len(o.IDs))
		fmt.Fprintf(w, `{"status":"success","data":{"requeued":[%q],"refused":[{"id":"x","reason":"not_found"}]}}`, o.IDs[0])
	})
	ids := make([]string, 2500)
	for i := range ids {
		ids[i] = strconv.Itoa(i)
	}
	result, err := c.Give(t.Context(), operator.Requeue, ids, true)
	require.NoError(t, err)
	require.Equal(t, []int{1000, 1000, 500}, sizes)
	require.Equal(t, []string{"0", "1000", "2000"}, result.Done)
	require.Len(t, result.Refused, 3)
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, body, want string
		code             int
		usage            bool
	}{
		{"a wrong parameter", `{"status":"error","errorType":"bad_data","error":"parameter \"x\""}`, `parameter "x"`, 400, true},
		{"no token", `{"status":"error","error":"a bearer token is needed"}`, "--relay.token-file", 401, false},
		{"not a relay", `<html>`, "is the URL right?", 200, false},
		{"another server", `{}`, "is the URL right?", 404, false},
		{"a redirect", ``, "is the URL right?", 302, false},
		{"the store is down", `{"status":"error","errorType":"unavailable","error":"try again\u001b[2J"}`, "503 Service Unavailable: try again·[2J", 503, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := client(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "http://192.0.2.1/")
				w.WriteHeader(tc.code)
				fmt.Fprint(w, tc.body)
			})
			_, err := c.Rows(t.Context(), operator.DeadLetters, nil, 1)
			require.ErrorContains(t, err, tc.want)
			var usage *operator.UsageError
			if tc.usage {
				require.ErrorAs(t, err, &usage)
			} else {
				require.NotErrorAs(t, err, &usage)
			}
		})
	}
	for _, wrong := range []string{"", "relay", "ftp://relay", "http://", "http://relay/?x=1"} {
		_, err := operator.New(wrong, config.DefaultHTTPClientConfig)
		require.Error(t, err, wrong)
	}
}

func TestTableKeepsTheTerminalSafe(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	require.NoError(t, operator.WriteTable(&b, operator.DeadLetters, []operator.Row{{
		ID: "a-0", FailedAt: time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC), Integration: "ops/slack/hook",
		Destination: "#ops", Alerts: 2, Status: "firing", Reason: "refused",
		Detail: "no\x1b[2J\r\nnews: " + string(bytes.Repeat([]byte("x"), 100)), GroupKey: "{}:{alertname=\"延迟\"}\u202e",
	}}, time.UTC))
	require.Equal(t, `ID   FAILED               INTEGRATION     DESTINATION  ALERTS    REASON   DETAIL                                                        GROUP
a-0  2026-11-20 08:00:00  ops/slack/hook  #ops         2 firing  refused  no·[2J  news: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…  {}:{alertname="延迟"}·
`, b.String())
	b.Reset()
	require.NoError(t, operator.WriteTable(&b, operator.Deliveries, nil, time.UTC))
	require.Equal(t, "None.\n", b.String())
}
