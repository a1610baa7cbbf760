package sandbox

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The limits of a WeCom application.
// https://developer.work.weixin.qq.com/document/path/90236, https://developer.work.weixin.qq.com/document/path/90312
const (
	wecomAppMarkdown  = 2048 // bytes; of text what is longer is cut
	wecomMaxParties   = 100
	wecomMaxUsers     = 1000
	wecomMaxButtons   = 6
	wecomPerMember    = 30 // messages a minute to one member; more are dropped without a word
	wecomDuplicate    = 30 * time.Minute
	wecomMaxDuplicate = 4 * time.Hour
	wecomCardLife     = 72 * time.Hour
)

// WeComTokenLife is how long an access token is good for. https://developer.work.weixin.qq.com/document/path/91039
const WeComTokenLife = 2 * time.Hour

// A WeComApp is an application of an organisation.
type WeComApp struct {
	CorpID  string
	Secret  string
	AgentID int
	Name    string // of the application, as members see it

	Members []string       // who sees it, lower case; none: everyone
	Parties []string       // ids that exist; none: all
	Tags    []string       // ids that exist; none: all
	Chats   []string       // group chats that it has made
	CIDRs   []netip.Prefix // the trusted addresses; none: all
	// ExpiredAs40014 says of an expired token what is said of an unknown one, as was seen too.
	ExpiredAs40014 bool
}

type wecomApp struct {
	WeComApp

	token   string
	expires time.Time
	revoked bool
	old     []string // tokens that were good once
	issued  int
	members map[string]*window
	sent    map[string]time.Time // bodies under the duplicate check, until when they count
	cards   map[string]sentCard  // by response_code
	tasks   map[string]bool      // task ids in use
}

// sentCard is a card that can be updated once.
type sentCard struct {
	at   time.Time
	used bool
}

// AddApp adds an application, or changes the settings of the one with the same corp and agent, and returns the URL of the
// API, as wecom_api_url has it.
func (w *WeCom) AddApp(a WeComApp) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, known := range w.apps {
		if known.CorpID == a.CorpID && known.AgentID == a.AgentID {
			known.WeComApp = a
			return w.url + "/cgi-bin/"
		}
	}
	w.apps = append(w.apps, &wecomApp{
		WeComApp: a, members: map[string]*window{}, sent: map[string]time.Time{}, cards: map[string]sentCard{},
		tasks: map[string]bool{},
	})
	return w.url + "/cgi-bin/"
}

// Revoke takes every access token back before its time.
func (w *WeCom) Revoke() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.apps {
		a.revoked = true
	}
}

// Forget deletes all cards, as recalling them does: what they were can be updated no more.
func (w *WeCom) Forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.apps {
		clear(a.cards)
	}
}

// Issued is how many times access tokens were asked for with success.
func (w *WeCom) Issued() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, a := range w.apps {
		n += a.issued
	}
	return n
}

// AccountToken is the account of the token endpoint, for faults; the other calls of applications have the account
// AccountApp.
const (
	AccountToken = "gettoken"
	AccountApp   = "app"
)

// serveApp answers the calls of applications.
func (w *WeCom) serveApp(rw http.ResponseWriter, r *http.Request) bool {
	judge, account := w.judgeApp, AccountApp
	switch r.URL.Path {
	case "/cgi-bin/gettoken":
		judge, account = w.issue, AccountToken
	case "/cgi-bin/message/send", "/cgi-bin/appchat/send":
	case "/cgi-bin/message/update_template_card":
		judge = w.updateCard
	default:
		return false
	}
	w.serve(rw, r, account, judge)
	return true
}

// issue gives the application its token, the same until it expires.
func (w *WeCom) issue(c *call) ruling {
	w.mu.Lock()
	defer w.mu.Unlock()
	corp, appSecret := c.URL.Query().Get("corpid"), c.URL.Query().Get("corpsecret")
	switch {
	case corp == "":
		return w.refuse(c, 41002, "corpid missing")
	case appSecret == "":
		return w.refuse(c, 41004, "corpsecret missing")
	case !slices.ContainsFunc(w.apps, func(a *wecomApp) bool { return a.CorpID == corp }):
		return w.refuse(c, 40013, "invalid corpid")
	}
	at := slices.IndexFunc(w.apps, func(a *wecomApp) bool { return a.CorpID == corp && a.Secret == appSecret })
	if at < 0 {
		return w.refuse(c, 40001, "invalid credential")
	}
	a := w.apps[at]
	if a.token == "" || a.revoked || !c.now.Before(a.expires) {
		if a.token != "" {
			a.old = append(a.old, a.token)
		}
		w.hints++
		a.token, a.expires, a.revoked = fmt.Sprintf("token-%d-%s", w.hints, strings.Repeat("t", 200)), c.now.Add(WeComTokenLife), false
	}
	a.issued++
	return ruling{answer: jsonAnswer(map[string]any{
		"errcode": 0, "errmsg": "ok", "access_token": a.token, "expires_in": int(a.expires.Sub(c.now).Seconds()),
	}), verdict: Verdict{Text: "ok"}}
}

