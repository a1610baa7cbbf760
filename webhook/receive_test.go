package webhook_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/webhook"
)

func TestAnswers(t *testing.T) {
	t.Parallel()
	failing := func(err error) intake {
		return func(context.Context, webhook.Request) (webhook.Answer, error) { return webhook.Answer{}, err }
	}
	for _, tc := range []struct {
		name    string
		intake  intake
		target  string
		body    string
		headers []string
		code    int
		want    string
	}{
		{
			name: "accepted", code: 200, want: `{"status":"accepted","id":"01A"}`,
			intake: func(context.Context, webhook.Request) (webhook.Answer, error) { return webhook.Answer{ID: "01A"}, nil },
		},
		{
			name: "a duplicate is answered like the first", code: 200, want: `{"status":"duplicate","id":"01A"}`,
			intake: func(context.Context, webhook.Request) (webhook.Answer, error) {
				return webhook.Answer{ID: "01A", Duplicate: true}, nil
			},
		},
		{
			name: "unknown receiver", code: 404, target: "/webhook/oops", intake: failing(fmt.Errorf("take: %w", webhook.ErrUnknownReceiver)),
			want: `{"status":"error","error":"receiver \"oops\" is not configured: ` +
				`correct the URL in Alertmanager or add it to receivers:"}`,
		},
		{
			name: "the store is down", code: 503, intake: failing(errors.New("dial redis://:hunter2@db: refused")),
			want: `{"status":"error","error":"not taken: send it again; the relay's log says why"}`,
		},
		{
			name: "a panic", code: 503, intake: func(context.Context, webhook.Request) (webhook.Answer, error) { panic("hunter2") },
			want: `{"status":"error","error":"internal error: send it again; the relay's log says why"}`,
		},
		{
			name: "not JSON", code: 400, body: "disk full!",
			want: `{"status":"error","error":"not a webhook body in JSON: byte 0: expected an object"}`,
		},
		{
			name: "version 3", code: 400, body: strings.Replace(least, `"4"`, `"3"`, 1),
			want: `{"status":"error","error":"version is \"3\", expected \"4\": the relay reads Alertmanager's own webhook body, ` +
				`not one made by payload: in its webhook_config"}`,
		},
		{
			name: "no alerts", code: 400, body: `{"version":"4","groupKey":"k","alerts":[]}`,
			want: `{"status":"error","error":"no alerts"}`,
		},
		{
			name: "compressed", code: 415, headers: []string{"Content-Encoding: gzip"},
			want: `{"status":"error","error":"the body is compressed (Content-Encoding): send it as it is"}`,
		},
		{name: "identity is no compression", code: 200, headers: []string{"Content-Encoding: identity"}},
		{name: "any content type", code: 200, headers: []string{"Content-Type: text/plain"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var l logs
			if tc.intake == nil {
				tc.intake = take
			}
			if tc.target == "" {
				tc.target = "/webhook"
			}
			if tc.body == "" {
				tc.body = least
			}
			w := send(newHandler(t, webhook.Options{Intake: tc.intake, Logger: l.logger()}), http.MethodPost, tc.target, tc.body, tc.headers...)
			require.Equal(t, tc.code, w.Code, w.Body)
			require.Equal(t, "application/json; charset=utf-8", w.Header().Get("Content-Type"))
			if tc.want != "" {
				require.Equal(t, tc.want, w.Body.String())
			}
			require.Equal(t, tc.code == 503, w.Header().Get("Retry-After") != "")
			require.Equal(t, tc.code != 200, strings.Contains(l.String(), "Refused a request"), "%s", l.String())
		})
	}
}

