package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// A load posts notifications, each of a group of its own, as Alertmanager would.
type load struct {
	url         string
	others      []string // where the second notification goes, and the third; then it is url's turn again
	count       int
	connections int
	alerts      int           // per notification
	every       time.Duration // between two posts of all connections; zero: as fast as answers come
	first       int           // number of the first group, so that a second load is not a duplicate of the first
}

// posted is what came of a load.
type posted struct {
	took      time.Duration // until the last answer
	start     time.Time
	refused   int
	latencies []time.Duration
}

func (p posted) perSecond(n int) float64 { return float64(n) / p.took.Seconds() }

func (p posted) quantile(q float64) time.Duration { return percentile(slices.Clone(p.latencies), q) }

// to is where the i-th notification goes.
func (l load) to(i int) string {
	if i %= 1 + len(l.others); i > 0 {
		return l.others[i-1]
	}
	return l.url
}

func (l load) run(ctx context.Context) (posted, error) {
	transport := &http.Transport{MaxIdleConnsPerHost: l.connections, MaxConnsPerHost: l.connections}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	body := newBody(l.alerts)

	var next atomic.Int64
	var mu sync.Mutex
	out := posted{start: time.Now()}
	var wg sync.WaitGroup
	for range l.connections {
		wg.Go(func() {
			var latencies []time.Duration
			refused := 0
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= l.count {
					break
				}
				if l.every > 0 {
					pause(ctx, time.Until(out.start.Add(time.Duration(i)*l.every)))
				}
				posted := time.Now()
				if err := post(ctx, client, l.to(i), body.fill(l.first+i, posted)); err != nil {
					refused++
				}
				latencies = append(latencies, time.Since(posted))
			}
			mu.Lock()
			defer mu.Unlock()
			out.latencies = append(out.latencies, latencies...)
			out.refused += refused
		})
	}
	wg.Wait()
	out.took = time.Since(out.start)
	return out, ctx.Err()
}

// A bodyTemplate is a webhook body cut at the places that differ between notifications: texts, and the marks after them.
type bodyTemplate []bodyPart

type bodyPart struct {
	text []byte
	mark string // what stands in the place of the mark comes after the text; empty at the end
}

// The marks, as long as what stands in their places.
const (
	groupMark = "GGGGGGGGGG"               // the number of the group, in hexadecimal digits
	timeMark  = "1234567890123456789"      // the time of posting, in nanoseconds
	startMark = "SSSSSSSSSSSSSSSSSSSSSSSS" // the same as a date: the alerts of a group have begun just now, all together
)

func newBody(alerts int) bodyTemplate {
	list := make([]map[string]any, alerts)
	for i := range list {
		list[i] = map[string]any{
			"status": "firing",
			"labels": map[string]string{
				"alertname": "HighErrorRate", "severity": "critical", "service": "im-gateway", "room_id": "10086",
				"instance": fmt.Sprintf("10.0.%d.%d:8080", i/250, i%250), "group": "GROUP" + groupMark,
			},
			"annotations": map[string]string{
				"summary":     "error rate above 5% " + markOpen + timeMark + markClose,
				"description": "5.2% of the requests of the last five minutes were answered with an error",
				"trace_id":    "4bf92f3577b34da6a3ce929d0e0e4736",
			},
			"startsAt": startMark, "endsAt": "0001-01-01T00:00:00Z",
			"generatorURL": "http://prometheus.example.com/graph?g0.expr=up",
			"fingerprint":  fmt.Sprintf("%06x", i) + groupMark,
		}
	}
	common := map[string]string{"alertname": "HighErrorRate", "severity": "critical"}
	b, _ := json.Marshal(map[string]any{
		"receiver": "relay", "status": "firing", "alerts": list, "groupLabels": map[string]string{"group": "GROUP" + groupMark},
		"commonLabels": common, "commonAnnotations": map[string]string{}, "externalURL": "http://alertmanager.example.com",
		"version": "4", "groupKey": `{}:{group="GROUP` + groupMark + `"}`, "truncatedAlerts": 0,
	})
	var out bodyTemplate
	for mark := " "; mark != ""; {
		at := len(b)
		mark = ""
		for _, m := range []string{groupMark, timeMark, startMark} {
			if i := bytes.Index(b, []byte(m)); i >= 0 && i < at {
				at, mark = i, m
			}
		}
		out = append(out, bodyPart{b[:at], mark})
		b = b[at+len(mark):]
	}
	return out
}

// fill makes the body of group i, posted at the time given.
func (b bodyTemplate) fill(i int, at time.Time) []byte {
	var out []byte
	for _, part := range b {
		out = append(out, part.text...)
		switch part.mark {
		case groupMark:
			out = fmt.Appendf(out, "%010x", i)
		case timeMark:
			out = strconv.AppendInt(out, at.UnixNano(), 10)
		case startMark:
			out = at.UTC().AppendFormat(out, "2006-01-02T15:04:05.000Z")
		}
	}
	return out
}

func post(ctx context.Context, client *http.Client, url string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("answered %d", resp.StatusCode)
	}
	return nil
}

// get decodes the JSON answer of url into v; a nil v only looks at the status.
func get(ctx context.Context, url string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client().Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %d", resp.StatusCode)
	}
	if v == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(v)
}

// fetch writes the answer of url to a file.
func fetch(ctx context.Context, url, file string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %d", req.URL.Path, resp.StatusCode)
	}
	return os.WriteFile(file, b, 0o600)
}

func freeAddress(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
