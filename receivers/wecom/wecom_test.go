package wecom_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"image"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/robots"
	"github.com/alertrelay/relay/internal/sandbox"
	"github.com/alertrelay/relay/internal/secret"
	"github.com/alertrelay/relay/receivers/receiverstest"
	"github.com/alertrelay/relay/receivers/wecom"
	"github.com/alertrelay/relay/templates"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const (
	key    = "01234567-89ab-cdef-0123-456789abcdef"
	path   = "/cgi-bin/webhook/send?key=" + key
	okBody = `{"errcode":0,"errmsg":"ok. Warning: wrong json format. ","media_id":"m1"}`
)

// types are configurations of each message type.
func types(t *testing.T) []wecom.Config {
	t.Helper()
	return []wecom.Config{
		{MessageType: "markdown"},
		{MessageType: "markdown_v2"},
		{MessageType: "text"},
		{MessageType: "news", PictureURL: "https://example.com/bell.png"},
		{MessageType: "template_card"},
		{MessageType: "template_card", CardType: "news_notice", PictureURL: "https://example.com/bell.png"},
		{MessageType: "image", ImageFile: picture(t)},
		{MessageType: "file"},
	}
}

// nameOf tells them apart.
func nameOf(c wecom.Config) string {
	if c.CardType != "" {
		return c.CardType
	}
	return c.MessageType
}

// picture writes a small PNG.
func picture(t *testing.T) secret.File {
	t.Helper()
	var content bytes.Buffer
	require.NoError(t, png.Encode(&content, image.NewGray(image.Rect(0, 0, 8, 8))))
	name := filepath.Join(t.TempDir(), "graph.png")
	require.NoError(t, os.WriteFile(name, content.Bytes(), 0o600))
	return secret.File(name)
}

func TestContract(t *testing.T) {
	t.Parallel()
	for _, c := range types(t) {
		faults := receiverstest.HTTPFaults(func(int) relay.Kind { return relay.Transient })[:1]
		if c.MessageType == "markdown" { // what WeCom answers is the same for all
			faults = append(receiverstest.HTTPFaults(func(int) relay.Kind { return relay.Transient }), answers()...)
		}
		t.Run(nameOf(c), func(t *testing.T) {
			t.Parallel()
			receiverstest.Run(t, receiverstest.Suite{
				New: func(t *testing.T, env relay.Env, target string) relay.Setup {
					t.Helper()
					c := c
					c.MaxParts, c.URL = receiverstest.MaxParts, secret.New(target+path)
					return build(t, c, env)
				},
				Vendor:    receiverstest.HTTPVendor(receiverstest.Answer(http.StatusOK, okBody)),
				Faults:    faults,
				Hang:      receiverstest.HTTPHang,
				Secrets:   []string{key},
				Check:     check,
				Templates: words(t),
			})
		})
	}
}

// answers are those of WeCom itself, with the tail that every one of them has.
func answers() []receiverstest.Fault {
	var faults []receiverstest.Fault
	for _, a := range seen() {
		body := fmt.Sprintf(`{"errcode":%d,"errmsg":"%s, hint: [1700000000000000000000000], from ip: 203.0.113.9, `+
			`more info at https://open.work.weixin.qq.com/devtool/query?e=%[1]d"}`, a.code, a.text)
		faults = append(faults, receiverstest.Fault{
			Name:   a.text,
			Vendor: receiverstest.HTTPVendor(receiverstest.Answer(http.StatusOK, body)),
			Kind:   a.kind, RetryAfter: a.after,
		})
	}
	for name, body := range map[string]string{
		"no code": `{"success":true}`, "null code": `{"errcode":null}`, "no object": `[0]`, "ok alone": `ok`,
		"code in words": `{"errcode":"zero"}`,
	} {
		faults = append(faults, receiverstest.Fault{
			Name:   name,
			Vendor: receiverstest.HTTPVendor(receiverstest.Answer(http.StatusOK, body)),
			Kind:   relay.Transient,
		})
	}
	return faults
}

