package webhook_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/webhook"
)

// TestDecodeAsTheStandardLibrary: what real Alertmanagers sent is read as encoding/json reads it.
func TestDecodeAsTheStandardLibrary(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/payloads/*/*.json")
	require.NoError(t, err)
	require.Greater(t, len(files), 100)
	for _, file := range files {
		t.Run(strings.TrimPrefix(file, "testdata/payloads/"), func(t *testing.T) {
			t.Parallel()
			body, err := os.ReadFile(file)
			require.NoError(t, err)
			got, err := webhook.Decode(body)
			require.NoError(t, err)
			want := &relay.Notification{}
			require.NoError(t, json.Unmarshal(body, want))
			require.Equal(t, want, got)
		})
	}
}

const least = `{"version":"4","groupKey":"k","alerts":[{"status":"firing","fingerprint":"f"}]}`

func TestDecodeIsTolerant(t *testing.T) {
	t.Parallel()
	want := &relay.Notification{
		Data: template.Data{Status: "firing"}, Version: "4", GroupKey: "k",
		Alerts: relay.Alerts{{Alert: template.Alert{Status: "firing", Fingerprint: "f"}}},
	}
	with := func(change func(n *relay.Notification)) *relay.Notification {
		n := *want
		n.Alerts = append(relay.Alerts{}, want.Alerts...)
		change(&n)
		return &n
	}
	for _, tc := range []struct {
		name, body string
		want       *relay.Notification
	}{
		{"the least there can be", least, want},
		{"white space", "\r\n\t " + strings.ReplaceAll(least, ":", " \n: ") + "\n", want},
		{"another order", `{"alerts":[{"fingerprint":"f","status":"firing"}],"groupKey":"k","version":"4"}`, want},
		{
			"fields of a newer version, of any kind",
			`{"new":{"a":[1,-2.5e3,true,false,null,"x",{}],"b":{}},"list":[],` + strings.Replace(least[1:], `"f"}`, `"f","new":[[0]]}`, 1), want,
		},
		{
			"null for all that may be missing", `{"receiver":null,"groupLabels":null,"truncatedAlerts":null,` +
				`"externalURL":null,"version":"4","groupKey":"k","alerts":[{"startsAt":null,"labels":null,"status":"firing","fingerprint":"f"}]}`,
			want,
		},
		{"the last of equal fields", `{"groupKey":"j",` + least[1:], want},
		{"a status that is wrong or missing is computed", `{"status":"strange",` + least[1:], want},
		{
			"the relay's own fields cannot be set",
			`{"relayID":"x","relayRoom":"x","relayReceivedAt":"2026-11-20T08:00:00Z",` +
				`"version":"4","groupKey":"k","alerts":[{"relayRoom":"x","relaySnapshot":{"trace_id":"x"},"status":"firing","fingerprint":"f"}]}`,
			want,
		},
		{
			"escapes", `{"externalURL":"\"\\\/\b\f\n\r\t\u003c\u4E2d\ud83d\uDC4d\ud800x\ud800\u0041\u2028",` + least[1:],
			with(func(n *relay.Notification) { n.ExternalURL = "\"\\/\b\f\n\r\t<中👍\uFFFDx\uFFFDA\u2028" }),
		},
		{
			"not UTF-8", "{\"externalURL\":\"a\xffb\\t\xffc\"," + least[1:],
			with(func(n *relay.Notification) { n.ExternalURL = "a\uFFFDb\t\uFFFDc" }),
		},
		{
			"times with zone and nanoseconds", strings.Replace(least, `"status"`, `"startsAt":"2026-11-20T15:01:22.359001607+08:00","status"`, 1),
			with(func(n *relay.Notification) {
				n.Alerts[0].StartsAt = time.Date(2026, 11, 20, 15, 1, 22, 359001607, time.FixedZone("", 8*3600))
			}),
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := webhook.Decode([]byte(tc.body))
			require.NoError(t, err)
			require.Equal(t, tc.want, got)
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	set := func(old, replacement string) string { return strings.Replace(least, old, replacement, 1) }
	for _, tc := range []struct{ name, body, want string }{
		{"nothing", "", "not a webhook body in JSON: byte 0: expected an object"},
		{"not JSON", "alert!", "not a webhook body in JSON: byte 0: expected an object"},
		{"null", "null", "not a webhook body in JSON: byte 0: expected an object"},
		{"a list", "[" + least + "]", "not a webhook body in JSON: byte 0: expected an object"},
		{"cut off", least[:40], "not a webhook body in JSON: byte 40: "},
		{"more behind it", least + "{}", "not a webhook body in JSON: byte 79: expected the end"},
		{"a comma too many", set(`"}]`, `",}]`), "not a webhook body in JSON: byte 77: expected '\"'"},
		{"version 3", set(`"4"`, `"3"`), `version is "3", expected "4": the relay reads Alertmanager's own webhook body`},
		{"version as a number", set(`"4"`, `4`), `not a webhook body in JSON: byte 11: expected '"'`},
		{"made by payload:", `{"text":"disk full"}`, `not one made by payload: in its webhook_config`},
		{"no group key", set(`"groupKey":"k",`, ``), "groupKey is missing"},
		{"no alerts", `{"version":"4","groupKey":"k"}`, "no alerts"},
		{"an empty list", `{"version":"4","groupKey":"k","alerts":[]}`, "no alerts"},
		{"null for alerts", `{"version":"4","groupKey":"k","alerts":null}`, "no alerts"},
		{"null for an alert", set(`[{`, `[null,{`), "alerts[0]: fingerprint is missing"},
		{"no fingerprint", set(`,"fingerprint":"f"`, ``), "alerts[0]: fingerprint is missing"},
		{"an odd status", set("firing", "pending"), `alerts[0]: status is "pending", expected firing or resolved`},
		{"a label that is no text", set(`{"status"`, `{"labels":{"a":1},"status"`), `expected '"'`},
		{"labels that are no object", set(`{"status"`, `{"labels":["a"],"status"`), `expected '{'`},
		{"a time that is none", set(`{"status"`, `{"startsAt":"today","status"`), "expected a time as in RFC 3339"},
		{"a negative count", `{"truncatedAlerts":-1,` + least[1:], "expected a count"},
		{"a raw control character", set("k", "k\n"), "control character in a string"},
		{"a raw control character after an escape", set("k", "\\tk\x00"), "control character in a string"},
		{"an unknown escape", set("k", `\x41`), "unknown escape"},
		{"a bad escape", set("k", `\u00g1`), `bad \u`},
		{"a bad escape with a sign", set("k", `\u+001`), `bad \u`},
		{"a number with a leading zero", `{"new":01,` + least[1:], "expected a value"},
		{"a word that is none", `{"new":nul,` + least[1:], "expected a value"},
		{"millions of alerts", `{"alerts":[` + strings.Repeat("{},", 3<<20), "too many alerts"},
		{"nested without end", `{"new":` + strings.Repeat("[", 1<<20), "nested too deep"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := webhook.Decode([]byte(tc.body))
			require.ErrorContains(t, err, tc.want)
			require.Less(t, len(err.Error()), 300)
		})
	}
}

// FuzzDecode: what is taken is JSON, has what the relay needs, and is read alike by encoding/json once it is written.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(least))
	f.Add([]byte(`{"a":[1,-2.5e3,true,null,"\ud83d\ude00\ud800"],` + least[1:]))
	files, err := filepath.Glob("testdata/payloads/0.34.2/u*.json")
	require.NoError(f, err)
	for _, file := range files {
		b, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		n, err := webhook.Decode(body)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		require.True(t, json.Valid(body))
		require.NotEmpty(t, n.GroupKey)
		require.NotEmpty(t, n.Alerts)
		require.Empty(t, n.ID)
		require.Empty(t, n.Room)
		for _, a := range n.Alerts {
			require.Contains(t, []string{relay.StatusFiring, relay.StatusResolved}, a.Status)
			require.True(t, a.Snapshot.IsZero())
			require.Empty(t, a.Room)
		}
		written, err := json.Marshal(n)
		if err != nil {
			return // A year of five digits can be read but not written.
		}
		again, err := webhook.Decode(written)
		require.NoError(t, err)
		rewritten, err := json.Marshal(again)
		require.NoError(t, err)
		require.JSONEq(t, string(written), string(rewritten))
		standard := &relay.Notification{}
		require.NoError(t, json.Unmarshal(written, standard))
		rewritten, err = json.Marshal(standard)
		require.NoError(t, err)
		require.JSONEq(t, string(written), string(rewritten))
	})
}

// bodyOf returns a recorded body; with many alerts, its alert over and over.
func bodyOf(tb testing.TB, alerts int) []byte {
	tb.Helper()
	name := "single-firing"
	if alerts == 50 {
		name = "group-50-firing"
	}
	b, err := os.ReadFile(filepath.Join("testdata", "payloads", "0.34.2", name+".json"))
	require.NoError(tb, err)
	if alerts == 1 || alerts == 50 {
		return b
	}
	var n relay.Notification
	require.NoError(tb, json.Unmarshal(b, &n))
	for i := 1; i < alerts; i++ {
		a := n.Alerts[0]
		a.Fingerprint = strconv.FormatInt(int64(i)+1<<40, 16)
		n.Alerts = append(n.Alerts, a)
	}
	b, err = json.Marshal(n)
	require.NoError(tb, err)
	return b
}

func BenchmarkDecode(b *testing.B) {
	for _, alerts := range []int{1, 50, 10_000} {
		body := bodyOf(b, alerts)
		b.Run(strconv.Itoa(alerts)+" alerts", func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				_, err := webhook.Decode(body)
				require.NoError(b, err)
			}
		})
	}
}
