package templates_test

import (
	"strings"
	"testing"

	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"
)

// BenchmarkRender50 renders Alertmanager's default texts for a message of 50 alerts: compiled once, as here, and cloned
// and parsed for each message, as Alertmanager's own package does. BenchmarkRender1 is the same for one alert.
func BenchmarkRender50(b *testing.B) { benchmarkRender(b, "group-50-firing") }

func BenchmarkRender1(b *testing.B) { benchmarkRender(b, "single-firing") }

func benchmarkRender(b *testing.B, name string) {
	b.Helper()
	n := payload(b, name)
	sources := []struct{ name, src string }{
		{"title", `{{ template "slack.default.title" . }}`},
		{"text", `{{ template "wechat.default.message" . }}`},
		{"html", `{{ template "email.default.html" . }}`},
	}
	for _, s := range sources {
		b.Run("compiled/"+s.name, func(b *testing.B) {
			set := newSet(b)
			compile := set.Text
			if s.name == "html" {
				compile = set.HTML
			}
			compiled, err := compile("", s.src)
			require.NoError(b, err)
			v := viewOf(n)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := compiled.Execute(v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for _, s := range sources {
		b.Run("cloneAndParse/"+s.name, func(b *testing.B) {
			theirs, err := template.FromGlobs(nil)
			require.NoError(b, err)
			execute := theirs.ExecuteTextString
			if s.name == "html" {
				execute = theirs.ExecuteHTMLString
			}
			data := dataOf(n)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := execute(s.src, data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDefaultTexts renders our own texts, for one alert and for 50.
func BenchmarkDefaultTexts(b *testing.B) {
	set := newSet(b)
	for _, name := range []string{"single-firing", "group-50-firing"} {
		v := viewOf(withSnapshot(payload(b, name)))
		for _, block := range []string{
			"relay.dingtalk.text", "relay.wecom.text", "relay.slack.text", "relay.email.text", "relay.email.html",
		} {
			b.Run(name+"/"+block, func(b *testing.B) {
				compile := set.Text
				if strings.HasSuffix(block, ".html") {
					compile = set.HTML
				}
				compiled, err := compile("", `{{ template "`+block+`" . }}`)
				require.NoError(b, err)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := compiled.Execute(v); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		b.Run(name+"/plain", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				set.Plain("", v)
			}
		})
		b.Run(name+"/compact", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				set.Compact("", v, v.Notification().Alerts, 2000)
			}
		})
	}
}