type answer struct {
	code  int
	text  string
	kind  relay.Kind
	after time.Duration
}

// seen are WeCom's answers as they were seen.
func seen() []answer {
	return []answer{
		{-1, "system busy", relay.Transient, 0},
		{6000, "data version conflict", relay.Transient, 0},
		{45033, "too many concurrent calls", relay.Transient, 0},
		{45009, "api freq out of limit", relay.RateLimited, time.Minute},
		{93000, "invalid webhook url", relay.Misconfigured, 0},
		{93004, "robot disabled", relay.Misconfigured, 0},
		{93008, "robot not in the group", relay.Misconfigured, 0},
		{40008, "Warning: wrong json format. invalid message type", relay.Refused, 0},
		{40058, "markdown.content exceed max length 4096. invalid Request Parameter", relay.Refused, 0},
		{44004, "empty content", relay.Refused, 0},
		{45002, "content over size", relay.Refused, 0},
		{40033, "illegal characters", relay.Refused, 0},
		{45034, "invalid url", relay.Refused, 0},
		{40007, "invalid media_id", relay.Refused, 0},
		{40006, "invalid media size", relay.Refused, 0},
		{40009, "invalid image size", relay.Refused, 0},
		{40035, "invalid parameter", relay.Refused, 0},
		{40063, "some parameters are empty", relay.Refused, 0},
		{301019, "media md5 does not match", relay.Refused, 0},
		{987654, "?", relay.Transient, 0},
	}
}

// wire is a request as WeCom reads it.
type wire struct {
	Type string `json:"msgtype"`
	Text *struct {
		Content          string   `json:"content"`
		Mentioned        []string `json:"mentioned_list"`
		MentionedMobiles []string `json:"mentioned_mobile_list"`
	} `json:"text"`
	Markdown *struct {
		Content string `json:"content"`
	} `json:"markdown"`
	MarkdownV2 *struct {
		Content string `json:"content"`
	} `json:"markdown_v2"`
	News *struct {
		Articles []struct {
			Title       string `json:"title"`
			Description string `json:"description"`
			URL         string `json:"url"`
			Picture     string `json:"picurl"`
		} `json:"articles"`
	} `json:"news"`
	Card  *sandbox.WeComCard `json:"template_card"`
	Image *struct{}          `json:"image"`
	File  *struct {
		Name    string `json:"name"`
		Content string `json:"content"`
	} `json:"file"`
}

func read(t *testing.T, m relay.Message) wire {
	t.Helper()
	var w wire
	d := json.NewDecoder(bytes.NewReader(m.Body))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&w))
	return w
}

func check(t *testing.T, m relay.Message) {
	t.Helper()
	w := read(t, m)
	shown := m.Text
	alive := []string{"<@", "<!", "@here", "@all", "@1380", "<b>", "<a ", "<script>", "<font color=\"info\">green", "\u202e", "\u0001"}
	switch w.Type {
	case "markdown":
		require.Equal(t, m.Text, w.Markdown.Content)
		require.NotEmpty(t, w.Markdown.Content)
		require.LessOrEqual(t, len(w.Markdown.Content), 4096)
		require.Nil(t, w.Text)
		alive = append(alive, "*bold*", "`cmd`", "](https://evil", "\n> quote")
	case "markdown_v2":
		require.Equal(t, m.Text, w.MarkdownV2.Content)
		require.NotEmpty(t, w.MarkdownV2.Content)
		require.LessOrEqual(t, len(w.MarkdownV2.Content), 4096)
		alive = append(alive, "*bold*", "`cmd`", "_it_", "~s~", "](https://evil", "\n> quote")
	case "text":
		require.Equal(t, m.Text, w.Text.Content)
		require.NotEmpty(t, w.Text.Content)
		require.LessOrEqual(t, len(w.Text.Content), 2048)
		require.Empty(t, w.Text.Mentioned)
		require.Empty(t, w.Text.MentionedMobiles)
		require.Nil(t, w.Markdown)
	case "news":
		require.NotEmpty(t, w.News.Articles)
		require.LessOrEqual(t, len(w.News.Articles), 8)
		for _, a := range w.News.Articles {
			require.NotEmpty(t, a.Title)
			require.LessOrEqual(t, len(a.Title), 128)
			require.LessOrEqual(t, len(a.Description), 512)
			checkLink(t, a.URL)
		}
	case "template_card":
		require.NotEmpty(t, w.Card.MainTitle.Title)
		checkLink(t, w.Card.Action.URL)
		require.LessOrEqual(t, len(w.Card.Rows), 6)
		require.LessOrEqual(t, len(w.Card.Lines), 4)
		require.LessOrEqual(t, len(w.Card.Jumps), 3)
		for _, r := range w.Card.Rows {
			require.NotEmpty(t, r.Key)
			require.NotEmpty(t, r.Value)
		}
	case "image":
	case "file":
		shown = w.File.Content
		require.Regexp(t, `^[^/\\:*?"<>|]{1,104}\.txt$`, w.File.Name)
		require.LessOrEqual(t, len(w.File.Content), 512<<10)
	default:
		require.Fail(t, "message type", w.Type)
	}
	for _, markup := range alive {
		require.NotContains(t, shown, markup)
	}
}

