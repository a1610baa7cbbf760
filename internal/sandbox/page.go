package sandbox

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"net/http"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alertrelay/relay/internal/sandbox/markup"
)

//go:embed page
var pageFiles embed.FS

// shown bounds the messages of each inbox and the webhooks of the timeline on the page.
const shown = 50

// The page loads nothing but its own style and script, so a label can neither run anything nor call anybody.
const pagePolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// A mail's HTML is somebody else's: it may style itself and nothing more.
const mailPolicy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; " +
	"frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"

// page shows the inboxes as their readers see them, and what the relay did.
type page struct {
	sandbox   *Sandbox
	templates *template.Template
}

func newPage(s *Sandbox) (*page, error) {
	t := template.New("").Funcs(template.FuncMap{
		"dingtalk":    markup.DingTalk,
		"wecom":       markup.WeCom,
		"wecomText":   markup.WeComText,
		"plain":       markup.Plain,
		"mrkdwn":      markup.Slack,
		"slackPlain":  markup.SlackPlain,
		"slackColor":  slackColor,
		"clock":       func(at time.Time) string { return at.In(s.opts.Zone).Format("15:04:05") },
		"minute":      func(at time.Time) string { return at.In(s.opts.Zone).Format("15:04") },
		"initial":     initial,
		"size":        size,
		"sender":      sender,
		"safeAddress": safeAddress,
		"opened":      opened,
		"messageView": func(m shownMessage, w words) messageView { return messageView{m, w} },
	})
	t, err := t.ParseFS(pageFiles, "page/*.tmpl")
	if err != nil {
		return nil, err
	}
	return &page{s, t}, nil
}

// routes adds the page's own addresses.
func (p *page) routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", p.index)
	mux.HandleFunc("GET /updates", p.updates)
	mux.HandleFunc("GET /mail/{seq}", p.mail)
	mux.HandleFunc("GET /picture/{seq}", p.picture)
	mux.HandleFunc("GET "+elsewherePath+"/", p.elsewhere)
	mux.HandleFunc("GET /page.css", asset("page/page.css", "text/css; charset=utf-8"))
	mux.HandleFunc("GET /page.js", asset("page/page.js", "text/javascript; charset=utf-8"))
	mux.HandleFunc("GET /favicon.svg", asset("page/favicon.svg", "image/svg+xml"))
}

func asset(name, contentType string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		content, err := pageFiles.ReadFile(name)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		secure(w, pagePolicy, contentType)
		_, _ = w.Write(content)
	}
}

func secure(w http.ResponseWriter, policy, contentType string) {
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Cache-Control", "no-store")
}

// view is what the page's template shows.
type view struct {
	Words   words
	Inboxes []inboxView
	Last    int
	Rows    []row
	Totals  totals
}

// inboxView is one of the four windows.
type inboxView struct {
	Name     string // also its class
	Title    string // the chat, the channel, the mailbox
	App      string // the vendor
	Messages []shownMessage
	Words    words
}

// A shownMessage is one with the replies in its thread.
type shownMessage struct {
	Message

	Replies []Message
}

// threaded puts replies to the messages that they belong to. Those whose message has gone stand alone.
func threaded(all []Message) []shownMessage {
	var out []shownMessage
	heads := map[string]int{}
	for _, m := range all {
		if m.Slack != nil && m.Slack.Thread != "" {
			if at, ok := heads[m.Slack.Channel+m.Slack.Thread]; ok {
				out[at].Replies = append(out[at].Replies, m)
				continue
			}
		}
		if m.Slack != nil && m.Slack.TS != "" {
			heads[m.Slack.Channel+m.Slack.TS] = len(out)
		}
		out = append(out, shownMessage{Message: m})
	}
	return out
}

// index is the page with all there is so far. It works without the script too: then a reload brings the news.
func (p *page) index(w http.ResponseWriter, r *http.Request) {
	v := p.view(r, 0)
	var buf bytes.Buffer
	if err := p.templates.ExecuteTemplate(&buf, "index.tmpl", v); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	secure(w, pagePolicy, "text/html; charset=utf-8")
	_, _ = w.Write(buf.Bytes())
}

// update is what has come since the page last asked.
type update struct {
	Last     int               `json:"last"`
	Titles   map[string]string `json:"titles"`
	Messages []updateMessage   `json:"messages"`
	Timeline string            `json:"timeline"`
	Totals   string            `json:"totals"`
}

type updateMessage struct {
	Inbox string `json:"inbox"`
	Seq   int    `json:"seq"`
	HTML  string `json:"html"`
}

func (p *page) updates(w http.ResponseWriter, r *http.Request) {
	after, err := strconv.Atoi(r.URL.Query().Get("after"))
	if err != nil {
		http.Error(w, "after is not a number", http.StatusBadRequest)
		return
	}
	v := p.view(r, after)
	u := update{Last: v.Last, Titles: map[string]string{}, Messages: []updateMessage{}}
	for _, in := range v.Inboxes {
		u.Titles[in.Name] = in.Title
		for _, m := range in.Messages {
			html, err := p.part("message", messageView{m, v.Words})
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			u.Messages = append(u.Messages, updateMessage{in.Name, m.Seq, html})
		}
	}
	var errTimeline, errTotals error
	u.Timeline, errTimeline = p.part("timeline", v)
	u.Totals, errTotals = p.part("totals", v)
	if errTimeline != nil || errTotals != nil {
		http.Error(w, "the page's template fails", http.StatusInternalServerError)
		return
	}
	secure(w, pagePolicy, "application/json")
	_ = json.NewEncoder(w).Encode(u)
}

