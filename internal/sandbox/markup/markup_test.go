package markup_test

import (
	"encoding/xml"
	"errors"
	"html/template"
	"io"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/sandbox/markup"
)

const anchor = `target="_blank" rel="noopener noreferrer nofollow"`

func TestDingTalk(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, want string }{
		"heading":              {"### 🔴 告警 **A**", "<h3>🔴 告警 <strong>A</strong></h3>"},
		"not a heading":        {"#tag", "<p>#tag</p>"},
		"seven signs":          {"####### x", "<p>####### x</p>"},
		"paragraphs":           {"a\n\nb", "<p>a</p><p>b</p>"},
		"one line break":       {"a\nb", "<p>a b</p>"},
		"two spaces break":     {"a  \n  b", "<p>a<br/>b</p>"},
		"quote":                {"> a\n> b\nc", "<blockquote>a b c</blockquote>"},
		"lists":                {"- a\n- *b*\n\n1. c\n2. d", "<ul><li>a</li><li><em>b</em></li></ul><ol><li>c</li><li>d</li></ol>"},
		"link":                 {"[t](https://h/a?b=1&c=2)", `<p><a href="https://h/a?b=1&amp;c=2" ` + anchor + `>t</a></p>`},
		"bad link":             {"[t](javascript:alert(1))", "<p>t)</p>"},
		"picture":              {"![p](https://h/p.png)", `<p><span class="picture">🖼 p</span></p>`},
		"escapes":              {`18\_0 \*x\* \[y\]`, "<p>18_0 *x* [y]</p>"},
		"no table":             {"| a | b |", "<p>| a | b |</p>"},
		"no code":              {"`x`", "<p>`x`</p>"},
		"no strike":            {"~~x~~", "<p>~~x~~</p>"},
		"no HTML":              {"<b>x</b>", "<p>&lt;b&gt;x&lt;/b&gt;</p>"},
		"no colour":            {`<font color="red">x</font>`, "<p>&lt;font color=&#34;red&#34;&gt;x&lt;/font&gt;</p>"},
		"spaces":               {"a&nbsp;b", "<p>a\u00a0b</p>"},
		"mention":              {"@1380 hi @other", `<p><span class="mention">@1380</span> hi @other</p>`},
		"stars alone":          {"2 * 3 * 4", "<p>2 * 3 * 4</p>"},
		"an address":           {"see http://h/x.", `<p>see <a href="http://h/x" ` + anchor + `>http://h/x</a>.</p>`},
		"an address in a link": {"[http://a](http://b)", `<p><a href="http://b" ` + anchor + `>a</a></p>`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, template.HTML(c.want), markup.DingTalk(c.in, []string{"1380"}))
		})
	}
}

func TestWeCom(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, want string }{
		"heading":       {"### a", "<h3>a</h3>"},
		"every line":    {"a\nb\n\n\nc", `<div>a</div><div>b</div><div class="gap"></div><div>c</div>`},
		"quote":         {">a **b**", "<blockquote>a <strong>b</strong></blockquote>"},
		"colours":       {`<font color="warning">x</font> <font color="red">y</font>`, `<div><span class="wecom-warning">x</span> <span>y</span></div>`},
		"colour inside": {`<font color="info">**x**</font>`, `<div><span class="wecom-info"><strong>x</strong></span></div>`},
		"code":          {"`<x>`", "<div><code>&lt;x&gt;</code></div>"},
		"mention":       {"<@alice> <@ bob>", `<div><span class="mention">@alice</span> &lt;@ bob&gt;</div>`},
		"link":          {"[t](https://h)", `<div><a href="https://h" ` + anchor + `>t</a></div>`},
		"no list":       {"- a", "<div>- a</div>"},
		"no italic":     {"*a* _b_", "<div>*a* _b_</div>"},
		"no picture":    {"![p](javascript:x)", "<div>!p</div>"},
		"no HTML":       {"<script>x</script>", "<div>&lt;script&gt;x&lt;/script&gt;</div>"},
		"open ends":     {"**a `b [c <font", "<div>**a `b [c &lt;font</div>"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, template.HTML(c.want), markup.WeCom(c.in))
		})
	}
}

