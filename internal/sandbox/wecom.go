package sandbox

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The limits of a WeCom group robot. https://developer.work.weixin.qq.com/document/path/91770
const (
	wecomMaxText     = 2048 // bytes
	wecomMaxMarkdown = 4096 // bytes
	wecomMaxImage    = 2 << 20
	wecomMaxArticles = 8
	wecomMaxFile     = 20 << 20
	wecomMaxVoice    = 2 << 20
	wecomMinFile     = 6
	wecomMediaLife   = 72 * time.Hour
)

// WeComStrict is 20 a minute, with a minute of refusals after the 21st.
// https://developer.work.weixin.qq.com/document/path/91770, https://developer.work.weixin.qq.com/document/path/90312
func WeComStrict() Limit { return Limit{Messages: 20, Per: time.Minute, Ban: time.Minute} }

// WeComLenient refuses only for the rest of the window.
func WeComLenient() Limit { return Limit{Messages: 20, Per: time.Minute} }

// A WeComRobot is a robot of a group.
type WeComRobot struct {
	Key   string
	Group string // the chat's name
	Robot string // the robot's name

	Disabled bool  // answers 93004
	Removed  bool  // out of the group: answers 93008
	Limit    Limit // zero: WeComStrict
	// TextLimit replaces the documented 2048 bytes; 5120 was seen in 2022.
	TextLimit int
	// WarnOnSuccess answers "ok. Warning: wrong json format. ", which was seen and is a success.
	WarnOnSuccess bool
}

// WeCom emulates the group robot's API, POST /cgi-bin/webhook/send and upload_media, and that of applications: gettoken,
// message/send, message/update_template_card, appchat/send.
type WeCom struct {
	endpoint

	url    string
	mu     sync.Mutex
	robots map[string]*wecomRobot
	apps   []*wecomApp
	hints  uint64 // makes every errmsg differ
}

type wecomRobot struct {
	WeComRobot

	rate  window
	media map[string]wecomFile // by media_id
}

func newWeCom(b *board, url string) *WeCom {
	return &WeCom{endpoint: endpoint{inbox: InboxWeCom, board: b}, url: url, robots: map[string]*wecomRobot{}}
}

// Add adds a robot, or changes the settings of one with the same key, and returns its webhook URL. What was counted of
// it stays.
func (w *WeCom) Add(r WeComRobot) string {
	r.Limit = r.Limit.or(WeComStrict())
	if r.TextLimit == 0 {
		r.TextLimit = wecomMaxText
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if known := w.robots[r.Key]; known != nil {
		known.WeComRobot = r
	} else {
		w.robots[r.Key] = &wecomRobot{WeComRobot: r, media: map[string]wecomFile{}}
	}
	return w.url + "/cgi-bin/webhook/send?key=" + url.QueryEscape(r.Key)
}

// ServeHTTP answers as the vendor does: HTTP 200 and an errcode, for success and for errors.
func (w *WeCom) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	judge := w.judge
	switch r.URL.Path {
	case "/cgi-bin/webhook/send":
	case "/cgi-bin/webhook/upload_media":
		judge = w.upload
	default:
		if !w.serveApp(rw, r) {
			http.NotFound(rw, r)
		}
		return
	}
	w.serve(rw, r, r.URL.Query().Get("key"), judge)
}

// judge checks a message. The order is a choice; the vendor's is not documented.
func (w *WeCom) judge(c *call) ruling {
	w.mu.Lock()
	defer w.mu.Unlock()
	robot, code, text := w.robot(c)
	if code != 0 {
		return w.refuse(c, code, text)
	}
	m, code, text := decodeWeCom(c.body, robot.TextLimit)
	if code == 0 {
		code, text = robot.checkMedia(m, c.now)
	}
	if code != 0 {
		return w.refuse(c, code, text)
	}
	if !robot.rate.take(robot.Limit, c.now) {
		return w.refuse(c, 45009, "api freq out of limit")
	}
	text = "ok"
	if robot.WarnOnSuccess {
		text = "ok. Warning: wrong json format. "
	}
	return ruling{
		answer:  jsonAnswer(map[string]any{"errcode": 0, "errmsg": text}),
		verdict: Verdict{Text: text},
		message: m.message(robot.WeComRobot, robot.media),
	}
}

// robot finds who is meant, or the errcode that says why nobody is.
func (w *WeCom) robot(c *call) (*wecomRobot, int, string) {
	robot := w.robots[c.account]
	switch {
	case robot == nil:
		return nil, 93000, "invalid webhook url"
	case robot.Disabled:
		return nil, 93004, "robot is disabled"
	case robot.Removed:
		return nil, 93008, "robot not in chat"
	}
	return robot, 0, ""
}