// app finds whose token a call has, or the errcode that says why it is nobody's.
func (w *WeCom) app(c *call) (*wecomApp, int, string) {
	token := c.URL.Query().Get("access_token")
	if token == "" {
		return nil, 41001, "access_token missing"
	}
	for _, a := range w.apps {
		if token == a.token && !a.revoked && c.now.Before(a.expires) {
			if !allowed(a.CIDRs, c.caller()) {
				return nil, 60020, "not allow to access from your ip"
			}
			return a, 0, ""
		}
		if (token == a.token || slices.Contains(a.old, token)) && !a.ExpiredAs40014 {
			return nil, 42001, "access_token expired"
		}
	}
	return nil, 40014, "invalid access_token"
}

// wecomAppRequest is the body of a call. https://developer.work.weixin.qq.com/document/path/90236
type wecomAppRequest struct {
	ToUser    string          `json:"touser"`
	ToParty   string          `json:"toparty"`
	ToTag     string          `json:"totag"`
	ChatID    string          `json:"chatid"`
	AgentID   json.RawMessage `json:"agentid"`
	Duplicate int             `json:"enable_duplicate_check"`
	Interval  int             `json:"duplicate_check_interval"`
	Textcard  struct {
		Title       string `json:"title"`
		Description string `json:"description"`
		URL         string `json:"url"`
		Button      string `json:"btntxt"`
	} `json:"textcard"`
	// Of an update.
	ResponseCode string   `json:"response_code"`
	All          int      `json:"atall"`
	UserIDs      []string `json:"userids"`
	Button       struct {
		ReplaceName string `json:"replace_name"`
	} `json:"button"`
}

func wecomAppFields() fields {
	all := wecomFields()
	for _, name := range []string{
		"touser", "toparty", "totag", "chatid", "agentid", "safe", "enable_id_trans", "enable_duplicate_check",
		"duplicate_check_interval", "response_code", "atall", "userids", "partyids", "tagids",
	} {
		all[name] = nil
	}
	all["button"] = fields{"replace_name": nil}
	all["textcard"] = fields{"title": nil, "description": nil, "url": nil, "btntxt": nil}
	cardFields := wecomCardFields()
	cardFields["task_id"] = nil
	cardFields["button_list"] = fields{"type": nil, "text": nil, "style": nil, "key": nil, "url": nil}
	all["template_card"] = cardFields
	delete(all, "markdown_v2") // of robots alone
	return all
}

// is reports whether an agentid, a number or a number in quotes, is the application's.
func (a *wecomApp) is(agentID json.RawMessage) bool {
	return strings.Trim(string(agentID), `"`) == strconv.Itoa(a.AgentID)
}

// judgeApp checks a message to members or to a chat.
func (w *WeCom) judgeApp(c *call) ruling {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, code, text := w.app(c)
	if code != 0 {
		return w.refuse(c, code, text)
	}
	var r wecomAppRequest
	pruned, unknown := wecomAppFields().prune(c.body)
	if err := json.Unmarshal(pruned, &r); err != nil {
		return w.refuse(c, 40008, "invalid message type")
	}
	toChat := strings.HasSuffix(c.URL.Path, "appchat/send")
	to, code, text := a.recipients(r, toChat)
	if code != 0 {
		return w.refuse(c, code, text)
	}
	m, code, text := a.decode(pruned, r, toChat)
	if code != 0 {
		return w.refuse(c, code, text)
	}
	w.hints++
	m.flags = append(m.flags, flagsOf(unknown)...)
	reply := map[string]any{"errcode": 0, "errmsg": "ok", "msgid": fmt.Sprintf("msg-%d", w.hints)}
	for name, ids := range map[string][]string{"invaliduser": to.users, "invalidparty": to.parties, "invalidtag": to.tags} {
		if len(ids) > 0 {
			reply[name] = strings.Join(ids, "|")
		}
	}
	if a.duplicate(r, c) {
		return ruling{answer: jsonAnswer(reply), verdict: Verdict{Text: "ok, not sent twice"}}
	}
	out := m.message(WeComRobot{Group: to.shown, Robot: a.Name}, nil)
	out.Mentioned = to.reached
	if m.Type == "textcard" {
		out.Title, out.Text = r.Textcard.Title, r.Textcard.Description
		out.Links = []Link{{cmp.Or(r.Textcard.Button, "详情"), r.Textcard.URL, ""}}
	}
	if m.Type == "template_card" && m.Card.Type == "button_interaction" {
		if a.tasks[m.Card.TaskID] {
			return w.refuse(c, 40058, "template_card.task_id used before. invalid Request Parameter")
		}
		a.tasks[m.Card.TaskID] = true
		w.hints++
		code := fmt.Sprintf("code-%d", w.hints)
		reply["response_code"], out.handle = code, code
		a.cards[code] = sentCard{at: c.now}
	}
	v := ruling{answer: jsonAnswer(reply), verdict: Verdict{Text: "ok"}}
	if !toChat && !a.reaches(to, c.now) {
		v.verdict.Text = "ok, but dropped: too many to one member"
		return v
	}
	v.message = out
	return v
}

