package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/secret"
	"github.com/alertrelay/relay/webhook"
)

// archive are Operations that remember what they were asked and answer one row each.
type archive struct {
	asked any
	err   error
}

func (a *archive) Notifications(
	_ context.Context, q webhook.NotificationQuery,
) ([]webhook.Notification, string, error) {
	a.asked = q
	return nil, "", a.err
}

func (a *archive) Notification(_ context.Context, id string) (webhook.NotificationDetail, error) {
	a.asked = id
	return webhook.NotificationDetail{
		Notification: webhook.Notification{ID: id}, Stored: []json.RawMessage{[]byte(`{"version":"4"}`)},
	}, a.err
}

func (a *archive) Deliveries(_ context.Context, q webhook.DeliveryQuery) ([]webhook.Delivery, string, error) {
	a.asked = q
	return []webhook.Delivery{{ID: "a-0", State: "sent"}}, "next", a.err
}

func (a *archive) DeadLetters(_ context.Context, q webhook.DeadLetterQuery) ([]webhook.DeadLetter, string, error) {
	a.asked = q
	return []webhook.DeadLetter{{ID: "a-0"}}, "", a.err
}

func (a *archive) Requeue(_ context.Context, ids []string, force bool) ([]webhook.Decision, error) {
	a.asked = fmt.Sprint(ids, force)
	return []webhook.Decision{{ID: "a"}, {ID: "b", Reason: "newer_sent", Text: "newer news"}}, a.err
}

func (a *archive) Drop(_ context.Context, ids []string) ([]webhook.Decision, error) {
	a.asked = fmt.Sprint(ids)
	return []webhook.Decision{{ID: "a"}}, a.err
}

func newAPI(t *testing.T) (*archive, http.Handler) {
	t.Helper()
	a := &archive{}
	return a, newHandler(t, webhook.Options{Operations: a})
}

func TestAPIQueries(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	page := webhook.Page{Limit: 100}
	for target, want := range map[string]any{
		"/notifications": webhook.NotificationQuery{Page: page},
		"/notifications?receiver=r&groupKey=g&status=firing&since=2026-11-20T08:00:00Z&until=1795161600.5&limit=7&cursor=c": webhook.NotificationQuery{
			Page: webhook.Page{Limit: 7, Cursor: "c"}, Receiver: "r", GroupKey: "g", Status: "firing", Since: at,
			Until: time.Unix(1795161600, 5e8).UTC(),
		},
		"/notifications/01": "01",
		"/deliveries":       webhook.DeliveryQuery{Page: page},
		"/deliveries?state=sent,failed&state=sent&integration=ops%2Fslack%2Fa&receiver=ops&destination=d&notification=n": webhook.DeliveryQuery{
			Page: page, States: []string{"sent", "failed"},
			Filter: webhook.Filter{Receiver: "ops", Integration: "ops/slack/a", Destination: "d", Notification: "n"},
		},
		"/dead-letters?reason=refused&limit=1000": webhook.DeadLetterQuery{Page: webhook.Page{Limit: 1000}, Reason: "refused"},
	} {
		a, h := newAPI(t)
		w := send(h, http.MethodGet, "/api/v1"+target, "")
		require.Equal(t, 200, w.Code, "%s: %s", target, w.Body)
		require.Equal(t, want, a.asked, target)
		require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	}
}

func TestAPIAnswers(t *testing.T) {
	t.Parallel()
	_, h := newAPI(t)
	require.JSONEq(t, `{"status":"success","data":{"notifications":[]}}`,
		send(h, http.MethodGet, "/api/v1/notifications", "").Body.String())
	require.JSONEq(t, `{"status":"success","data":{"nextCursor":"next","deliveries":[{"id":"a-0","notification":"",
		"state":"sent","integration":"","destination":"","groupKey":"","receiver":"","status":"","alerts":0,
		"at":"0001-01-01T00:00:00Z","attempts":0}]}}`, send(h, http.MethodGet, "/api/v1/deliveries", "").Body.String())
	require.JSONEq(t, `{"status":"success","data":{"id":"01","receivedAt":"0001-01-01T00:00:00Z","groupKey":"",
		"receiver":"","status":"","alerts":0,"entries":0,"deliveries":[],"events":[],"stored":[{"version":"4"}]}}`,
		send(h, http.MethodGet, "/api/v1/notifications/01", "").Body.String())
}

func TestAPIRefusesWrongParameters(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]string{
		"/deliveries?limit=0":                             `parameter "limit": it is a number from 1 to 1000`,
		"/deliveries?limit=1001":                          `parameter "limit": it is a number from 1 to 1000`,
		"/deliveries?limit=ten":                           `parameter "limit": it is a number from 1 to 1000`,
		"/deliveries?state=lost":                          `parameter "state": it is one or several of pending, retrying, sent, merged, failed`,
		"/deliveries?since=yesterday":                     `parameter "since": it is a time as 2026-11-20T08:00:00Z, or in seconds since 1970`,
		"/deliveries?until=NaN":                           `parameter "until": it is a time as 2026-11-20T08:00:00Z, or in seconds since 1970`,
		"/deliveries?receiver=a&receiver=b":               `parameter "receiver": give it once`,
		"/deliveries?cursor=" + strings.Repeat("x", 5000): `parameter "cursor": it is too long`,
		"/deliveries?staet=sent":                          `parameter "staet": unknown; this path takes cursor, destination, groupKey, integration, limit, notification, receiver, since, state, until`,
		"/notifications?status=on":                        `parameter "status": it is one of firing, resolved`,
		"/notifications/01?x=1":                           `parameter "x": this path takes none`,
		"/dead-letters?reason=a&reason=b":                 `parameter "reason": give it once`,
		"/dead-letters?%zz":                               `the query cannot be read`,
	} {
		a, h := newAPI(t)
		w := send(h, http.MethodGet, "/api/v1"+target, "")
		require.Equal(t, 400, w.Code, target)
		require.Nil(t, a.asked, target)
		text, err := json.Marshal(want)
		require.NoError(t, err)
		require.JSONEq(t, `{"status":"error","errorType":"bad_data","error":`+string(text)+`}`, w.Body.String())
	}
}