func checkLink(t *testing.T, link string) {
	t.Helper()
	require.True(t, strings.HasPrefix(link, "http://") || strings.HasPrefix(link, "https://"), link)
}

// words are the real texts.
func words(tb testing.TB) relay.Renderer {
	tb.Helper()
	set, err := templates.New(templates.Config{Timezone: "Asia/Shanghai", Timeout: time.Minute})
	require.NoError(tb, err)
	return set
}

// build makes the integration of c with its defaults.
func build(t *testing.T, c wecom.Config, env relay.Env) relay.Setup {
	t.Helper()
	c.SetDefaults(wecom.Globals{})
	f := fault.New()
	c.Validate(f)
	require.Empty(t, f.All())
	setup, err := wecom.New(c, env)
	require.NoError(t, err)
	return setup
}

// robot is a robot that is never called.
func robot() wecom.Robot { return wecom.Robot{URL: secret.New("http://localhost" + path)} }

func TestErrorsLeaveOutTheTail(t *testing.T) {
	t.Parallel()
	target := answers()[4].Vendor(t)
	setup := build(t, wecom.Config{Robot: wecom.Robot{URL: secret.New(target + path)}},
		receiverstest.Env(t, receiverstest.Words{}))
	_, err := setup.Send(t.Context(), relay.Message{Body: []byte("{}")})
	require.EqualError(t, err, "wecom: post message: errcode 93000: invalid webhook url")
}

func TestPoolSendsThroughTheClaimedRobot(t *testing.T) {
	t.Parallel()
	var keys []string
	target := receiverstest.HTTPVendor(func(w http.ResponseWriter, r *http.Request) {
		keys = append(keys, r.URL.Query().Get("key"))
		receiverstest.Answer(http.StatusOK, okBody)(w, r)
	})(t)
	file := filepath.Join(t.TempDir(), "two.key")
	require.NoError(t, os.WriteFile(file, []byte("two\n"), 0o600))
	c := wecom.Config{URLs: []wecom.PoolRobot{
		{Robot: wecom.Robot{URL: secret.New(target + "/cgi-bin/webhook/send?key=one")}},
		{Robot: wecom.Robot{KeyFile: secret.File(file)}},
	}}
	c.SetDefaults(wecom.Globals{APIURL: target + "/cgi-bin/"})
	setup, err := wecom.New(c, receiverstest.Env(t, receiverstest.Words{}))
	require.NoError(t, err)
	require.Len(t, setup.Limiters, 2)
	for _, limiter := range []relay.LimiterID{setup.Limiters[1], setup.Limiters[0], ""} {
		_, err := setup.Send(t.Context(), relay.Message{Limiter: limiter, Body: []byte("{}")})
		require.NoError(t, err)
	}
	require.Equal(t, []string{"two", "one", "one"}, keys)

	require.NoError(t, os.WriteFile(file, []byte("rotated"), 0o600))
	_, err = setup.Send(t.Context(), relay.Message{Limiter: setup.Limiters[1], Body: []byte("{}")})
	require.NoError(t, err)
	require.Equal(t, "rotated", keys[3], "files are read at each use")

	require.NoError(t, os.Remove(file))
	_, err = setup.Send(t.Context(), relay.Message{Limiter: setup.Limiters[1], Body: []byte("{}")})
	require.Equal(t, relay.Misconfigured, relay.KindOf(err))
}