// reached is who a message is for, and who of them it cannot reach.
type reached struct {
	users, parties, tags []string // that are unknown
	reached              []string // members named that it does reach
	shown                string
}

func (a *wecomApp) recipients(r wecomAppRequest, toChat bool) (reached, int, string) {
	if toChat {
		if !slices.Contains(a.Chats, r.ChatID) {
			return reached{}, 86003, "invalid chatid"
		}
		return reached{shown: r.ChatID}, 0, ""
	}
	split := func(ids string) []string {
		return slices.DeleteFunc(strings.Split(ids, "|"), func(id string) bool { return id == "" })
	}
	users, parties, tags := split(r.ToUser), split(r.ToParty), split(r.ToTag)
	switch {
	case !a.is(r.AgentID):
		return reached{}, 40056, "invalid agentid"
	case len(users)+len(parties)+len(tags) == 0:
		return reached{}, 82001, "all touser & toparty & totag empty"
	case len(users) > wecomMaxUsers:
		return reached{}, 40032, "userid list too long"
	case len(parties) > wecomMaxParties:
		return reached{}, 82002, "too many parties"
	case len(tags) > wecomMaxParties:
		return reached{}, 82003, "too many tags"
	}
	out := reached{shown: strings.Join(slices.Concat(users, parties, tags), ", ")}
	if r.ToUser == "@all" { // then the others are ignored
		return out, 0, ""
	}
	for _, id := range users {
		if id = strings.ToLower(id); len(a.Members) > 0 && !slices.Contains(a.Members, id) {
			out.users = append(out.users, id)
		} else {
			out.reached = append(out.reached, id)
		}
	}
	out.parties, out.tags = unknown(parties, a.Parties), unknown(tags, a.Tags)
	if len(out.reached) == 0 && len(out.parties) == len(parties) && len(out.tags) == len(tags) {
		return reached{}, 81013, "user & party & tag all invalid"
	}
	return out, 0, ""
}

func unknown(ids, known []string) []string {
	var out []string
	for _, id := range ids {
		if len(known) > 0 && !slices.Contains(known, id) {
			out = append(out, id)
		}
	}
	return out
}

// decode reads the message as that of a robot, but for its own types and limits.
func (a *wecomApp) decode(body []byte, r wecomAppRequest, toChat bool) (*wecomMessage, int, string) {
	var head struct {
		Type     string       `json:"msgtype"`
		Text     wecomContent `json:"text"`
		Markdown wecomContent `json:"markdown"`
		Card     WeComCard    `json:"template_card"`
	}
	if err := json.Unmarshal(body, &head); err != nil {
		return nil, 40008, "invalid message type"
	}
	switch head.Type {
	case "textcard":
		return textcard(r)
	case "text":
		m, code, text := readWeCom(body, 1<<20)
		if code == 0 && len(head.Text.Content) > wecomMaxText {
			m.Text.Content = strings.ToValidUTF8(m.Text.Content[:wecomMaxText], "")
			m.flags = append(m.flags, "text cut")
		}
		return m, code, text
	case "markdown":
		if len(head.Markdown.Content) > wecomAppMarkdown {
			return nil, 40058, "markdown.content exceed max length 2048. invalid Request Parameter"
		}
		return readWeCom(body, wecomMaxText)
	case "template_card":
		if toChat {
			return nil, 40008, "invalid message type"
		}
		if head.Card.Type != "button_interaction" {
			return readWeCom(body, wecomMaxText)
		}
		if wrong := head.Card.buttonFault(); wrong != "" {
			return nil, 40058, "template_card." + wrong + " invalid. invalid Request Parameter"
		}
		return &wecomMessage{Type: head.Type, Card: head.Card}, 0, ""
	case "news":
		return readWeCom(body, wecomMaxText)
	}
	return nil, 40008, "invalid message type"
}