// refuse answers with the tail that the vendor puts behind each text: it names the caller's address and never repeats.
func (w *WeCom) refuse(c *call, code int, text string) ruling {
	w.hints++
	errmsg := fmt.Sprintf(
		"%s, hint: [%025d], from ip: %s, more info at https://open.work.weixin.qq.com/devtool/query?e=%d",
		text, uint64(c.now.UnixNano())+w.hints, c.caller(), code)
	return ruling{
		answer:  jsonAnswer(map[string]any{"errcode": code, "errmsg": errmsg}),
		verdict: Verdict{Code: code, Text: text},
	}
}

// wecomMessage is the body of a call, decoded. https://developer.work.weixin.qq.com/document/path/91770
type wecomMessage struct {
	Type string `json:"msgtype"`
	Text struct {
		Content   string   `json:"content"`
		Mentioned []string `json:"mentioned_list"`
		Mobiles   []string `json:"mentioned_mobile_list"`
	} `json:"text"`
	Markdown   wecomContent `json:"markdown"`
	MarkdownV2 wecomContent `json:"markdown_v2"`
	Image      struct {
		Base64 string `json:"base64"`
		MD5    string `json:"md5"`
	} `json:"image"`
	News struct {
		Articles []struct {
			Title       string `json:"title"`
			Description string `json:"description"`
			URL         string `json:"url"`
			Picture     string `json:"picurl"`
		} `json:"articles"`
	} `json:"news"`
	File  wecomMedia `json:"file"`
	Voice wecomMedia `json:"voice"`
	Card  WeComCard  `json:"template_card"`

	flags []string
}

type wecomContent struct {
	Content string `json:"content"`
}

type wecomMedia struct {
	MediaID string `json:"media_id"`
}

// decodeWeCom returns the message, or the errcode and text of what is wrong with it.
func decodeWeCom(body []byte, maxText int) (*wecomMessage, int, string) {
	pruned, unknown := wecomFields().prune(body)
	m, code, text := readWeCom(pruned, maxText)
	if code == 0 {
		m.flags = append(flagsOf(unknown), m.flags...)
	}
	return m, code, text
}

// readWeCom is decodeWeCom for a body without fields that the vendor ignores.
func readWeCom(body []byte, maxText int) (*wecomMessage, int, string) {
	m := &wecomMessage{}
	if err := json.Unmarshal(body, m); err != nil {
		var wrongType *json.UnmarshalTypeError
		if !errors.As(err, &wrongType) || wrongType.Field == "" {
			return nil, 40008, "Warning: wrong json format. invalid message type"
		}
		return nil, 40058, wrongType.Field + " type error. invalid Request Parameter"
	}
	switch m.Type {
	case "text":
		return m.checkContent(m.Text.Content, maxText)
	case "markdown":
		return m.checkContent(m.Markdown.Content, wecomMaxMarkdown)
	case "markdown_v2":
		return m.checkContent(m.MarkdownV2.Content, wecomMaxMarkdown)
	case "image":
		return m.checkImage()
	case "news":
		return m.checkNews()
	case "file", "voice":
		return m, 0, "" // the robot knows its media
	case "template_card":
		return m.checkCard()
	}
	return nil, 40008, "invalid message type"
}

func (m *wecomMessage) checkContent(content string, limit int) (*wecomMessage, int, string) {
	if content == "" {
		return nil, 44004, "empty content"
	}
	if len(content) > limit {
		return nil, 40058, m.Type + ".content exceed max length " + strconv.Itoa(limit) + ". invalid Request Parameter"
	}
	return m, 0, ""
}

func (m *wecomMessage) checkImage() (*wecomMessage, int, string) {
	raw, err := base64.StdEncoding.DecodeString(m.Image.Base64)
	if err != nil || len(raw) == 0 || len(raw) > wecomMaxImage {
		return nil, 40009, "invalid image size"
	}
	if sum := md5.Sum(raw); !strings.EqualFold(hex.EncodeToString(sum[:]), m.Image.MD5) {
		return nil, 301019, "file md5 not match"
	}
	return m, 0, ""
}

func (m *wecomMessage) checkNews() (*wecomMessage, int, string) {
	if n := len(m.News.Articles); n == 0 || n > wecomMaxArticles {
		return nil, 40058, "news.articles size error. invalid Request Parameter"
	}
	for _, a := range m.News.Articles {
		if a.Title == "" {
			return nil, 40058, "news.articles.title missing. invalid Request Parameter"
		}
		if u, err := url.Parse(a.URL); err != nil || u.Scheme == "" {
			return nil, 45034, "url is invalid: no scheme"
		}
		if len(a.Title) > wecomNewsTitle || len(a.Description) > wecomNewsText {
			m.flags = append(m.flags, "news.articles: text cut")
		}
	}
	return m, 0, ""
}