func TestMentions(t *testing.T) {
	t.Parallel()
	everyone := wecom.Mention{UserIDs: []string{"alice", "bob"}, All: true}
	byPhone := wecom.Mention{UserIDs: []string{"alice"}, Mobiles: []string{"13800000000"}, All: true}
	tests := []struct {
		name   string
		config wecom.Config
		text   string
		want   []string // the texts
		users  []string // of the last message
		mobile []string
	}{
		{
			"added to markdown",
			wecom.Config{Mention: everyone},
			"disk full",
			[]string{"disk full\n<@alice> <@bob> <@all>"},
			nil, nil,
		},
		{
			"only what is missing",
			wecom.Config{Mention: everyone},
			"<@bob>: disk full",
			[]string{"<@bob>: disk full\n<@alice> <@all>"},
			nil, nil,
		},
		{
			"text has lists of them",
			wecom.Config{Mention: byPhone, MessageType: "text"},
			"disk full",
			[]string{"disk full"},
			[]string{"alice", "@all"},
			[]string{"13800000000"},
		},
		{
			"the twin carries them",
			wecom.Config{Mention: byPhone, TextTwin: true},
			"disk full",
			[]string{"disk full", "disk full"},
			[]string{"alice", "@all"},
			[]string{"13800000000"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.config.Robot = robot()
			setup := build(t, tt.config, receiverstest.Env(t, fixed(tt.text)))
			messages, err := setup.Render(receiverstest.Delivery(t, "single-firing"))
			require.NoError(t, err)
			var texts []string
			for _, m := range messages {
				texts = append(texts, m.Text)
			}
			require.Equal(t, tt.want, texts)
			if w := read(t, messages[len(messages)-1]); w.Text != nil {
				require.Equal(t, tt.users, w.Text.Mentioned)
				require.Equal(t, tt.mobile, w.Text.MentionedMobiles)
			}
		})
	}
}

func TestPeopleAreMentioned(t *testing.T) {
	t.Parallel()
	for messageType, want := range map[string]wecom.Mention{
		"text":     {UserIDs: []string{"alice", "dave"}, Mobiles: []string{"139"}},
		"markdown": {},
	} {
		setup := build(t, wecom.Config{
			Robot: robot(), MessageType: messageType, Mention: wecom.Mention{UserIDs: []string{"alice"}},
		}, receiverstest.Env(t, receiverstest.Words{}))
		d := receiverstest.Delivery(t, "single-firing")
		d.People = []relay.Person{
			{Name: "alice", WeComUserID: "alice", Mobile: "138"},
			{Name: "bob", Mobile: "139"},
			{Name: "carol", SlackID: "U01"},
			{Name: "dave", WeComUserID: "dave"},
		}
		messages, err := setup.Render(d)
		require.NoError(t, err)
		w := read(t, messages[0])
		if messageType == "markdown" {
			require.Contains(t, w.Markdown.Content, "<@alice> <@dave>")
			continue
		}
		require.Equal(t, want.UserIDs, w.Text.Mentioned)
		require.Equal(t, want.Mobiles, w.Text.MentionedMobiles)
	}
}

