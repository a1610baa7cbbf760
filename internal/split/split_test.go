package split_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/split"
)

// message is what the fake channel of these tests sends: a JSON body with a limit in bytes.
type message struct {
	part    split.Part
	body    []byte
	text    string
	counted int
}

// channel renders a line with all labels and annotations for each alert and counts how often it is asked.
type channel struct {
	limit   int
	renders int
}

func (c *channel) render(p split.Part) (message, int, error) {
	c.renders++
	var b strings.Builder
	n := p.Notification()
	fmt.Fprintf(&b, "%s %v\n", p.Alerts.Status(), n.GroupLabels.Values())
	if p.Parts > 0 {
		fmt.Fprintf(&b, "(%d/%d)\n", p.Part, p.Parts)
	}
	for _, a := range p.Alerts {
		fmt.Fprintf(&b, "- %v %v %s\n", a.Labels.SortedPairs(), a.Annotations.SortedPairs(), a.Snapshot.TraceURL)
	}
	m := message{part: p}
	if p.Compact() {
		var text string
		text, m.counted = compact(p.Omitted, p.Room)
		b.WriteString(text)
	}
	m.text = b.String()
	m.body, _ = json.Marshal(m.text)
	return m, c.limit - len(m.body), nil
}

// compact is a small relay.Renderer.Compact.
func compact(alerts relay.Alerts, limit int) (string, int) {
	var b strings.Builder
	for i, a := range alerts {
		line := a.Fingerprint + "\n"
		rest := fmt.Sprintf("and %d more", len(alerts)-i)
		if b.Len()+len(line)+len(rest) > limit {
			return b.String() + rest, len(alerts) - i
		}
		b.WriteString(line)
	}
	return b.String(), 0
}

func TestRender(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		alerts   relay.Alerts
		maxParts int
		parts    int
		compact  bool // the last part
	}{
		{"one alert fits", alerts(1, 100), 5, 1, false},
		{"all fit", alerts(8, 50), 5, 1, false},
		{"three parts", alerts(15, 250), 5, 3, false},
		{"as many parts as allowed", alerts(29, 250), 5, 5, false},
		{"one part too many", alerts(32, 250), 5, 5, true},
		{"far too many", alerts(10_000, 250), 5, 5, true},
		{"one part only", alerts(100, 250), 1, 1, true},
		{"one alert too large", alerts(1, 10_000), 5, 1, false},
		{"each alert too large", alerts(3, 10_000), 5, 3, false},
		{"too large and too many", alerts(9, 10_000), 5, 5, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := &channel{limit: 2048}
			messages, err := split.Render(view(tt.alerts), split.Limits{Parts: tt.maxParts, Room: 2000}, c.render)
			require.NoError(t, err)
			require.Len(t, messages, tt.parts)
			require.Equal(t, tt.compact, messages[len(messages)-1].part.Compact())
			requireWhole(t, tt.alerts, messages, tt.maxParts, c.limit)
			require.LessOrEqual(t, c.renders, 6*tt.parts+3, "renders")
		})
	}
}

func TestRenderShowsFiringFirst(t *testing.T) {
	t.Parallel()
	list := alerts(30, 250)
	for i := range list[:15] {
		list[i].Status = relay.StatusResolved
	}
	c := &channel{limit: 2048}
	messages, err := split.Render(view(list), split.Limits{Parts: 5, Room: 2000}, c.render)
	require.NoError(t, err)
	require.Equal(t, list[15].Fingerprint, messages[0].part.Alerts[0].Fingerprint)
	require.Equal(t, relay.StatusResolved, messages[4].part.Alerts.Status())
}

