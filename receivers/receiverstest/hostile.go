package receiverstest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
)

// Attack is a text that tries to be whatever some channel would act on: links, pictures, mentions, markup, HTML, another
// header, another direction of the text, orders to a terminal.
const Attack = "[click](https://evil.example) ![p](https://evil.example/p.png) <https://evil.example|here> " +
	"<a href=\"https://evil.example\">x</a> <b>bold</b> <script>alert(1)</script> <font color=\"info\">green</font> " +
	"@all @here <@all> <@alice> <@U012AB3CD> <!channel> <!subteam^S012AB3CD> @13800000000 **bold** *bold* `cmd` # title\r\n" +
	"Bcc: victim@example.org\n> quote \u202egnp.exe \u2066\u200f\x00\x1b[31m {{ .ExternalURL }}"

// Hostile is a delivery that holds Attack wherever a stranger's text can stand, and links that lead to no good.
func Hostile(t *testing.T) relay.Delivery {
	t.Helper()
	d := Delivery(t, "mixed-2")
	n := d.Notification()
	n.ExternalURL = `https://alertmanager.example.org/a"><b>x</b>)](https://evil.example)|<!channel>`
	for _, labels := range []map[string]string{n.GroupLabels, n.CommonLabels} {
		labels["alertname"], labels["cluster"], labels["severity"] = Attack, Attack, Attack
	}
	n.CommonAnnotations["runbook_url"] = "https://example.org/a)](https://evil.example)|<@all>\" onclick=\"x\u202e"
	for i := range n.Alerts {
		a := &n.Alerts[i]
		a.Labels["alertname"], a.Labels["severity"], a.Labels[Attack] = Attack, Attack, Attack
		a.Labels["instance"] += Attack
		a.Annotations["summary"], a.Annotations["description"] = Attack, Attack
		a.Annotations["runbook_url"] = []string{
			"javascript:alert(1)", "https://example.org/\r\nBcc: victim@example.org", "data:text/html,x",
		}[i]
		a.GeneratorURL = "https://example.org/graph?q=<!channel>)[x](https://evil.example)"
		a.Snapshot = relay.Snapshot{
			TraceID: Attack, RoomID: Attack, UserAgent: Attack, Extra: map[string]string{Attack: Attack},
			TraceURL: "https://example.org/trace/>|x<!channel>)](https://evil.example)",
		}
	}
	n.InsteadOf = Attack
	return d
}

// RequireTame fails when a text, as a reader's program gets it, holds what is not seen: control characters, and what
// turns the direction of the text. The marks U+200E, U+200F and U+061C may stay: text from right to left needs them, and
// they turn no letter.
func RequireTame(t *testing.T, text string) {
	t.Helper()
	at := strings.IndexFunc(text, func(r rune) bool {
		isControl := r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0
		turns := r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
		return isControl || turns || r == 0x2028 || r == 0x2029
	})
	if at >= 0 {
		require.Fail(t, "a character that is not seen", "%+q in %q", text[at:min(at+8, len(text))], text)
	}
}

// Strings are all texts of a message in JSON, the names of its fields aside.
func Strings(v any) []string {
	var all []string
	switch v := v.(type) {
	case string:
		all = append(all, v)
	case []any:
		for _, each := range v {
			all = append(all, Strings(each)...)
		}
	case map[string]any:
		for _, each := range v {
			all = append(all, Strings(each)...)
		}
	}
	return all
}
