package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/dedupe"
	"github.com/alertrelay/relay/internal/parts"
	"github.com/alertrelay/relay/internal/secret"
	"github.com/alertrelay/relay/webhook"
)

// TestRealAlertmanager: a real Alertmanager comes again after a 503, says the same, and is content with 200; it shows the
// token and reaches the receiver whose name needs escaping.
func TestRealAlertmanager(t *testing.T) {
	t.Parallel()
	for _, binary := range parts.Alertmanagers() {
		t.Run(binary, func(t *testing.T) {
			t.Parallel()
			parts.Binary(t, binary)
			const receiver = "web.hook/prod+eu (primary)"
			requests := make(chan webhook.Request, 10)
			tries := 0
			var l logs
			h := newHandler(t, webhook.Options{
				Auth: webhook.Auth{Receivers: map[string]secret.Value{receiver: secret.Of(secret.New("hunter2"), "")}},
				Intake: intake(func(ctx context.Context, r webhook.Request) (webhook.Answer, error) {
					requests <- r
					if tries++; tries <= 2 { // one flush at a time, so one request at a time
						return webhook.Answer{}, errors.New("the store is down")
					}
					return take(ctx, r)
				}),
				Metrics: webhook.NewMetrics(prometheus.NewRegistry()), Logger: l.logger(),
			})
			server := httptest.NewServer(h)
			defer server.Close()
			am := parts.StartAlertmanager(t, binary, fmt.Sprintf(`
route: {receiver: '%s', group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}
receivers:
  - name: '%s'
    webhook_configs:
      - url: '%s/webhook/web.hook%%2Fprod+eu%%20%%28primary%%29?room_id=10086'
        http_config: {authorization: {credentials: hunter2}}
`, receiver, receiver, server.URL))

			labels := map[string]string{"alertname": "DiskFull", "instance": "db-1"}
			am.Post(t, parts.Alert{Labels: labels, Annotations: map[string]string{"summary": "满了"}})
			first := next(t, requests)
			require.Equal(t, receiver, first.Receiver)
			require.Equal(t, receiver, first.Notification.ReceiverName())
			require.Equal(t, "10086", first.Room)
			require.True(t, strings.HasPrefix(first.Snapshot.UserAgent, "Alertmanager/"), first.Snapshot.UserAgent)
			require.Equal(t, "满了", first.Notification.CommonAnnotations["summary"])
			for range 2 {
				again := next(t, requests)
				require.Equal(t, first.Path, again.Path)
				require.Equal(t, first.Notification.GroupKey, again.Notification.GroupKey)
				require.Equal(t, dedupe.StateOf(first.Notification), dedupe.StateOf(again.Notification), "a retry says the same")
				require.NotEqual(t, first.Notification.ID, again.Notification.ID)
			}

			am.Post(t, parts.Alert{Labels: labels, EndsAt: time.Now()})
			resolved := next(t, requests)
			require.Equal(t, relay.StatusResolved, resolved.Notification.Status)
			require.Equal(t, first.Notification.Alerts[0].Key(), resolved.Notification.Alerts[0].Key())
			require.NotContains(t, l.String(), "hunter2")
			require.Contains(t, am.Log(), "not taken: send it again", "Alertmanager's own log says why")
		})
	}
}

func next(t *testing.T, requests <-chan webhook.Request) webhook.Request {
	t.Helper()
	select {
	case r := <-requests:
		return r
	case <-time.After(2 * time.Minute):
		require.FailNow(t, "Alertmanager sent nothing")
		return webhook.Request{}
	}
}
