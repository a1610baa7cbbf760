package templates_test

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/templates"
)

func TestEscape(t *testing.T) {
	t.Parallel()
	set := newSet(t)
	for name, c := range map[string]struct{ function, value, want string }{
		"nothing to do":             {"mdDingTalk", "web-1:9100 95%", "web-1:9100 95%"},
		"DingTalk's signs":          {"mdDingTalk", "**b** _i_ `c` [a](x) \\", "\\*\\*b\\*\\* \\_i\\_ \\`c\\` \\[a\\](x) \\\\"},
		"DingTalk's lines":          {"mdDingTalk", "one\r\n# two\n> three\n\n\nfour", "one\n\n\\# two\n\n\\> three\n\nfour"},
		"DingTalk's mentions":       {"mdDingTalk", "@all @138 a@b.c", "＠all ＠138 a＠b.c"},
		"DingTalk's tags":           {"mdDingTalk", "<font color=red> x < 5 <5 <=5 <", "＜font color=red> x < 5 <5 <=5 ＜"},
		"WeCom's signs":             {"mdWeCom", "**b** `c` [a](x) _i_", "＊＊b＊＊ ｀c｀ ［a］(x) _i_"},
		"WeCom's mentions":          {"mdWeCom", "<@alice> <font color=\"warning\">", "＜＠alice> ＜font color=\"warning\">"},
		"WeCom's lines":             {"mdWeCom", "# a\n> b\n#c", "＃ a\n＞ b\n＃c"},
		"markdown_v2's signs":       {"mdWeComV2", "**b** _i_ `c` [a](x) ~s~ a|b \\n", "＊＊b＊＊ ＿i＿ ｀c｀ ［a］(x) ～s～ a｜b ＼n"},
		"markdown_v2's lines":       {"mdWeComV2", "# a\n> b\n- c\n+ d\n12. e\n3) f\n1.5\nx-y", "＃ a\n\n＞ b\n\n－ c\n\n＋ d\n\n12． e\n\n3． f\n\n1.5\n\nx-y"},
		"markdown_v2's link":        {"linkWeComV2 \"http://a.b/)x\"", "a]b", "[a］b](http://a.b/%29x)"},
		"Slack's three":             {"mrkdwn", "a & b < c > d &amp;", "a &amp; b &lt; c &gt; d &amp;amp;"},
		"Slack's mentions":          {"mrkdwn", "<!channel> <@U1> @here mail a@b.c", "&lt;!channel&gt; &lt;＠U1&gt; ＠here mail a@b.c"},
		"text without markup":       {"plain", "@all <@alice> a<b a < b", "＠all ＜＠alice> a＜b a < b"},
		"controls":                  {"clean", "a\x00b\x1b[31mc\td\r\ne\rf\u2028g\u0085h", "ab[31mc d\ne\nf\ng\nh"},
		"bidi":                      {"clean", "a\u202eb\u2066c\u2069d", "abcd"},
		"hidden":                    {"clean", "a\u200bb\ufeffc\u00add\U000e0041e", "abcde"},
		"what emoji need":           {"clean", "👩\u200d👩 🇩🇪 العربية", "👩\u200d👩 🇩🇪 العربية"},
		"not UTF-8":                 {"clean", "a\xff\xfeb", "a\uFFFD\uFFFDb"},
		"one line":                  {"oneLine", " a\r\n b \n\n c", "a b c"},
		"cut: short":                {"cut 5", "12345", "12345"},
		"cut: long":                 {"cut 12", "12345678901234567890", "12345… (+15)"},
		"cut: too short for a note": {"cut 3", "123456", "12…"},
		"cut: characters":           {"cut 10", strings.Repeat("长", 30), "长长长… (+27)"},
		"a link":                    {"httpURL", " http://a.b/c?d=e#f ", "http://a.b/c?d=e#f"},
		"a link with markup":        {"httpURL", "https://a.b/(x)[y]<z>|\"'*`\\ é@", "https://a.b/%28x%29%5By%5D%3Cz%3E%7C%22%27%2A%60%5C%20%C3%A9%40"},
		"a link to IPv6":            {"httpURL", "http://[::1]:9090/[", "http://[::1]:9090/%5B"},
		"no link: script":           {"httpURL", "javascript:alert(1)", ""},
		"no link: data":             {"httpURL", "data:text/html,x", ""},
		"no link: another scheme":   {"httpURL", "dingtalk://x", ""},
		"no link: relative":         {"httpURL", "//a.b/c", ""},
		"no link: no host":          {"httpURL", "http:///c", ""},
		"no link: a disguised host": {"httpURL", "http://bank.example@evil.example/", ""},
		"no link: very long":        {"httpURL", "http://a.b/" + strings.Repeat("x", 4000), ""},
		"DingTalk's link":           {"linkDingTalk \"http://a.b/)x\"", "a]b", "[a\\]b](http://a.b/%29x)"},
		"DingTalk's dead link":      {"linkDingTalk \"javascript:x\"", "a]b", "a\\]b"},
		"WeCom's link":              {"linkWeCom \"http://a.b/)x\"", "a]b", "[a］b](http://a.b/%29x)"},
		"Slack's link":              {"linkSlack \"http://a.b/?x=1&y=>|\"", "a|b>c\nd", "<http://a.b/?x=1&amp;y=%3E%7C|a¦b&gt;c d>"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, escape(t, set, c.function, c.value))
		})
	}
}