func textcard(r wecomAppRequest) (*wecomMessage, int, string) {
	t := r.Textcard
	m := &wecomMessage{Type: "textcard"}
	switch {
	case t.Title == "" || t.Description == "":
		return nil, 44004, "empty content"
	case !hasScheme(t.URL):
		return nil, 45034, "url is invalid: no scheme"
	case len(t.Title) > wecomNewsTitle || len(t.Description) > wecomNewsText:
		m.flags = append(m.flags, "textcard: text cut")
	}
	return m, 0, ""
}

// buttonFault names what the vendor refuses about a card with buttons.
func (c *WeComCard) buttonFault() string {
	switch {
	case c.TaskID == "" || len(c.TaskID) > 128 || strings.ContainsFunc(c.TaskID, func(r rune) bool {
		return !strings.ContainsRune("_-@", r) && notIDRune(r)
	}):
		return "task_id"
	case c.MainTitle.Title == "":
		return "main_title"
	case len(c.Buttons) == 0 || len(c.Buttons) > wecomMaxButtons:
		return "button_list"
	case len(c.Rows) > wecomMaxRows:
		return "horizontal_content_list"
	}
	for i, b := range c.Buttons {
		if b.Text == "" || b.Type == 0 && b.Key == "" || b.Type == wecomCardOpens && !hasScheme(b.URL) {
			return fmt.Sprintf("button_list[%d]", i)
		}
	}
	return c.listFault()
}

// duplicate reports whether the vendor drops a request because it has just had the same.
func (a *wecomApp) duplicate(r wecomAppRequest, c *call) bool {
	if r.Duplicate != 1 {
		return false
	}
	interval := time.Duration(r.Interval) * time.Second
	if interval == 0 {
		interval = wecomDuplicate
	}
	key := string(c.body)
	if until, ok := a.sent[key]; ok && c.now.Before(until) {
		return true
	}
	a.sent[key] = c.now.Add(min(interval, wecomMaxDuplicate))
	return false
}

// reaches counts a message to each member named and reports whether anyone gets it.
func (a *wecomApp) reaches(to reached, now time.Time) bool {
	if len(to.reached) == 0 {
		return true
	}
	any := false
	for _, id := range to.reached {
		if a.members[id] == nil {
			a.members[id] = &window{}
		}
		if a.members[id].take(Limit{Messages: wecomPerMember, Per: time.Minute}, now) {
			any = true
		}
	}
	return any
}

// updateCard changes a card that was sent, once.
func (w *WeCom) updateCard(c *call) ruling {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, code, text := w.app(c)
	if code != 0 {
		return w.refuse(c, code, text)
	}
	var r wecomAppRequest
	var body struct {
		Card *WeComCard `json:"template_card"`
	}
	pruned, unknown := wecomAppFields().prune(c.body)
	if json.Unmarshal(pruned, &r) != nil || json.Unmarshal(pruned, &body) != nil {
		return w.refuse(c, 40035, "invalid parameter")
	}
	sent, ok := a.cards[r.ResponseCode]
	switch {
	case !a.is(r.AgentID):
		return w.refuse(c, 40056, "invalid agentid")
	case r.All != 1 && len(r.UserIDs) == 0:
		return w.refuse(c, 40035, "no receiver of the update")
	case !ok || sent.used || c.now.Sub(sent.at) >= wecomCardLife:
		return w.refuse(c, 40096, "invalid response_code")
	case body.Card == nil && r.Button.ReplaceName == "":
		return w.refuse(c, 40035, "neither button nor template_card")
	}
	if body.Card != nil {
		card := *body.Card
		card.TaskID = "update"
		if wrong := card.buttonFault(); wrong != "" {
			return w.refuse(c, 40058, "template_card."+wrong+" invalid. invalid Request Parameter")
		}
	}
	sent.used = true
	a.cards[r.ResponseCode] = sent
	v := ruling{
		answer:    jsonAnswer(map[string]any{"errcode": 0, "errmsg": "ok"}),
		verdict:   Verdict{Text: "updated"},
		delivered: true,
	}
	v.edits = append(v.edits, func(m *Message) bool {
		if m.handle != r.ResponseCode {
			return false
		}
		m.Updates++
		m.Flags = append(m.Flags, flagsOf(unknown)...)
		if body.Card != nil {
			m.Card, m.Title, m.Text, m.Body = body.Card, body.Card.MainTitle.Title, body.Card.SubTitle, c.body
		}
		return true
	})
	return v
}