func TestMentionsFromTheAlert(t *testing.T) {
	t.Parallel()
	setup := build(t, wecom.Config{
		Robot: robot(), MessageType: "text", Mention: wecom.Mention{
			UserIDs: []string{"alice", "{{ .CommonLabels.owner }}"}, Mobiles: []string{"{{ .CommonAnnotations.oncall }}"},
		},
	}, receiverstest.Env(t, words(t)))
	d := receiverstest.Delivery(t, "single-firing")
	d.Notification().CommonLabels["owner"] = "@all, bob;<@x>,alice"
	d.Notification().CommonAnnotations["oncall"] = "13900000000 @all"
	messages, err := setup.Render(d)
	require.NoError(t, err)
	w := read(t, messages[0])
	require.Equal(t, []string{"alice", "bob"}, w.Text.Mentioned)
	require.Equal(t, []string{"13900000000"}, w.Text.MentionedMobiles)
}

// A picture that is gone keeps nothing back: the text was told, and the history says what is missing.
func TestPictureIsLeftOut(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(file string) error{
		"gone":     os.Remove,
		"no image": func(file string) error { return os.WriteFile(file, []byte("<svg/>"), 0o600) },
		"too large": func(file string) error {
			return os.WriteFile(file, append([]byte("\x89PNG\r\n\x1a\n"), make([]byte, 2<<20)...), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := picture(t)
			setup := build(t, wecom.Config{Robot: robot(), MessageType: "image", ImageFile: file},
				receiverstest.Env(t, words(t)))
			messages, err := setup.Render(receiverstest.Delivery(t, "single-firing"))
			require.NoError(t, err)
			require.Len(t, messages, 2)
			require.NoError(t, change(string(file)))
			receipt, err := setup.Send(t.Context(), messages[1])
			require.NoError(t, err)
			require.Contains(t, receipt.Detail, "picture left out: ")
		})
	}
}

// A card that would lead nowhere is no card.
func TestCardWithoutAddress(t *testing.T) {
	t.Parallel()
	for _, messageType := range []string{"news", "template_card"} {
		setup := build(t, wecom.Config{Robot: robot(), MessageType: messageType, LinkURL: "javascript:alert(1)"},
			receiverstest.Env(t, words(t)))
		messages, err := setup.Render(receiverstest.Delivery(t, "single-firing"))
		require.NoError(t, err)
		require.Equal(t, "text", read(t, messages[0]).Type)
		require.Contains(t, messages[0].Text, "HighCPUUsage")
	}
}

func TestMentionsOnce(t *testing.T) {
	t.Parallel()
	setup := build(t, wecom.Config{Robot: robot(), Mention: wecom.Mention{UserIDs: []string{"alice"}}},
		receiverstest.Env(t, words(t)))
	messages, err := setup.Render(receiverstest.Many(500))
	require.NoError(t, err)
	require.Len(t, messages, relay.DefaultMaxParts)
	require.Contains(t, messages[0].Text, "<@alice>")
	for _, m := range messages[1:] {
		require.NotContains(t, m.Text, "<@")
	}
}

func TestLongNotificationEndsCompact(t *testing.T) {
	t.Parallel()
	setup := build(t, wecom.Config{Robot: robot()}, receiverstest.Env(t, words(t)))
	messages, err := setup.Render(receiverstest.Many(500))
	require.NoError(t, err)
	last := messages[len(messages)-1]
	require.Equal(t, "text", read(t, last).Type)
	require.Contains(t, last.Text, "(5/5)")
	require.Contains(t, last.Text, "https://relay.example.com/api/v1/notifications/01JD4F7Q8ZR6T5W4X3Y2V1B0N9")
	require.Positive(t, last.Omitted)
	require.Greater(t, len(last.Text), 1800, "as much as fits")
}

func TestTwinFitsOneMessage(t *testing.T) {
	t.Parallel()
	setup := build(t, wecom.Config{Robot: robot(), TextTwin: true}, receiverstest.Env(t, words(t)))
	messages, err := setup.Render(receiverstest.Many(50))
	require.NoError(t, err)
	twin := messages[len(messages)-1]
	require.Equal(t, "text", read(t, twin).Type)
	require.Equal(t, "markdown", read(t, messages[len(messages)-2]).Type)
	require.LessOrEqual(t, len(twin.Text), 2048)
	ids := map[string]bool{}
	for _, m := range messages {
		ids[m.ID] = true
	}
	require.Len(t, ids, len(messages))
}