// escape calls a function of the templates on a value from outside.
func escape(tb testing.TB, set *templates.Set, function, value string) string {
	tb.Helper()
	n := &relay.Notification{}
	n.CommonLabels = template.KV{"v": value}
	v := relay.View{Delivery: &relay.Delivery{Tellings: []relay.Telling{{Notification: n}}}}
	return render(tb, set, "en", `{{ `+function+` .CommonLabels.v }}`, v)
}

// FuzzEscape holds the promises of the escape functions against any two values that follow each other in a text.
func FuzzEscape(f *testing.F) {
	f.Add(hostile, "](javascript:alert(1))")
	f.Add("<", "@U1>")
	f.Add("[a", "](http://evil.example)")
	f.Add("x@", "all")
	f.Add("<\u200b!chan", "nel>")
	f.Add("\\", "*x*")
	f.Add("&lt;!channel", "&gt;")
	f.Add("\r", "\n# h")
	set := newSet(f)
	unescaped := regexp.MustCompile("(^|[^\\\\])(\\\\\\\\)*[*_`\\[\\]]")
	entity := regexp.MustCompile(`&(amp|lt|gt);`)
	f.Fuzz(func(t *testing.T, one, two string) {
		for _, function := range []string{"mdDingTalk", "mdWeCom", "mrkdwn", "plain"} {
			got := escape(t, set, function, one) + escape(t, set, function, two)
			require.True(t, utf8.ValidString(got), "%s: %q", function, got)
			require.NotContains(t, got, "\r")
			require.NotContains(t, got, "\u202e")
			for _, live := range []string{"<@", "<!", "<#", "<font", "</font", "<http"} {
				require.NotContains(t, got, live, function)
			}
			switch function {
			case "mdDingTalk":
				require.NotContains(t, got, "@")
				require.False(t, unescaped.MatchString(got), "%q", got)
				require.NotRegexp(t, "(?m)^ *[#>]", escape(t, set, function, one))
			case "mdWeCom":
				require.NotContains(t, got, "@")
				require.False(t, strings.ContainsAny(got, "[]*`"), "%q", got)
				require.NotRegexp(t, "(?m)^ *[#>]", escape(t, set, function, one))
			case "mrkdwn":
				require.False(t, strings.ContainsAny(got, "<>"), "%q", got)
				require.NotContains(t, entity.ReplaceAllString(got, ""), "&")
				require.NotRegexp(t, "(^|[^A-Za-z0-9&;])@[A-Za-z]", escape(t, set, function, one))
			case "plain":
				require.NotContains(t, got, "@")
			}
		}
	})
}

// FuzzLink holds that a link of each channel is one link to http or https, or none at all.
func FuzzLink(f *testing.F) {
	f.Add("http://a.b/c", hostile)
	f.Add("http://a.b/)](javascript:x)", "x")
	f.Add("http://a.b|x>", "x|<!channel>")
	f.Add("javascript:alert(1)", "x")
	f.Add("http://[::1]:9090", "x")
	set := newSet(f)
	address := `https?://[^\s<>|()"'*` + "`" + `\\]+`
	forms := map[string]*regexp.Regexp{
		"linkDingTalk": regexp.MustCompile(`^\[(?:[^\[\]\\]|\\.)*\]\(` + address + `\)$`),
		"linkWeCom":    regexp.MustCompile(`^\[[^\[\]]*\]\(` + address + `\)$`),
		"linkSlack":    regexp.MustCompile(`^<` + address + `\|[^<>|]*>$`),
	}
	f.Fuzz(func(t *testing.T, link, text string) {
		n := &relay.Notification{}
		n.CommonLabels = template.KV{"link": link, "text": text}
		v := relay.View{Delivery: &relay.Delivery{Tellings: []relay.Telling{{Notification: n}}}}
		follow := render(t, set, "en", `{{ httpURL .CommonLabels.link }}`, v)
		for function, form := range forms {
			got := render(t, set, "en", `{{ `+function+` .CommonLabels.link .CommonLabels.text }}`, v)
			require.NotContains(t, got, "\n")
			if follow == "" {
				require.False(t, form.MatchString(got), "%s: %q", function, got)
			} else {
				require.Regexp(t, form, got)
			}
		}
	})
}
