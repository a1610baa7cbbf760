package receiverstest

import (
	"embed"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
)

// payloads are bodies that a real Alertmanager 0.34 posted.
//
//go:embed testdata/*.json
var payloads embed.FS

// Now is when deliveries are rendered: some minutes after the alerts of the payloads began.
var Now = time.Date(2026, 11, 20, 7, 11, 25, 0, time.UTC) //nolint:gochecknoglobals // a constant, if times could be

// Payloads names the recorded notifications: one alert firing and resolved, several mixed, truncated by Alertmanager,
// fifty, a 10 KiB annotation, and hostile ones.
func Payloads() []string {
	files, _ := payloads.ReadDir("testdata")
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = strings.TrimSuffix(f.Name(), ".json")
	}
	return names
}

// Delivery is the delivery of a recorded notification, with the context of a request behind each alert.
func Delivery(t *testing.T, payload string) relay.Delivery {
	t.Helper()
	body, err := payloads.ReadFile("testdata/" + payload + ".json")
	require.NoError(t, err)
	n := new(relay.Notification)
	require.NoError(t, json.Unmarshal(body, n))
	return deliver(n)
}

// Many is the delivery of n alerts in one group, of which every tenth is resolved.
func Many(n int) relay.Delivery {
	note := &relay.Notification{Version: "4", GroupKey: `{}:{alertname="DiskFull"}`}
	note.Receiver, note.Status, note.ExternalURL = "ops", relay.StatusFiring, "http://alertmanager.example.com:9093"
	note.GroupLabels = template.KV{"alertname": "DiskFull"}
	note.CommonLabels = template.KV{"alertname": "DiskFull", "severity": "critical"}
	for i := range n {
		a := template.Alert{
			Status:      relay.StatusFiring,
			Labels:      template.KV{"alertname": "DiskFull", "severity": "critical", "instance": fmt.Sprintf("db-%03d", i)},
			Annotations: template.KV{"summary": fmt.Sprintf("数据库 db-%03d 磁盘空间不足 🔥", i), "description": "使用率 95%，请立即处理！"},
			StartsAt:    Now.Add(-time.Duration(i+1) * time.Minute),
			Fingerprint: fmt.Sprintf("%016x", i),
		}
		if i%10 == 9 {
			a.Status, a.EndsAt = relay.StatusResolved, Now.Add(-30*time.Second)
		}
		note.Alerts = append(note.Alerts, relay.Alert{Alert: a})
	}
	return deliver(note)
}

func deliver(n *relay.Notification) relay.Delivery {
	n.ID, n.ReceivedAt = "01JD4F7Q8ZR6T5W4X3Y2V1B0N9", Now.Add(-time.Second)
	for i := range n.Alerts {
		a := &n.Alerts[i]
		a.Change, a.Duration = relay.ChangeNew, Now.Sub(a.StartsAt)
		if a.Status == relay.StatusResolved {
			a.Change, a.Duration = relay.ChangeResolved, a.EndsAt.Sub(a.StartsAt)
		}
		a.Snapshot = relay.Snapshot{
			TraceID:   "4bf92f3577b34da6a3ce929d0e0e4736",
			RoomID:    "10086",
			UserAgent: "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)",
			TraceURL:  "http://jaeger.example.com:16686/trace/4bf92f3577b34da6a3ce929d0e0e4736",
		}
	}
	return relay.Delivery{
		ID:       "01JD4F7Q8ZR6T5W4X3Y2V1B0NA",
		Tellings: []relay.Telling{{Notification: n, Since: n.ReceivedAt}},
		Now:      Now,
	}
}