// TestRequest: what the Intake is given.
func TestRequest(t *testing.T) {
	t.Parallel()
	const trace = "0af7651916cd43dd8448eb211c80319c"
	for _, tc := range []struct {
		name, target string
		headers      []string
		want         webhook.Request
	}{
		{"the tree", "/webhook", nil, webhook.Request{Path: "/webhook"}},
		{"a receiver", "/webhook/ops", nil, webhook.Request{Path: "/webhook/ops", Receiver: "ops"}},
		{
			"a receiver's name as Alertmanager allows it", "/webhook/web.hook%2Fprod+eu%20%28primary%29", nil,
			webhook.Request{Path: "/webhook/web.hook/prod+eu (primary)", Receiver: "web.hook/prod+eu (primary)"},
		},
		{
			"a receiver's name with percent signs, unescaped once", "/webhook/100%2541", nil,
			webhook.Request{Path: "/webhook/100%41", Receiver: "100%41"},
		},
		{
			"in another script", "/webhook/%E5%80%BC%E7%8F%AD", nil, webhook.Request{Path: "/webhook/值班", Receiver: "值班"},
		},
		{
			"a room: another destination, so another path", "/webhook?room_id=10086&x=y", nil,
			webhook.Request{Path: "/webhook?room_id=10086", Room: "10086"},
		},
		{
			"client and trace", "/webhook",
			[]string{"User-Agent: Alertmanager/0.34.2", "Traceparent: 00-" + trace + "-b7ad6b7169203331-01"},
			webhook.Request{Path: "/webhook", Snapshot: relay.Snapshot{TraceID: trace, UserAgent: "Alertmanager/0.34.2"}},
		},
		{
			"a trace that is none", "/webhook",
			[]string{"Traceparent: 00-" + strings.Repeat("0", 32) + "-b7ad6b7169203331-01"},
			webhook.Request{Path: "/webhook"},
		},
		{
			"a hostile trace", "/webhook",
			[]string{"Traceparent: 00-<script>alert(1)</script>......-b7ad6b7169203331-01"},
			webhook.Request{Path: "/webhook"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var got webhook.Request
			h := newHandler(t, webhook.Options{Intake: intake(func(ctx context.Context, r webhook.Request) (webhook.Answer, error) {
				got = r
				return take(ctx, r)
			})})
			before := time.Now()
			w := send(h, http.MethodPost, tc.target, least, tc.headers...)
			require.Equal(t, http.StatusOK, w.Code, w.Body)

			id, err := ulid.ParseStrict(got.Notification.ID)
			require.NoError(t, err)
			require.WithinDuration(t, before, id.Timestamp(), time.Second)
			require.WithinDuration(t, before, got.Notification.ReceivedAt, time.Second)
			require.Equal(t, "k", got.Notification.GroupKey)
			got.Notification = nil
			require.Equal(t, tc.want, got)
		})
	}
}

func TestIDsRise(t *testing.T) {
	t.Parallel()
	h := newHandler(t, webhook.Options{})
	last := ""
	for range 1000 {
		var answer struct{ ID string }
		require.NoError(t, json.Unmarshal(send(h, http.MethodPost, "/webhook", least).Body.Bytes(), &answer))
		require.Greater(t, answer.ID, last)
		last = answer.ID
	}
}

// TestSenderGoesAway: what was begun is finished, within the time that the Intake has.
func TestSenderGoesAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sender, goAway := context.WithCancel(t.Context())
		h := newHandler(t, webhook.Options{Intake: intake(func(ctx context.Context, _ webhook.Request) (webhook.Answer, error) {
			goAway()
			began := time.Now()
			<-ctx.Done()
			require.Equal(t, 5*time.Second, time.Since(began))
			return webhook.Answer{}, ctx.Err()
		})})
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(sender, http.MethodPost, "/webhook", strings.NewReader(least)))
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
	})
}

// TestSlowBody: a network that is slow now may be fast with the next try, so it is a 503.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		conn := connect(t, newHandler(t, webhook.Options{}))
		began := time.Now()
		_, err := fmt.Fprintf(conn, "POST /webhook HTTP/1.1\r\nHost: relay\r\nContent-Length: %d\r\n\r\n%s", len(least), least[:20])
		require.NoError(t, err)
		answers := bufio.NewReader(conn)
		resp, err := http.ReadResponse(answers, nil)
		require.NoError(t, err)
		defer resp.Body.Close()
		require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
		require.True(t, resp.Close)
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Hour)))
		_, err = answers.ReadByte()
		require.ErrorIs(t, err, io.EOF, "nobody waits for the rest of the body")
		require.Equal(t, 10*time.Second, time.Since(began))
	})
}