func TestRenderCutsVisibly(t *testing.T) {
	t.Parallel()
	list := alerts(1, 10)
	list[0].Annotations["description"] = strings.Repeat("磁盘🔥", 5000)
	list[0].Annotations["runbook_url"] = "https://wiki/" + strings.Repeat("x", 5000)
	list[0].Snapshot.TraceURL = "https://trace/" + strings.Repeat("x", 5000)
	c := &channel{limit: 2048}
	messages, err := split.Render(view(list), split.Limits{Parts: 5, Room: 2000}, c.render)
	require.NoError(t, err)
	require.Len(t, messages, 1)
	shown := messages[0].part.Alerts[0]
	require.Contains(t, shown.Annotations["description"], "磁盘🔥磁盘")
	require.Contains(t, shown.Annotations["description"], split.Mark)
	require.Equal(t, split.Mark, shown.Annotations["runbook_url"], "half a link leads nowhere")
	require.Empty(t, shown.Snapshot.TraceURL)
	require.Greater(t, len(messages[0].body), 1900, "cut no shorter than need be")
	require.Len(t, list[0].Annotations["description"], 10*5000, "the notification itself is unchanged")
}

func TestRenderCutsTheHead(t *testing.T) {
	t.Parallel()
	list := alerts(3, 10)
	v := view(list)
	v.Notification().GroupLabels = template.KV{"service": strings.Repeat("s", 64<<10)}
	c := &channel{limit: 2048}
	messages, err := split.Render(v, split.Limits{Parts: 2, Room: 2000}, c.render)
	require.NoError(t, err)
	requireWhole(t, list, messages, 2, c.limit)
	require.Contains(t, messages[0].text, split.Mark)
}

func TestRenderDigest(t *testing.T) {
	t.Parallel()
	v := view(alerts(40, 250))
	for i := range 30 {
		one := view(relay.Alerts{alert(100 + i)})
		one.Notification().GroupLabels = template.KV{"alertname": "DiskFull", "instance": strconv.Itoa(i)}
		v.Delivery.Tellings = append(v.Delivery.Tellings, one.Delivery.Tellings...)
	}
	c := &channel{limit: 2048}
	messages, err := split.Render(v, split.Limits{Parts: 5, Room: 2000}, c.render)
	require.NoError(t, err)
	require.Len(t, messages, 1, "one send slot")
	m := messages[0]
	require.LessOrEqual(t, len(m.body), c.limit)
	require.Len(t, m.part.Omitted, 70)
	require.Equal(t, template.KV{"alertname": "DiskFull"}, m.part.Notification().GroupLabels)
	for i := range 30 {
		require.Contains(t, m.text, alert(100+i).Fingerprint, "each notification has a line before any has two")
	}
	require.Len(t, v.Delivery.Tellings, 31, "the delivery itself is unchanged")
	require.Len(t, v.Notification().Alerts, 40)
}

func TestRenderErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken template")
	tests := []struct {
		name   string
		render func(split.Part) (string, int, error)
		want   error
	}{
		{"never fits", func(split.Part) (string, int, error) { return "", -1, nil }, split.ErrNoRoom},
		{"fails", func(split.Part) (string, int, error) { return "", -1, broken }, broken},
		{"fails in the compact part", func(p split.Part) (string, int, error) {
			if p.Compact() {
				return "", -1, broken
			}
			return "", -1, nil
		}, broken},
		{"grows when numbered", func(p split.Part) (string, int, error) {
			if p.Parts == 5 {
				return "", 0, nil
			}
			return "", -1, nil
		}, split.ErrNoRoom},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := split.Render(view(alerts(4, 10)), split.Limits{Parts: 5, Room: 2000}, tt.render)
			require.ErrorIs(t, err, tt.want)
		})
	}
}

// TestRenderProperty: whatever the labels say, each part is within the limit, and each alert is in exactly one part, or
// among those listed and counted in the last.
func TestRenderProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, renderKeepsAll)
}

func FuzzRender(f *testing.F) { f.Fuzz(rapid.MakeFuzz(renderKeepsAll)) }

