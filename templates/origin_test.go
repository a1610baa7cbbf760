package templates_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
)

// TestOrigin: the context of the webhook request is not told as that of a customer, in any channel.
func TestOrigin(t *testing.T) {
	t.Parallel()
	set := newSet(t)
	texts := map[string]func(v relay.View) string{
		"plain": func(v relay.View) string { return set.Plain("en", v) },
		"email": func(v relay.View) string { return renderHTML(t, set, "en", `{{ template "relay.email.html" . }}`, v) },
	}
	for _, name := range []string{"relay.dingtalk.text", "relay.wecom.text", "relay.slack.text", "relay.email.text"} {
		texts[name] = func(v relay.View) string { return render(t, set, "en", `{{ template "`+name+`" . }}`, v) }
	}
	for _, tc := range []struct {
		name             string
		client           string
		source           relay.Source
		contains, absent []string
	}{
		{
			"the alert's own", "WeChat/8.0", relay.SourceAlert,
			[]string{"Trace", "0af7651916cd43dd", "Client", "WeChat/8.0"},
			[]string{"Webhook trace", "Sender"},
		},
		{
			"Alertmanager's", "Alertmanager/0.34.2", relay.SourceRequest,
			[]string{"Webhook trace", "0af7651916cd43dd"},
			[]string{"Alertmanager/0.34.2", "Client", "Sender"},
		},
		{
			"another sender's", "Grafana/12", relay.SourceRequest,
			[]string{"Webhook trace", "0af7651916cd43dd", "Sender", "Grafana/12"},
			[]string{"Client"},
		},
	} {
		for text, make := range texts {
			t.Run(tc.name+" in "+text, func(t *testing.T) {
				t.Parallel()
				n := payload(t, "single-firing")
				n.Alerts[0].Snapshot = relay.Snapshot{
					TraceID: "0af7651916cd43dd", UserAgent: tc.client,
					Sources: map[string]relay.Source{"trace_id": tc.source, "user_agent": tc.source},
				}
				got := make(viewOf(n))
				for _, part := range tc.contains {
					require.Contains(t, got, part)
				}
				for _, part := range tc.absent {
					require.NotContains(t, got, part)
				}
			})
		}
	}
}