// TestConnectionIsKept: the bound on reading a body does not end the connection later.
func TestConnectionIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		conn := connect(t, newHandler(t, webhook.Options{}))
		answers := bufio.NewReader(conn)
		for range 3 {
			_, err := fmt.Fprintf(conn, "POST /webhook HTTP/1.1\r\nHost: relay\r\nContent-Length: %d\r\n\r\n%s", len(least), least)
			require.NoError(t, err)
			resp, err := http.ReadResponse(answers, nil)
			require.NoError(t, err)
			_, err = io.Copy(io.Discard, resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, http.StatusOK, resp.StatusCode)
			time.Sleep(4 * time.Minute) // in the bubble's time: as long as Alertmanager keeps it
		}
	})
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(newHandler(t, webhook.Options{}))
	t.Cleanup(server.Close)
	for _, tc := range []struct {
		name string
		body io.Reader
		code int
	}{
		{"11 MB, announced", strings.NewReader(strings.Repeat(" ", 11_000_000)), 413},
		{"11 MB, chunked", io.MultiReader(strings.NewReader(strings.Repeat(" ", 11_000_000))), 413},
		{"just below the bound", strings.NewReader(least + strings.Repeat(" ", 10<<20-len(least))), 200},
		{"just below the bound, chunked", io.MultiReader(strings.NewReader(least + strings.Repeat(" ", 10<<20-len(least)))), 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/webhook", tc.body)
			require.NoError(t, err)
			resp, err := server.Client().Do(r)
			require.NoError(t, err)
			defer resp.Body.Close()
			answer, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Equal(t, tc.code, resp.StatusCode, "%s", answer)
		})
	}
}

// TestBigNotifications: what a sender may send is taken, and does not stay in memory.
func TestBigNotifications(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, body string
		alerts     int
	}{
		{"10,000 alerts", string(bodyOf(t, 10_000)), 10_000},
		{"a label value of 64 KiB", strings.Replace(least, `"status"`, `"labels":{"a":"`+strings.Repeat("界", 64<<10/3)+`"},"status"`, 1), 1},
		{"escaped control characters", strings.Replace(least, `"status"`, `"labels":{"a":"\u0000\u001b[31m\u202e"},"status"`, 1), 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			alerts := 0
			h := newHandler(t, webhook.Options{Intake: intake(func(_ context.Context, r webhook.Request) (webhook.Answer, error) {
				alerts = len(r.Notification.Alerts)
				return webhook.Answer{}, nil
			})})
			w := send(h, http.MethodPost, "/webhook", tc.body)
			require.Equal(t, http.StatusOK, w.Code, w.Body)
			require.Equal(t, tc.alerts, alerts)
		})
	}
}

// TestBigBodiesWait: only so many big bodies are read at one time; small ones pass them by, and who waits too long is
// told to come again.
func TestBigBodiesWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHandler(t, webhook.Options{})
		post := func(body io.Reader, size int64) int {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/webhook", body)
			r.ContentLength = size
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w.Code
		}
		var open []*io.PipeWriter
		var wg sync.WaitGroup
		for range 4 { // 32 MiB
			body, w := io.Pipe()
			open = append(open, w)
			wg.Go(func() { post(body, 8<<20) })
		}
		synctest.Wait()
		require.Equal(t, http.StatusOK, post(strings.NewReader(least), int64(len(least))), "a small one")
		began := time.Now()
		require.Equal(t, http.StatusServiceUnavailable, post(strings.NewReader(strings.Repeat(" ", 1<<20)), 1<<20), "a big one")
		require.Equal(t, 10*time.Second, time.Since(began))
		for _, w := range open {
			require.NoError(t, w.Close())
		}
		wg.Wait()
		big := least + strings.Repeat(" ", 8<<20-len(least))
		require.Equal(t, http.StatusOK, post(strings.NewReader(big), 8<<20), "room was given back")
	})
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	duplicate := false
	h := newHandler(t, webhook.Options{
		Metrics: webhook.NewMetrics(registry), Gatherer: registry,
		Intake: intake(func(context.Context, webhook.Request) (webhook.Answer, error) {
			return webhook.Answer{Duplicate: duplicate}, nil
		}),
	})
	const names = "relay_webhook_requests_total relay_notifications_received_total relay_notifications_deduplicated_total " +
		"relay_alerts_received_total"
	expect := func(text string) {
		t.Helper()
		require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(text), strings.Fields(names)...))
	}
	count := func(answered map[int]int, received, deduplicated, firing, resolved int) string {
		var b strings.Builder
		b.WriteString("# HELP relay_webhook_requests_total Requests that were to be webhooks, by the status code of the answer.\n" +
			"# TYPE relay_webhook_requests_total counter\n")
		for _, code := range []int{200, 400, 401, 403, 404, 405, 413, 415, 503} {
			fmt.Fprintf(&b, "relay_webhook_requests_total{code=\"%d\"} %d\n", code, answered[code])
		}
		fmt.Fprintf(&b, `# HELP relay_notifications_received_total Notifications answered with 200, duplicates among them.
# TYPE relay_notifications_received_total counter
relay_notifications_received_total %d
# HELP relay_notifications_deduplicated_total Notifications that were duplicates of the one last accepted for their group.
# TYPE relay_notifications_deduplicated_total counter
relay_notifications_deduplicated_total %d
# HELP relay_alerts_received_total Alerts in accepted notifications, those of duplicates not counted.
# TYPE relay_alerts_received_total counter
relay_alerts_received_total{status="firing"} %d
relay_alerts_received_total{status="resolved"} %d
`, received, deduplicated, firing, resolved)
		return b.String()
	}
	expect(count(nil, 0, 0, 0, 0))

	send(h, http.MethodPost, "/webhook", string(bodyOf(t, 50)))
	duplicate = true
	send(h, http.MethodPost, "/webhook", least)
	send(h, http.MethodPost, "/webhook", "")
	send(h, http.MethodPost, "/webhook/", least)
	send(h, http.MethodGet, "/webhook", "")
	send(h, http.MethodGet, "/-/healthy", "")
	expect(count(map[int]int{200: 2, 400: 1, 404: 1, 405: 1}, 2, 1, 50, 0))
	require.Contains(t, send(h, http.MethodGet, "/metrics", "").Body.String(), "relay_webhook_request_duration_seconds_count 5")
}