func renderKeepsAll(t *rapid.T) {
	hostile := rapid.StringOf(rapid.OneOf(
		rapid.RuneFrom([]rune("磁盘空间不足，请检查。🔥👩‍👩‍👧‍👦\u202e\u2067עבריתعربى\x00\x01\x1b\u2028<>&\"'`*_[]()#@|\\\r\n\t")),
		rapid.Rune(),
	))
	list := make(relay.Alerts, rapid.IntRange(1, 60).Draw(t, "alerts"))
	for i := range list {
		list[i] = alert(i)
		if rapid.Bool().Draw(t, "resolved") {
			list[i].Status = relay.StatusResolved
		}
		list[i].Annotations["summary"] = hostile.Draw(t, "summary")
		repeat := rapid.SampledFrom([]int{0, 1, 10, 1000}).Draw(t, "repeat")
		list[i].Annotations["description"] = strings.Repeat(hostile.Draw(t, "description"), repeat)
		if rapid.Bool().Draw(t, "extra") {
			list[i].Labels[hostile.Draw(t, "name")] = hostile.Draw(t, "value")
		}
	}
	maxParts := rapid.IntRange(1, 7).Draw(t, "parts")
	c := &channel{limit: rapid.IntRange(1024, 20_000).Draw(t, "limit")}
	messages, err := split.Render(view(list), split.Limits{Parts: maxParts, Room: c.limit}, c.render)
	require.NoError(t, err)
	requireWhole(t, list, messages, maxParts, c.limit)
}

func requireWhole(t require.TestingT, list relay.Alerts, messages []message, maxParts, limit int) {
	require.LessOrEqual(t, len(messages), maxParts)
	seen := map[string]int{}
	for i, m := range messages {
		require.LessOrEqual(t, len(m.body), limit)
		require.True(t, utf8.ValidString(m.text))
		if len(messages) == 1 {
			require.Zero(t, m.part.Part)
			require.Zero(t, m.part.Parts)
		} else {
			require.Equal(t, i+1, m.part.Part)
			require.Equal(t, len(messages), m.part.Parts)
		}
		for _, a := range m.part.Alerts {
			seen[a.Fingerprint]++
		}
		for _, a := range m.part.Omitted {
			seen[a.Fingerprint]++
		}
		if m.counted > 0 {
			require.Contains(t, m.text, fmt.Sprintf("and %d more", m.counted))
		}
	}
	require.Len(t, seen, len(list))
	for f, times := range seen {
		require.Equal(t, 1, times, f)
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		in    string
		limit int
		want  string
	}{
		{"short", "abc", 3, "abc"},
		{"ascii", "0123456789abcdef", 12, "012… (+13)"},
		{"rune border", "磁盘空间不足不足", 15, "磁盘… (+6)"},
		{"not UTF-8", "a\xffb", 9, "a\uFFFDb"},
		{"no room", "0123456789", 1, "…"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, split.Text(tt.in, tt.limit))
		})
	}
}

func BenchmarkRender(b *testing.B) {
	for _, n := range []int{1, 50, 500, 10_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			v := view(alerts(n, 250))
			c := &channel{limit: 19_000}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := split.Render(v, split.Limits{Parts: 5, Room: 19_000}, c.render); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(c.renders)/float64(b.N), "renders/op")
		})
	}
}

func view(list relay.Alerts) relay.View {
	n := &relay.Notification{Alerts: list}
	n.GroupLabels = template.KV{"alertname": "DiskFull"}
	return relay.View{Delivery: &relay.Delivery{Tellings: []relay.Telling{{Notification: n}}}}
}

// alerts returns n alerts that take about size bytes each.
func alerts(n, size int) relay.Alerts {
	list := make(relay.Alerts, n)
	for i := range list {
		list[i] = alert(i)
		list[i].Annotations["description"] = strings.Repeat("x", size)
	}
	return list
}

func alert(i int) relay.Alert {
	return relay.Alert{Alert: template.Alert{
		Status:      relay.StatusFiring,
		Labels:      template.KV{"alertname": "DiskFull", "instance": fmt.Sprint("web", i)},
		Annotations: template.KV{},
		StartsAt:    time.Date(2026, 1, 1, 0, 0, i, 0, time.UTC),
		Fingerprint: fmt.Sprintf("%016x", i),
	}}
}