func (m *wecomMessage) checkCard() (*wecomMessage, int, string) {
	if wrong := m.Card.fault(); wrong != "" {
		return nil, 40058, "template_card." + wrong + " invalid. invalid Request Parameter"
	}
	return m, 0, ""
}

// checkMedia looks a file up: it belongs to one robot and lives three days.
func (r *wecomRobot) checkMedia(m *wecomMessage, now time.Time) (int, string) {
	id := m.File.MediaID
	switch m.Type {
	case "file":
	case "voice":
		id = m.Voice.MediaID
	default:
		return 0, ""
	}
	if f, ok := r.media[id]; !ok || now.Sub(f.at) >= wecomMediaLife {
		return 40007, "invalid media_id"
	}
	return 0, ""
}

// message is what the group sees.
func (m *wecomMessage) message(r WeComRobot, files map[string]wecomFile) *Message {
	out := &Message{Group: r.Group, Robot: r.Robot, Type: m.Type, Flags: m.flags}
	switch m.Type {
	case "text":
		out.Text = m.Text.Content
		for _, id := range slices.Concat(m.Text.Mentioned, m.Text.Mobiles) {
			if id == "@all" {
				out.MentionAll = true
			} else {
				out.Mentioned = append(out.Mentioned, id)
			}
		}
	case "markdown":
		out.Text = m.Markdown.Content
	case "markdown_v2":
		out.Text = m.MarkdownV2.Content
	case "image":
		out.Text = "[图片]"
		out.Picture, _ = base64.StdEncoding.DecodeString(m.Image.Base64) // checkImage has looked
	case "news":
		for _, a := range m.News.Articles {
			out.Text += a.Title + "\n"
			out.Links = append(out.Links, Link{a.Title, a.URL, a.Picture})
		}
		if len(m.News.Articles) == 1 { // of several the descriptions do not show
			out.Title, out.Text = m.News.Articles[0].Title, m.News.Articles[0].Description
		}
	case "file", "voice":
		out.Text = "[文件]"
		if f, ok := files[m.File.MediaID]; ok {
			out.Title, out.Text = f.name, f.content
		}
	case "template_card":
		out.Title, out.Text, out.Card = m.Card.MainTitle.Title, m.Card.SubTitle, &m.Card
		for _, j := range m.Card.Jumps {
			out.Links = append(out.Links, Link{j.Title, j.URL, ""})
		}
	}
	if m.Type == "text" || m.Type == "markdown" { // markdown_v2 has no mentions
		out.Mentioned = append(out.Mentioned, inlineMentions(out.Text)...)
	}
	return out
}

// inlineMentions finds the <@userid> of a text.
func inlineMentions(text string) []string {
	var ids []string
	for {
		_, after, ok := strings.Cut(text, "<@")
		if !ok {
			return ids
		}
		id, rest, ok := strings.Cut(after, ">")
		if ok && id != "" && !strings.ContainsAny(id, "<\n ") {
			ids = append(ids, id)
		}
		text = rest
	}
}

// upload takes a file for a later message. https://developer.work.weixin.qq.com/document/path/91770
func (w *WeCom) upload(c *call) ruling {
	w.mu.Lock()
	defer w.mu.Unlock()
	robot, code, text := w.robot(c)
	if code != 0 {
		return w.refuse(c, code, text)
	}
	kind := c.URL.Query().Get("type")
	limit := map[string]int{"file": wecomMaxFile, "voice": wecomMaxVoice}[kind]
	f := wecomFile{at: c.now}
	f.name, f.content = media(c)
	if len(f.content) < wecomMinFile || len(f.content) > limit {
		return w.refuse(c, 40006, "invalid media size")
	}
	maps.DeleteFunc(robot.media, func(_ string, f wecomFile) bool { return c.now.Sub(f.at) >= wecomMediaLife })
	w.hints++
	id := fmt.Sprintf("3%s-%d", strings.Repeat("a", 40), w.hints)
	robot.media[id] = f
	return ruling{answer: jsonAnswer(map[string]any{
		"errcode": 0, "errmsg": "ok", "type": kind, "media_id": id, "created_at": strconv.FormatInt(c.now.Unix(), 10),
	}), verdict: Verdict{Text: "ok"}}
}

// wecomFile is a file that was uploaded.
type wecomFile struct {
	at            time.Time
	name, content string
}

// media is the part of a form that the vendor takes; without content when it is missing or has no file name.
func media(c *call) (name, content string) {
	r := c.Clone(c.Context())
	r.Body = io.NopCloser(strings.NewReader(string(c.body)))
	parts, err := r.MultipartReader()
	if err != nil {
		return "", ""
	}
	for {
		part, err := parts.NextPart()
		if err != nil {
			return "", ""
		}
		if part.FormName() == "media" && part.FileName() != "" {
			b, _ := io.ReadAll(part)
			return part.FileName(), string(b)
		}
	}
}
