package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// A Story is a few minutes of a service's life, told to a relay as Alertmanager would tell it: too many errors in a
// room, the same from the second Alertmanager of the pair, one more alert in the group, and all is well again.
type Story struct {
	// Webhook is where Alertmanager would post: the relay's /webhook.
	Webhook string
	// Elsewhere is what links lead to in place of Alertmanager, Prometheus and the runbooks; Sandbox.Elsewhere.
	Elsewhere string
	// Speed divides the pauses; zero stands for 1, at which the story takes 20 seconds.
	Speed float64
	// Now dates the alerts; default time.Now.
	Now func() time.Time
}

// The moments of a story, at speed 1.
const (
	firstAlert    = 1 * time.Second
	secondCopy    = 4 * time.Second
	oneMoreJoins  = 10 * time.Second
	allIsResolved = 18 * time.Second
)

// Tell posts the notifications one after the other and returns when the last was answered, or ctx has ended.
func (s Story) Tell(ctx context.Context) error {
	if s.Speed == 0 {
		s.Speed = 1
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	begin := s.Now()
	// The alerts began before Alertmanager told of them: it waits for its group_wait.
	errorsHigh := s.errorRateHigh(begin.Add(-3 * time.Minute))
	slow := s.latencyHigh(begin.Add(-40 * time.Second))
	for _, step := range []struct {
		at           time.Duration
		alertmanager string
		reason       string
		alerts       []storyAlert
	}{
		{firstAlert, "alertmanager-0", "first notification", []storyAlert{errorsHigh}},
		{secondCopy, "alertmanager-1", "first notification", []storyAlert{errorsHigh}},
		{oneMoreJoins, "alertmanager-0", "new alerts in group", []storyAlert{errorsHigh, slow}},
		{allIsResolved, "alertmanager-0", "all alerts resolved", []storyAlert{errorsHigh, slow}},
	} {
		pause := begin.Add(time.Duration(float64(step.at) / s.Speed)).Sub(s.Now())
		if !sleep(ctx, max(pause, time.Nanosecond)) {
			return ctx.Err()
		}
		if step.at == allIsResolved {
			for i := range step.alerts {
				step.alerts[i].resolve(s.Now())
			}
		}
		if err := s.post(ctx, step.alertmanager, step.reason, step.alerts); err != nil {
			return fmt.Errorf("story: %w", err)
		}
	}
	return nil
}

// The request that suffered: both alerts are about it.
const (
	storyRoom   = "10086"
	storyTrace  = "4bf92f3577b34da6a3ce929d0e0e4736"
	storyClient = "LiveApp/8.2.1 (iPhone17,2; iOS 26.1)"
)

func (s Story) errorRateHigh(at time.Time) storyAlert {
	return s.alert(at, "APIErrorRateHigh", "critical", `rate(http_requests_total{code=~"5.."}[5m]) > 0.05`,
		map[string]string{
			"summary":     "下单接口错误率 12.4%，超过 5%",
			"description": "POST /api/v1/orders 近 5 分钟有 1,284 次请求返回 502，直播间内的用户无法下单。",
			"trace_id":    storyTrace,
			"user_agent":  storyClient,
		})
}

func (s Story) latencyHigh(at time.Time) storyAlert {
	return s.alert(at, "APILatencyHigh", "warning", `histogram_quantile(0.99, http_duration_seconds_bucket) > 2`,
		map[string]string{
			"summary":     "下单接口 P99 延迟 3.8 s，超过 2 s",
			"description": "数据库连接池已用 100/100，请求正在排队。",
			"trace_id":    storyTrace,
			"user_agent":  storyClient,
		})
}

// storyAlert has the fields of an alert in Alertmanager's webhook.
// https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
type storyAlert struct {
	Status       string            `json:"status"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL"`
	Fingerprint  string            `json:"fingerprint"`
}

func (s Story) alert(at time.Time, name, severity, expr string, annotations map[string]string) storyAlert {
	labels := map[string]string{
		"alertname": name, "severity": severity, "room_id": storyRoom, "service": "order-api", "cluster": "cn-east-1",
	}
	set := model.LabelSet{}
	for k, v := range labels {
		set[model.LabelName(k)] = model.LabelValue(v)
	}
	annotations["runbook_url"] = s.Elsewhere + "/runbooks/" + name
	return storyAlert{
		Status: "firing", Labels: labels, Annotations: annotations, StartsAt: at.UTC().Truncate(time.Millisecond),
		GeneratorURL: s.Elsewhere + "/prometheus/graph?g0.expr=" + url.QueryEscape(expr) + "&g0.tab=1",
		Fingerprint:  set.Fingerprint().String(),
	}
}

func (a *storyAlert) resolve(at time.Time) {
	a.Status, a.EndsAt = "resolved", at.UTC().Truncate(time.Millisecond)
}

// storyBody is Alertmanager's webhook body, version 4.
type storyBody struct {
	Receiver          string            `json:"receiver"`
	Status            string            `json:"status"`
	Alerts            []storyAlert      `json:"alerts"`
	Reason            string            `json:"notification_reason"`
	GroupLabels       map[string]string `json:"groupLabels"`
	CommonLabels      map[string]string `json:"commonLabels"`
	CommonAnnotations map[string]string `json:"commonAnnotations"`
	RouteLabels       map[string]string `json:"routeLabels"`
	ExternalURL       string            `json:"externalURL"`
	Version           string            `json:"version"`
	GroupKey          string            `json:"groupKey"`
	TruncatedAlerts   int               `json:"truncatedAlerts"`
}

// post sends one notification, as one Alertmanager of the pair.
func (s Story) post(ctx context.Context, alertmanager, reason string, alerts []storyAlert) error {
	status := "resolved"
	var labels, annotations []map[string]string
	for _, a := range alerts {
		if a.Status == "firing" {
			status = "firing"
		}
		labels, annotations = append(labels, a.Labels), append(annotations, a.Annotations)
	}
	body, err := json.Marshal(storyBody{
		Receiver: "relay", Status: status, Alerts: alerts, Reason: reason,
		GroupLabels:  map[string]string{"room_id": storyRoom, "service": "order-api"},
		CommonLabels: common(labels), CommonAnnotations: common(annotations), RouteLabels: map[string]string{},
		ExternalURL: s.Elsewhere + "/" + alertmanager, Version: "4",
		GroupKey: `{}:{room_id="10086", service="order-api"}`,
	})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Webhook, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Alertmanager/0.34.2")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the relay answered %s: %s", resp.Status, strings.TrimSpace(string(answer)))
	}
	return nil
}

// common are the pairs that all maps have.
func common(maps []map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range maps[0] {
		shared := true
		for _, m := range maps[1:] {
			shared = shared && m[k] == v
		}
		if shared {
			out[k] = v
		}
	}
	return out
}