// TestRefusalsAreLoggedOncePerMinute, because Alertmanager repeats a refused webhook until it is mended.
func TestRefusalsAreLoggedOncePerMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l logs
		h := newHandler(t, webhook.Options{Logger: l.logger()})
		for range 5 {
			send(h, http.MethodPost, "/webhook", "oops", "Authorization: Bearer hunter2")
			send(h, http.MethodPost, "/elsewhere?token=hunter2", least)
		}
		require.Equal(t, 2, strings.Count(l.String(), "Refused a request"), l.String())
		time.Sleep(time.Minute)
		send(h, http.MethodPost, "/webhook", "oops")
		require.Equal(t, 3, strings.Count(l.String(), "Refused a request"), l.String())
		require.Contains(t, l.String(), "not_logged_before=4")
		require.NotContains(t, l.String(), "hunter2")
	})
}

// TestManyRefusalsAreFewLines, whatever is wrong with them, and what comes a minute later is logged again.
func TestManyRefusalsAreFewLines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l logs
		h := newHandler(t, webhook.Options{Logger: l.logger()})
		for i := range 1000 {
			send(h, http.MethodPost, "/webhook/"+strconv.Itoa(i)+"/x", strings.Repeat("[", i))
			send(h, http.MethodPost, "/webhook", `{"alerts":`+strings.Repeat(`[`, i))
		}
		require.Equal(t, 64, strings.Count(l.String(), "Refused a request"))
		time.Sleep(time.Minute)
		send(h, http.MethodPost, "/webhook/new/x", least)
		require.Equal(t, 65, strings.Count(l.String(), "Refused a request"))
	})
}

// connect returns a connection to a server of h, both in memory.
func connect(t *testing.T, h http.Handler) net.Conn {
	t.Helper()
	listener := newPipeListener()
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }() // ends with Close
	conn := listener.dial()
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		require.NoError(t, server.Close())
	})
	return conn
}

// pipeListener accepts connections in memory, so that their deadlines follow a bubble's time.
type pipeListener struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *pipeListener) dial() net.Conn {
	client, server := net.Pipe()
	l.conns <- server
	return client
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// discard is a ResponseWriter that keeps nothing.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

func BenchmarkHandler(b *testing.B) {
	for _, alerts := range []int{1, 50, 10_000} {
		body := string(bodyOf(b, alerts))
		b.Run(strconv.Itoa(alerts)+" alerts", func(b *testing.B) {
			h := newHandler(b, webhook.Options{})
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				r, _ := http.NewRequestWithContext(context.Background(), http.MethodPost, "/webhook", strings.NewReader(body))
				h.ServeHTTP(discard{http.Header{}}, r)
			}
		})
	}
}