func TestTemplateWithoutBounds(t *testing.T) {
	t.Parallel()
	setup := build(t, wecom.Config{
		Robot: robot(),
		Text:  `{{ range .Alerts }}{{ .Labels.instance }}: {{ .Annotations.description }}{{ end }}`,
	}, receiverstest.Env(t, words(t)))
	d := receiverstest.Many(3)
	d.Notification().Alerts[1].Annotations["description"] = strings.Repeat("磁盘🔥", 10_000)
	messages, err := setup.Render(d)
	require.NoError(t, err)
	require.Len(t, messages, 3)
	for _, m := range messages {
		check(t, m)
	}
	require.Contains(t, messages[1].Text, "db-001: 磁盘🔥磁盘🔥")
	require.Contains(t, messages[1].Text, "… (+")
}

// TestGolden: what WeCom gets of each notification, in each message type and language.
func TestGolden(t *testing.T) {
	t.Parallel()
	env := receiverstest.Env(t, words(t))
	for _, c := range append(types(t), wecom.Config{MessageType: "markdown", TextTwin: true}) {
		folder := nameOf(c)
		if c.TextTwin {
			folder = "twin"
		}
		receiverstest.GoldenStories(t, folder, *update, func(common relay.Common) relay.Setup {
			c.Common, c.Robot, c.Mention = common, robot(), mentionOf(c)
			return build(t, c, env)
		})
	}
}

// TestGoldenIsComplete: whoever adds a message type records all there is to tell in it.
func TestGoldenIsComplete(t *testing.T) {
	t.Parallel()
	receiverstest.RequireMatrix(t, append(wecom.RobotTypes(), "news_notice", "twin")...)
	for _, messageType := range append(wecom.AppTypes(), "text_notice") {
		receiverstest.RequireMatrix(t, filepath.Join("app", messageType))
	}
}

// mentionOf is somebody whom a message type can mention.
func mentionOf(c wecom.Config) wecom.Mention {
	switch c.MessageType {
	case "markdown", "text", "image", "file":
		return wecom.Mention{UserIDs: []string{"alice"}}
	}
	return wecom.Mention{}
}

// fixed is a renderer whose texts are always the same.
type fixed string

func (f fixed) Text(string, string) (relay.Template, error) { return f, nil }
func (f fixed) HTML(string, string) (relay.Template, error) { return f, nil }
func (f fixed) Plain(string, relay.View) string             { return string(f) }

func (f fixed) Compact(string, relay.View, relay.Alerts, int) (string, int) {
	return string(f), 0
}

func (f fixed) Execute(relay.View) (string, error) { return string(f), nil }

