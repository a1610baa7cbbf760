package templates_test

import (
	"testing"

	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"
)

// BenchmarkRender50 renders one message of 50 alerts: compiled once as here, and cloned and parsed for each message as
// Alertmanager's own package does.
func BenchmarkRender50(b *testing.B) {
	n := payload(b, "group-50-firing")
	sources := map[string]string{
		"title": `{{ template "slack.default.title" . }}`,
		"text":  `{{ template "wechat.default.message" . }}`,
	}
	for name, src := range sources {
		b.Run(name+"/compiled", func(b *testing.B) {
			compiled, err := newSet(b).Text("", src)
			require.NoError(b, err)
			v := viewOf(n)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := compiled.Execute(v); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/cloneAndParse", func(b *testing.B) {
			theirs, err := template.FromGlobs(nil)
			require.NoError(b, err)
			data := dataOf(n)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := theirs.ExecuteTextString(src, data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	html := `{{ template "email.default.html" . }}`
	b.Run("html/compiled", func(b *testing.B) {
		compiled, err := newSet(b).HTML("", html)
		require.NoError(b, err)
		v := viewOf(n)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := compiled.Execute(v); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("html/cloneAndParse", func(b *testing.B) {
		theirs, err := template.FromGlobs(nil)
		require.NoError(b, err)
		data := dataOf(n)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := theirs.ExecuteHTMLString(html, data); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkDefaultTexts renders our own texts, one alert and 50.
func BenchmarkDefaultTexts(b *testing.B) {
	set := newSet(b)
	for _, name := range []string{"single-firing", "group-50-firing"} {
		v := viewOf(withSnapshot(payload(b, name)))
		for _, block := range []string{"relay.dingtalk.text", "relay.wecom.text", "relay.slack.text", "relay.email.text"} {
			b.Run(block+"/"+name, func(b *testing.B) {
				compiled, err := set.Text("", `{{ template "`+block+`" . }}`)
				require.NoError(b, err)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := compiled.Execute(v); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		b.Run("relay.email.html/"+name, func(b *testing.B) {
			compiled, err := set.HTML("", `{{ template "relay.email.html" . }}`)
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := compiled.Execute(v); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("Plain/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				set.Plain("", v)
			}
		})
	}
}