func TestSlack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, want string }{
		"signs":         {"*b* _i_ ~s~ `c`", "<div><strong>b</strong> <em>i</em> <s>s</s> <code>c</code></div>"},
		"in a word":     {"a*b*c snake_case_name", "<div>a*b*c snake_case_name</div>"},
		"after a sign":  {"*告警*：x", "<div><strong>告警</strong>：x</div>"},
		"nested":        {"*a _b_*", "<div><strong>a <em>b</em></strong></div>"},
		"block":         {"a\n```\nx *y*\n```\nb", "<div>a</div><pre>x *y*</pre><div>b</div>"},
		"quote":         {"&gt; a\n> b", "<blockquote>a</blockquote><blockquote>b</blockquote>"},
		"link":          {"<https://h?a=1&amp;b|t &amp; u>", `<div><a href="https://h?a=1&amp;b" ` + anchor + `>t &amp; u</a></div>`},
		"bare link":     {"<https://h>", `<div><a href="https://h" ` + anchor + `>https://h</a></div>`},
		"mail":          {"<mailto:a@b|a@b>", `<div><a href="mailto:a@b" ` + anchor + `>a@b</a></div>`},
		"bad link":      {"<javascript:x|t>", "<div>t</div>"},
		"mentions":      {"<@U1> <!here> <!subteam^S1|@ops>", `<div><span class="mention">@U1</span> <span class="mention">@here</span> <span class="mention">@ops</span></div>`},
		"escaped":       {"&lt;!here&gt; &amp;amp;", "<div>&lt;!here&gt; &amp;amp;</div>"},
		"date":          {"<!date^1700000000^{time}|22:13>", "<div>22:13</div>"},
		"emoji":         {":fire: :unknown:", "<div>🔥 :unknown:</div>"},
		"no heading":    {"# a", "<div># a</div>"},
		"a blank line":  {"a\n\nb", `<div>a</div><div class="gap"></div><div>b</div>`},
		"open ends":     {"*a <b _c `d", "<div>*a &lt;b _c `d</div>"},
		"stars, spaces": {"2 * 3 * 4", "<div>2 * 3 * 4</div>"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, template.HTML(c.want), markup.Slack(c.in))
		})
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	require.Equal(t, template.HTML(`a<br/><span class="mention">@1380</span> **x**`), markup.Plain("a\n@1380 **x**", []string{"1380"}))
	require.Equal(t, template.HTML(`a<br/><span class="mention">@bob</span> &lt;x&gt;`), markup.WeComText("a\n<@bob> <x>"))
	require.Equal(t, template.HTML(`🔥 *x* &lt;b&gt;`), markup.SlackPlain(":fire: *x* &lt;b&gt;"))
}

// FuzzSafe feeds every dialect with anything: the result is well formed and holds nothing but our own tags.
func FuzzSafe(f *testing.F) {
	for _, seed := range []string{
		"**x** [a](javascript:alert(1)) @all", `<img src=x onerror=alert(1)>`, "[a](https://h\" onclick=\"x)", "```\n<b>\n```",
		`<font color="warning"><font color="info">x</font></font>`, "<https://h|<b>>", "> - # *_~`x`~_*", "![x](https://h)[",
		"\x00\xff\\", "*\\*", "a\n\n\n> b\nc\n1. d",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for dialect, drawn := range map[string]template.HTML{
			"dingtalk": markup.DingTalk(s, []string{"all"}), "wecom": markup.WeCom(s), "slack": markup.Slack(s),
			"plain": markup.Plain(s, nil), "wecom text": markup.WeComText(s), "slack plain": markup.SlackPlain(s),
		} {
			requireSafe(t, dialect, string(drawn))
		}
	})
}

func requireSafe(t *testing.T, dialect, drawn string) {
	t.Helper()
	drawn = strings.Map(func(r rune) rune { // XML cannot hold what HTML can
		if r < ' ' && r != '\n' && r != '\t' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			return -1
		}
		return r
	}, strings.ToValidUTF8(drawn, "?"))
	dec := xml.NewDecoder(strings.NewReader("<r>" + drawn + "</r>"))
	links := 0
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err, "%s: %q", dialect, drawn)
		switch e := token.(type) {
		case xml.StartElement:
			require.True(t, slices.Contains(strings.Fields("r p div span h1 h2 h3 h4 h5 h6 ul ol li br a em strong s code pre blockquote"),
				e.Name.Local), "%s: %s", dialect, e.Name.Local)
			for _, a := range e.Attr {
				require.Contains(t, []string{"class", "href", "target", "rel"}, a.Name.Local)
				if a.Name.Local == "href" {
					u, err := url.Parse(a.Value)
					require.NoError(t, err)
					require.Contains(t, []string{"http", "https", "mailto"}, u.Scheme)
				}
			}
			if e.Name.Local == "a" {
				links++
				require.Equal(t, 1, links, "%s: a link inside a link: %q", dialect, drawn)
			}
		case xml.EndElement:
			if e.Name.Local == "a" {
				links--
			}
		}
	}
}