func TestValidate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		config wecom.Config
		want   []string
	}{
		{"url", wecom.Config{Robot: robot()}, nil},
		{"url file", wecom.Config{Robot: wecom.Robot{URLFile: "wecom.url"}}, nil},
		{"key", wecom.Config{Robot: wecom.Robot{Key: secret.New(key)}}, nil},
		{"pool", wecom.Config{URLs: []wecom.PoolRobot{{Robot: robot()}}}, nil},
		{"phones with a twin", wecom.Config{
			Robot: robot(), TextTwin: true, Mention: wecom.Mention{Mobiles: []string{"138"}},
		}, nil},
		{
			"nothing",
			wecom.Config{},
			[]string{": one of url, url_file, key & key_file must be configured"},
		},
		{
			"all at once",
			wecom.Config{
				Robot:       wecom.Robot{URL: secret.New("https://qyapi.weixin.qq.com/cgi-bin/webhook/send"), KeyFile: "f"},
				MessageType: "card",
				Mention:     wecom.Mention{UserIDs: []string{"<@alice>"}},
			},
			[]string{
				": at most one of url, url_file, key & key_file must be configured",
				"url: must be an http or https URL with a key",
				`message_type: must be markdown, markdown_v2, text, news, template_card, image or file, not "card"`,
				"mention.user_ids[0]: must be one word without @ < >",
			},
		},
		{
			"phones in markdown",
			wecom.Config{Robot: robot(), Mention: wecom.Mention{Mobiles: []string{"13800000000"}}},
			[]string{"mention.mobiles: are notified by text messages only: set message_type: text or text_twin: true"},
		},
		{
			"twin of a text",
			wecom.Config{Robot: robot(), MessageType: "text", TextTwin: true},
			[]string{"text_twin: is for message_type: markdown, markdown_v2, news, template_card"},
		},
		{
			"keys of other message types",
			wecom.Config{
				Robot: robot(), CardType: "round", Fields: []wecom.Field{{Title: "t"}}, Buttons: []robots.Button{{Title: "b"}},
				AlertTitle: "x", LinkURL: "x", PictureURL: "x", ImageFile: "x",
			},
			[]string{
				"buttons[0]: title and url are required",
				"fields[0]: title and value are required",
				`card_type: must be text_notice or news_notice, not "round"`,
				"card_type: is for message_type: template_card",
				"fields: is for message_type: template_card",
				"buttons: is for message_type: template_card",
				"alert_title: is for message_type: news, template_card",
				"link_url: is for message_type: news, template_card, textcard",
				"picture_url: is for message_type: news, template_card",
				"image_file: is for message_type: image",
			},
		},
		{
			"what a message type needs",
			wecom.Config{
				Robot: robot(), MessageType: "template_card", CardType: "news_notice", Mention: wecom.Mention{All: true},
			},
			[]string{
				"picture_url: is required: WeCom takes no news_notice without a picture",
				"mention: a template_card mentions nobody: set text_twin: true",
			},
		},
		{"a picture", wecom.Config{Robot: robot(), MessageType: "image"}, []string{"image_file: is required"}},
		{
			"pool with faults",
			wecom.Config{Robot: robot(), URLs: []wecom.PoolRobot{{}}},
			[]string{
				"urls: at most one of url, key & urls must be configured",
				"urls[0]: one of url, url_file, key & key_file must be configured",
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.config.SetDefaults(wecom.Globals{})
			f := fault.New()
			tt.config.Validate(f)
			var got []string
			for _, each := range f.All() {
				got = append(got, each.Path+": "+each.Message)
			}
			require.Equal(t, tt.want, got)
			require.NotContains(t, strings.Join(got, "\n"), key)
		})
	}
}

func TestDefaultName(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "room-10086.url")
	require.NoError(t, os.WriteFile(file, []byte("http://localhost"+path), 0o600))
	env := receiverstest.Env(t, receiverstest.Words{})
	byFile := build(t, wecom.Config{Robot: wecom.Robot{URLFile: secret.File(file)}}, env)
	require.Equal(t, "room-10086", byFile.Name)
	byURL := build(t, wecom.Config{Robot: robot()}, env)
	require.Regexp(t, "^[0-9a-f]{12}$", byURL.Name)
	byKey := build(t, wecom.Config{Robot: wecom.Robot{Key: secret.New(key)}}, env)
	require.Equal(t, byURL.Limiters, byKey.Limiters, "one robot, one limiter")
	require.Equal(t, relay.Limit{Messages: 20, Per: time.Minute}, byURL.Limit)
}

func BenchmarkRender(b *testing.B) {
	c := wecom.Config{Robot: robot()}
	c.SetDefaults(wecom.Globals{})
	setup, err := wecom.New(c, relay.Env{Templates: words(b), HTTPClient: http.DefaultClient, Now: time.Now})
	require.NoError(b, err)
	for _, n := range []int{1, 50, 500} {
		b.Run(fmt.Sprint(n, "alerts"), func(b *testing.B) {
			d := receiverstest.Many(n)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := setup.Render(d); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
