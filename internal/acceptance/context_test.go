package acceptance_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/parts"
)

// The request that suffers.
const (
	suffererTrace  = "4bf92f3577b34da6a3ce929d0e0e4736"
	suffererRoom   = "10086"
	suffererClient = "RoomClient/3.2 (Android 15)"
)

// TestTheRequestThatSuffered goes the whole way: a service answers 500 to a request, Prometheus scrapes it and finds that
// its alert fires, Alertmanager notifies the relay, and the readers of all four inboxes see which request it was, when the
// alert fires and when it is resolved.
func TestTheRequestThatSuffered(t *testing.T) {
	t.Parallel()
	const (
		ofOneService = `sum by (service, instance) (rate(http_requests_total{code=~"5.."}[5s])) > 0`
		ofAll        = `shop:errors:ratio_rate5s > 0.01`
	)
	for _, tc := range []struct {
		name       string
		expression string
		exemplars  bool
		redis      bool
	}{
		// The alert has the labels under which the service records.
		{"recorded through the relay", ofOneService, false, false},
		{"recorded in the relay's Redis", ofOneService, false, true},
		// The alert has no label of the service: its expression, a recorded series, leads to the trace, and the trace to the
		// client.
		{"an exemplar, and what was recorded under its trace", ofAll, true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			parts.Binary(t, "prometheus")
			parts.Binary(t, "prometheus-alertmanager")
			prometheus := parts.FreeAddress(t)
			var keys []string
			if tc.exemplars {
				keys = append(keys, fmt.Sprintf("exemplars: {url: 'http://%s'}", prometheus))
			}
			var storage string
			var records []string
			if tc.redis {
				redis := parts.StartRedis(t)
				storage = fmt.Sprintf("storage: {redis: {addresses: ['%s']}}", redis.Address)
				records = append(records, "--redis="+redis.Address)
			}
			relay := startRelayWith(t, 10*time.Minute, storage, keys...)
			service := startService(t, append(records, "--relay="+relay.url)...)

			stop := service.failFor(t)
			awaitSnapshot(t, relay.url)
			am := parts.StartAlertmanager(t, "prometheus-alertmanager", fmt.Sprintf(alertmanagerConfig, "1s", "1h", relay.url))
			parts.StartPrometheus(t, prometheus, fmt.Sprintf(prometheusConfig, strings.TrimPrefix(am.URL, "http://"), service.address),
				map[string]string{"rules.yml": fmt.Sprintf(rules, tc.expression)})
			relay.awaitAll(t, "critical")
			stop()
			relay.awaitAll(t, "resolved")
			for _, name := range inboxes() {
				for _, m := range relay.vendors.Inbox(name) {
					for _, want := range []string{
						suffererRoom, suffererClient, "http://jaeger.example.org/trace/" + suffererTrace,
					} {
						require.Containsf(t, m.Title+m.Text, want, "a message in %s", name)
					}
				}
			}
			require.Zero(t, service.Stop(t))
		})
	}
}

const prometheusConfig = `
global: {scrape_interval: 1s, evaluation_interval: 1s, external_labels: {cluster: test}}
alerting: {alertmanagers: [{static_configs: [{targets: ['%s']}]}]}
rule_files: [rules.yml]
scrape_configs:
  - job_name: shop
    static_configs: [{targets: ['%s'], labels: {service: pay}}]
`

const rules = `
groups:
  - name: shop
    rules:
      - record: shop:errors:ratio_rate5s
        expr: sum(rate(http_requests_total{code=~"5.."}[5s])) / sum(rate(http_requests_total[5s]))
      - alert: PaymentErrors
        expr: '%s'
        labels: {severity: critical}
        annotations: {summary: Payments fail}
`

// A serviceProcess is the example of recorder/, a gin service.
type serviceProcess struct {
	*parts.Process
	address string
}

func startService(t *testing.T, args ...string) *serviceProcess {
	t.Helper()
	s := &serviceProcess{address: parts.FreeAddress(t)}
	s.Process = parts.Start(t, parts.ServiceBinary(t), append(args, "--listen="+s.address)...)
	s.Ready(t, "http://"+s.address+"/metrics")
	return s
}

// failFor lets the service fail the sufferer's requests, and answer those of others, until the test stops it.
func (s *serviceProcess) failFor(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ticker := time.NewTicker(50 * time.Millisecond); ; {
			s.get(ctx, "/rooms/"+suffererRoom+"/pay?fail=true", suffererTrace, suffererClient)
			s.get(ctx, "/rooms/7/pay", strings.Repeat("7", 32), "HappyClient/1.0")
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	}()
	t.Cleanup(cancel)
	return func() { cancel(); <-done }
}

func (s *serviceProcess) get(ctx context.Context, path, trace, client string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address+path, nil)
	if err != nil {
		return
	}
	req.Header.Set("User-Agent", client)
	req.Header.Set("Traceparent", "00-"+trace+"-00f067aa0ba902b7-01")
	if resp, err := http.DefaultClient.Do(req); err == nil {
		resp.Body.Close()
	}
}

// awaitSnapshot waits until the relay has what the service recorded.
func awaitSnapshot(t *testing.T, url string) {
	t.Helper()
	parts.WaitFor(t, "the service to record", func() error {
		resp, err := http.Get(url + "/api/v1/snapshots?label=service=pay")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		var answer struct {
			Data struct {
				Snapshots []struct {
					Snapshot map[string]any `json:"snapshot"`
				} `json:"snapshots"`
			} `json:"data"`
		}
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			return err
		}
		for _, s := range answer.Data.Snapshots {
			if s.Snapshot["trace_id"] == suffererTrace {
				return nil
			}
		}
		return fmt.Errorf("answered %s: %+v", resp.Status, answer)
	})
}

// awaitAll waits until the newest message of each inbox has a text, in lower case.
func (r *relayProcess) awaitAll(t *testing.T, text string) {
	t.Helper()
	parts.WaitFor(t, text+" in all inboxes", func() error {
		for _, name := range inboxes() {
			messages := r.vendors.Inbox(name)
			if len(messages) == 0 {
				return fmt.Errorf("%s is empty", name)
			}
			if m := messages[len(messages)-1]; !strings.Contains(strings.ToLower(m.Title+m.Text), text) {
				return fmt.Errorf("%s says %s: %s", name, m.Title, m.Text)
			}
		}
		return nil
	})
}
