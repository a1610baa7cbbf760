package dedupe_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/dedupe"
)

// FuzzStable: the same body written another way (order of keys and alerts, white space, unknown fields, escapes, another
// zone) is the same state; one fact changed is another.
func FuzzStable(f *testing.F) {
	files, err := filepath.Glob("testdata/payloads/*/*.json")
	require.NoError(f, err)
	require.NotEmpty(f, files)
	for i := range files {
		f.Add(uint64(i), i)
	}
	f.Fuzz(func(t *testing.T, seed uint64, file int) {
		path := files[(file%len(files)+len(files))%len(files)]
		version, name := filepath.Base(filepath.Dir(path)), filepath.Base(path)
		n := payload(t, version, name[:len(name)-len(".json")])
		s := scrambler{rand.New(rand.NewPCG(seed, 0))}

		written, err := json.Marshal(n)
		require.NoError(t, err)
		var body map[string]any
		require.NoError(t, json.Unmarshal(written, &body))
		as := body["alerts"].([]any) //nolint:forcetypeassert // it is
		s.Shuffle(len(as), func(i, j int) { as[i], as[j] = as[j], as[i] })
		var again relay.Notification
		require.NoError(t, json.Unmarshal(s.write(nil, body), &again))
		for i := range again.Alerts {
			again.Alerts[i].StartsAt = again.Alerts[i].StartsAt.In(time.FixedZone("", s.IntN(24)*3600))
		}
		require.Equal(t, dedupe.StateOf(n), dedupe.StateOf(&again))
		require.Equal(t, dedupe.StateOfAlerts(n.Alerts, 0), dedupe.StateOfAlerts(again.Alerts, 0))

		victim := &again.Alerts[s.IntN(len(again.Alerts))]
		switch s.IntN(5) {
		case 0:
			victim.Fingerprint += "0"
		case 1:
			victim.StartsAt = victim.StartsAt.Add(1)
		case 2:
			victim.Status += "?"
		case 3:
			again.TruncatedAlerts++
		case 4:
			i := s.IntN(len(again.Alerts))
			again.Alerts = slices.Delete(slices.Clone(again.Alerts), i, i+1)
		}
		require.NotEqual(t, dedupe.StateOf(n), dedupe.StateOf(&again))
	})
}

// A scrambler writes JSON as nobody would.
type scrambler struct{ *rand.Rand }

func (s scrambler) write(b []byte, v any) []byte {
	b = s.space(b)
	switch v := v.(type) {
	case map[string]any:
		names := slices.Sorted(maps.Keys(v))
		if v["status"] != nil { // not labels or annotations, where every name is known
			names = append(names, "unknown"+strconv.Itoa(s.Int()))
		}
		s.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		b = append(b, '{')
		for i, name := range names {
			if i > 0 {
				b = append(b, ',')
			}
			value, known := v[name]
			if !known {
				value = []any{1, "x", nil, map[string]any{"alerts": []any{}}}
			}
			b = s.space(s.text(s.space(b), name))
			b = s.write(append(b, ':'), value)
		}
		b = append(b, '}')
	case []any:
		b = append(b, '[')
		for i, item := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = s.write(b, item)
		}
		b = append(b, ']')
	case string:
		b = s.text(b, v)
	default:
		rest, _ := json.Marshal(v)
		b = append(b, rest...)
	}
	return s.space(b)
}

func (s scrambler) space(b []byte) []byte {
	return append(b, bytes.Repeat([]byte{" \t\n\r"[s.IntN(4)]}, s.IntN(3))...)
}

// text writes some ASCII letters as escapes.
func (s scrambler) text(b []byte, v string) []byte {
	quoted, _ := json.Marshal(v)
	for i, c := range quoted {
		if c >= 'g' && c <= 'z' && s.IntN(8) == 0 && quoted[max(i-1, 0)] != '\\' {
			b = fmt.Appendf(b, `\u%04x`, c)
		} else {
			b = append(b, c)
		}
	}
	return b
}

func BenchmarkStateOf(b *testing.B) {
	n := payload(b, "0.34.2", "single-firing")
	for _, alerts := range []int{1, 50, 10_000} {
		many := *n
		many.Alerts = nil
		for i := range alerts {
			a := n.Alerts[0]
			a.Fingerprint = fmt.Sprintf("%016x", uint64(i)*0x9e3779b97f4a7c15)
			many.Alerts = append(many.Alerts, a)
		}
		b.Run(strconv.Itoa(alerts)+" alerts", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				dedupe.StateOf(&many)
			}
		})
	}
}

func BenchmarkSlotOf(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		dedupe.SlotOf("/webhook/ops", "web.hook", `{}/{team=~"pay.*|billing"}:{alertname="PaymentLatency"}`)
	}
}
