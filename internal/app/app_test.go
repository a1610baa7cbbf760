package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/config"
	"github.com/alertrelay/relay/internal/app"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// It starts the programs, and stays as long as they may.
		goleak.IgnoreTopFunction("github.com/alertrelay/relay/internal/parts.onMainThread.func1.1"),
		// It sleeps for a second before it sees that its pool was closed.
		goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// What is waited for comes at once; wait is for a busy machine.
const (
	wait = time.Minute
	tick = 5 * time.Millisecond
)

// A process is a relay that runs within the test.
type process struct {
	*app.App

	url  string
	file string // of its configuration
	logs *logs
	stop func() // drains it; further calls do nothing
}

// start runs a relay with a configuration until the test ends. change may be nil.
func start(t *testing.T, storage, text string, change func(*app.Options)) *process {
	t.Helper()
	p := launch(t, storage, text, change)
	require.Eventually(t, func() bool { return p.Ready() == nil }, wait, tick)
	return p
}

// launch is start without waiting until the relay is ready.
func launch(t *testing.T, storage, text string, change func(*app.Options)) *process {
	t.Helper()
	p := &process{file: filepath.Join(t.TempDir(), "config.yaml"), logs: new(logs)}
	p.configure(t, text)
	c, err := config.Load(p.file)
	require.NoError(t, err)
	o := app.Options{
		StoragePath:     storage,
		ListenAddresses: []string{"127.0.0.1:0"},
		Logger:          slog.New(slog.NewTextHandler(p.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Grace:           10 * time.Second,
	}
	if change != nil {
		change(&o)
	}
	p.App, err = app.New(t.Context(), c, o)
	require.NoError(t, err)
	p.url = "http://" + p.Addresses()[0]

	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	p.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-ended)
		http.DefaultClient.CloseIdleConnections()
	})
	t.Cleanup(p.stop)
	return p
}

// configure writes the configuration file.
func (p *process) configure(t *testing.T, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(p.file, []byte(text), 0o600))
}

// post sends a notification to a path and returns status code and answer.
func (p *process) post(t *testing.T, path string, n *relay.Notification) (int, map[string]string) {
	t.Helper()
	body, err := json.Marshal(n)
	require.NoError(t, err)
	code, text := p.do(t, http.MethodPost, path, body)
	var answer map[string]string
	require.NoError(t, json.Unmarshal(text, &answer), "%s", text)
	return code, answer
}

// accept posts a notification that must be answered 200, and returns its id.
func (p *process) accept(t *testing.T, status string, n *relay.Notification) string {
	t.Helper()
	code, answer := p.post(t, "/webhook", n)
	require.Equal(t, http.StatusOK, code, answer)
	require.Equal(t, status, answer["status"])
	require.Len(t, answer["id"], 26)
	return answer["id"]
}

func (p *process) do(t *testing.T, method, path string, body []byte) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, p.url+path, bytes.NewReader(body))
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, text
}

// metric returns the line of /metrics that begins with name, without the name. There must be one.
func (p *process) metric(t *testing.T, name string) string {
	t.Helper()
	_, text := p.do(t, http.MethodGet, "/metrics", nil)
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	require.Failf(t, "No such series", "%s", name)
	return ""
}

// logs is a log that may be read while it is written.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// notification is what Alertmanager posts about a group.
func notification(group string, alerts ...relay.Alert) *relay.Notification {
	n := &relay.Notification{Version: "4", GroupKey: fmt.Sprintf("{}:{alertname=%q}", group), Alerts: alerts}
	n.Receiver = "relay"
	n.Status = n.Alerts.Status()
	n.GroupLabels = template.KV{"alertname": group}
	n.CommonLabels = template.KV{"alertname": group}
	n.CommonAnnotations = template.KV{}
	n.ExternalURL = "http://alertmanager.example.org:9093"
	return n
}

var began = time.Now().Add(-time.Hour).Truncate(time.Millisecond)

// firing is an alert with the context of a request.
func firing(name string) relay.Alert {
	return relay.Alert{Alert: template.Alert{
		Status: relay.StatusFiring, Fingerprint: fmt.Sprintf("%016x", name), StartsAt: began,
		Labels: template.KV{"alertname": name, "severity": "critical"},
		Annotations: template.KV{
			"summary": name + " is too slow", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "room_id": "10086",
			"user_agent": "MicroMessenger/8.0.50",
		},
	}}
}

func resolved(name string) relay.Alert {
	a := firing(name)
	a.Status, a.EndsAt = relay.StatusResolved, began.Add(30*time.Minute)
	return a
}