func (p *page) part(name string, dot any) (string, error) {
	var buf strings.Builder
	err := p.templates.ExecuteTemplate(&buf, name, dot)
	return buf.String(), err
}

// messageView is a message with the words around it.
type messageView struct {
	shownMessage

	Words words
}

// view gathers what came after a sequence number.
func (p *page) view(r *http.Request, after int) view {
	w := wordsFor(r)
	v := view{Words: w, Last: after}
	for _, name := range inboxes() {
		in := inboxView{Name: name, App: w.app(name), Words: w}
		for _, m := range threaded(p.sandbox.Inbox(name)) {
			in.Title = m.Group
			at := max(m.Seq, m.Changed)
			v.Last = max(v.Last, at)
			if at > after {
				in.Messages = append(in.Messages, m)
			}
		}
		in.Messages = in.Messages[max(0, len(in.Messages)-shown):]
		v.Inboxes = append(v.Inboxes, in)
	}
	if p.sandbox.opts.Events != nil {
		v.Rows, v.Totals = timeline(p.sandbox.opts.Events(), w, p.sandbox.opts.Zone)
	}
	return v
}

// mail serves one mail's HTML for its frame, pictures inside.
func (p *page) mail(w http.ResponseWriter, r *http.Request) {
	seq, _ := strconv.Atoi(r.PathValue("seq"))
	all := p.sandbox.Inbox(InboxEmail)
	i := slices.IndexFunc(all, func(m Message) bool { return m.Seq == seq })
	if i < 0 {
		http.NotFound(w, r)
		return
	}
	m := all[i].Mail
	secure(w, mailPolicy, "text/html; charset=utf-8")
	if m.HTML == "" {
		_, _ = w.Write([]byte("<!doctype html><meta name=color-scheme content='light dark'>" +
			"<pre style='white-space:pre-wrap'>" + template.HTMLEscapeString(m.Text) + "</pre>"))
		return
	}
	// A frame's links would open inside it.
	_, _ = w.Write([]byte(`<!doctype html><base target="_blank">` + m.withPictures()))
}

// picture serves the picture of one message.
func (p *page) picture(w http.ResponseWriter, r *http.Request) {
	seq, _ := strconv.Atoi(r.PathValue("seq"))
	all := p.sandbox.Inbox(InboxWeCom)
	i := slices.IndexFunc(all, func(m Message) bool { return m.Seq == seq })
	if i < 0 || all[i].Picture == nil {
		http.NotFound(w, r)
		return
	}
	contentType := http.DetectContentType(all[i].Picture)
	if !strings.HasPrefix(contentType, "image/") {
		contentType = "application/octet-stream"
	}
	secure(w, pagePolicy, contentType)
	_, _ = w.Write(all[i].Picture)
}

// size prints how large a file is, as chats show it.
func size(text string) string {
	if len(text) < 1<<10 {
		return strconv.Itoa(len(text)) + " B"
	}
	return strconv.FormatFloat(float64(len(text))/(1<<10), 'f', 1, 64) + " KB"
}

// withPictures puts the pictures that the HTML shows into it.
func (m *MailMessage) withPictures() string {
	return regexp.MustCompile(`cid:[^"'\s)>]+`).ReplaceAllStringFunc(m.HTML, func(ref string) string {
		i, ok := m.CIDs[strings.TrimPrefix(ref, "cid:")]
		if !ok || !strings.HasPrefix(m.Parts[i].ContentType, "image/") {
			return ref
		}
		return "data:" + m.Parts[i].ContentType + ";base64," + base64.StdEncoding.EncodeToString(m.Parts[i].Body)
	})
}

// slackColor is the colour of an attachment's bar: one of three words, or a hex value.
// https://docs.slack.dev/legacy/legacy-messaging/legacy-secondary-message-attachments
func slackColor(c string) string {
	switch c {
	case "good":
		return "#2eb886"
	case "warning":
		return "#daa038"
	case "danger":
		return "#a30200"
	}
	if !strings.HasPrefix(c, "#") {
		c = "#" + c
	}
	if regexp.MustCompile(`^#[0-9a-fA-F]{6}$`).MatchString(c) {
		return c
	}
	return "#8888884d"
}

// safeAddress lets only addresses through that a reader may follow.
func safeAddress(s string) string {
	if strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://") {
		return s
	}
	return ""
}

// opened is where a link leads that DingTalk opens itself.
// https://open.dingtalk.com/document/development/message-link-description
func opened(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "dingtalk" {
		return address
	}
	return u.Query().Get("url")
}

// sender is the name in a From header, or the address when there is none.
func sender(from string) string {
	a, err := mail.ParseAddress(from)
	if err != nil {
		return from
	}
	return cmp.Or(a.Name, a.Address)
}

// initial is what an avatar shows.
func initial(name string) string {
	for _, r := range strings.TrimSpace(name) {
		return strings.ToUpper(string(r))
	}
	return "R"
}