func TestAPIErrors(t *testing.T) {
	t.Parallel()
	var l logs
	a := &archive{}
	h := newHandler(t, webhook.Options{Operations: a, Logger: l.logger()})
	for _, tc := range []struct {
		err  error
		code int
		kind string
	}{
		{fmt.Errorf("x: %w", webhook.ErrBadCursor), 400, "bad_data"},
		{fmt.Errorf("x: %w", webhook.ErrNotFound), 404, "not_found"},
		{fmt.Errorf("x: %w", webhook.ErrFull), 503, "unavailable"},
		{errors.New("disk at /var/lib/relay gone"), 503, "unavailable"},
	} {
		a.err = tc.err
		w := send(h, http.MethodGet, "/api/v1/notifications/01", "")
		require.Equal(t, tc.code, w.Code)
		require.Contains(t, w.Body.String(), `"errorType":"`+tc.kind+`"`)
		require.NotContains(t, w.Body.String(), "/var/lib")
	}
	require.Contains(t, l.String(), "disk at /var/lib/relay gone")
}

func TestAPIOrders(t *testing.T) {
	t.Parallel()
	const asJSON = "Content-Type: application/json; charset=utf-8"
	a, h := newAPI(t)
	w := send(h, http.MethodPost, "/api/v1/dead-letters/requeue", `{"ids":["a","b"],"force":true}`, asJSON)
	require.Equal(t, 200, w.Code)
	require.Equal(t, "[a b] true", a.asked)
	require.JSONEq(t, `{"status":"success","data":{"requeued":["a"],"refused":[{"id":"b","reason":"newer_sent",
		"error":"newer news"}]},"warnings":["1 of 2 dead letters were not requeued"]}`, w.Body.String())
	w = send(h, http.MethodPost, "/api/v1/dead-letters/drop", `{"ids":["a"]}`, asJSON)
	require.Equal(t, "[a]", a.asked)
	require.JSONEq(t, `{"status":"success","data":{"dropped":["a"],"refused":[]}}`, w.Body.String())

	for _, tc := range []struct {
		name, path, body, header string
		code                     int
		text                     string
	}{
		{"a form of another page", "requeue", `{"ids":["a"]}`, "Content-Type: text/plain", 415, "Content-Type"},
		{"no type", "drop", `{"ids":["a"]}`, "X: y", 415, "Content-Type"},
		{"not JSON", "requeue", `ids=a`, asJSON, 400, "the body must be"},
		{"nothing", "requeue", ``, asJSON, 400, "the body must be"},
		{"no ids", "requeue", `{}`, asJSON, 400, `field \"ids\"`},
		{"an unknown field", "requeue", `{"id":["a"]}`, asJSON, 400, `unknown field \"id\"`},
		{"more", "requeue", `{"ids":["a"]}{}`, asJSON, 400, "more after"},
		{"too many", "drop", `{"ids":["a"` + strings.Repeat(`,"a"`, 1000) + `]}`, asJSON, 400, "1001 are more than 1000"},
		{"too long", "drop", `{"ids":["` + strings.Repeat("a", 2<<20) + `"]}`, asJSON, 413, "1 MiB"},
		{"a forced drop", "drop", `{"ids":["a"],"force":true}`, asJSON, 400, `field \"force\"`},
	} {
		a, h := newAPI(t)
		w := send(h, http.MethodPost, "/api/v1/dead-letters/"+tc.path, tc.body, tc.header)
		require.Equal(t, tc.code, w.Code, "%s: %s", tc.name, w.Body)
		require.Contains(t, w.Body.String(), tc.text, tc.name)
		require.Nil(t, a.asked, tc.name)
	}
	require.Equal(t, 405, send(h, http.MethodGet, "/api/v1/dead-letters/drop", "").Code)
}

func TestAPIAsksForItsToken(t *testing.T) {
	t.Parallel()
	a := &archive{}
	h := newHandler(t, webhook.Options{
		Operations: a, Gatherer: prometheus.NewRegistry(),
		Auth: webhook.Auth{
			API: secret.Of(secret.New("operator"), ""), Webhook: secret.Of(secret.New("sender"), ""),
		},
	})
	for _, path := range []string{"/notifications", "/notifications/01", "/deliveries", "/dead-letters"} {
		require.Equal(t, 401, send(h, http.MethodGet, "/api/v1"+path, "").Code)
		require.Equal(t, 403, send(h, http.MethodGet, "/api/v1"+path, "", "Authorization: Bearer sender").Code)
		require.Equal(t, 200, send(h, http.MethodGet, "/api/v1"+path, "", "Authorization: Bearer operator").Code)
	}
	a.asked = nil
	for _, path := range []string{"/requeue", "/drop"} {
		w := send(h, http.MethodPost, "/api/v1/dead-letters"+path, `{"ids":["a"]}`, "Content-Type: application/json")
		require.Equal(t, 401, w.Code)
		require.Nil(t, a.asked)
	}
}
