package sandbox

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// The limits of a DingTalk robot.
const (
	// A request body of more bytes is refused with 460101 (seen; not in the vendor's pages).
	dingtalkMaxBody = 20_000
	// https://open.dingtalk.com/document/dingstart/customize-robot-security-settings
	dingtalkMaxSkew = time.Hour
	// https://open.dingtalk.com/document/development/custom-robots-send-group-messages
	dingtalkMaxMentions = 50
)

// DingTalkStrict is the documented rate, 20 a minute, with ten minutes of refusals after the 21st.
// https://open.dingtalk.com/document/development/custom-robots-send-group-messages
func DingTalkStrict() Limit { return Limit{Messages: 20, Per: time.Minute, Ban: 10 * time.Minute} }

// DingTalkLenient is the other reading of the same page: a sliding minute without a ban.
func DingTalkLenient() Limit { return Limit{Messages: 20, Per: time.Minute} }

// A DingTalkRobot is a custom robot of a group and its security settings.
type DingTalkRobot struct {
	Token string
	Group string // the chat's name
	Robot string // the robot's name

	Secret   string         // signing; empty: none
	Keywords []string       // a message must contain one of them; none: no check
	CIDRs    []netip.Prefix // who may call; none: anyone
	Disabled bool
	Limit    Limit // zero: DingTalkStrict

	// NewWording answers 310000 in the form seen since about 2022, so that nobody compares whole texts.
	NewWording bool
	// RateCode410100 answers the rate with the code of the official table instead of the one seen.
	RateCode410100 bool
	// CodeAsString prints errcode as "0", as the vendor's own sample does.
	CodeAsString bool
}

// DingTalk emulates the custom robot's API, POST /robot/send, and that of applications below /v1.0: access tokens, group
// messages, cards.
type DingTalk struct {
	endpoint

	url    string
	mu     sync.Mutex
	robots map[string]*dingtalkRobot
	apps   map[string]*dingtalkApp
	tokens int // makes every token and id differ
}

type dingtalkRobot struct {
	DingTalkRobot

	rate window
	seen map[string]bool // msgUuid of delivered messages
	uuid []string        // the same in order, so that the oldest can be forgotten
}

func newDingTalk(b *board, url string) *DingTalk {
	return &DingTalk{
		endpoint: endpoint{inbox: InboxDingTalk, board: b}, url: url,
		robots: map[string]*dingtalkRobot{}, apps: map[string]*dingtalkApp{},
	}
}

// Add adds a robot, or changes the settings of one with the same token, and returns its webhook URL. What was counted
// and remembered of it stays.
func (d *DingTalk) Add(r DingTalkRobot) string {
	r.Limit = r.Limit.or(DingTalkStrict())
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.robots[r.Token]; known != nil {
		known.DingTalkRobot = r
	} else {
		d.robots[r.Token] = &dingtalkRobot{DingTalkRobot: r, seen: map[string]bool{}}
	}
	return d.url + "/robot/send?access_token=" + url.QueryEscape(r.Token)
}

// ServeHTTP answers as the vendor does: HTTP 200 and an errcode, for success and for errors.
func (d *DingTalk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/v1.0/") {
		d.serveApp(w, r)
		return
	}
	d.serve(w, r, r.URL.Query().Get("access_token"), d.judge)
}

// judge checks one call. The order is a choice; the vendor's is not documented.
func (d *DingTalk) judge(c *call) ruling {
	d.mu.Lock()
	defer d.mu.Unlock()
	query := c.URL.Query()
	robot := d.robots[c.account]
	say := dingtalkVoice{}
	switch {
	case c.Method != http.MethodPost:
		return say.code(43002, "需要POST请求")
	case c.account == "":
		return say.code(40035, "缺少参数 access_token")
	case robot == nil:
		return say.code(300005, "token is not exist")
	}
	say.robot = robot.DingTalkRobot
	if !isJSON(c.Header.Get("Content-Type")) {
		return say.code(43004, "无效的HTTP HEADER Content-Type")
	}
	if robot.Disabled {
		return say.code(400102, "description:机器人已经停用或者未启用;solution:请让企业管理员前往开放平台后台启用对应机器人 :"+
			"https://open-dev.dingtalk.com/#/")
	}
	if !allowed(robot.CIDRs, c.caller()) {
		return say.unsafe("ip "+c.caller()+" not in whitelist",
			"description:ip 不在白名单中;solution:请联系对应群的管理员，设置机器人安全ip地址段")
	}
	if wrong := signatureFault(robot.Secret, query, c.now); wrong == "sign not match" {
		return say.unsafe(wrong, "description:机器人发送签名不匹配;solution:请确认签名和生成签名的时间戳必须都放在调用的网址中，"+
			"请确认机器人的密钥加密和填写正确;")
	} else if wrong != "" {
		return say.unsafe(wrong, "description:机器人发送签名过期;solution:签名生成时间和发送时间请保持在 timestampms 以内;")
	}
	if len(c.body) > dingtalkMaxBody {
		return say.code(460101, "description: body 大小不合法;solution:请保持大小在 20000bytes 以内;")
	}
	m, code := decodeDingTalk(c.body)
	switch {
	case code == 400105:
		return say.code(code, "不支持的消息类型")
	case code != 0:
		return say.code(code, "缺少参数 json")
	case !m.hasKeyword(robot.Keywords):
		return say.unsafe("keywords not in content",
			"description:关键词不匹配;solution:请联系群管理员查看此机器人的关键词，并在发送的信息中包含此关键词;")
	case !robot.rate.take(robot.Limit, c.now):
		if robot.RateCode410100 {
			return say.code(410100, "发送速度太快而限流")
		}
		return say.code(130101, "send too fast, exceed 20 times per minute")
	case m.UUID != "" && robot.seen[m.UUID]:
		return say.code(0, "ok") // taken before: not shown again
	}
	robot.remember(m.UUID)
	v := say.code(0, "ok")
	v.message = m.message(robot.DingTalkRobot)
	return v
}

// rememberedUUIDs bounds how many message ids a robot remembers; for how long the vendor does is not stated.
const rememberedUUIDs = 10_000

func (r *dingtalkRobot) remember(uuid string) {
	if uuid == "" {
		return
	}
	r.seen[uuid] = true
	r.uuid = append(r.uuid, uuid)
	if len(r.uuid) > rememberedUUIDs {
		delete(r.seen, r.uuid[0])
		r.uuid = r.uuid[1:]
	}
}

// dingtalkVoice words the answers as the robot is set to.
type dingtalkVoice struct{ robot DingTalkRobot }

func (v dingtalkVoice) unsafe(old, recent string) ruling {
	if v.robot.NewWording {
		return v.code(310000, recent)
	}
	return v.code(310000, old)
}

func (v dingtalkVoice) code(code int, text string) ruling {
	var printed any = code
	if v.robot.CodeAsString {
		printed = strconv.Itoa(code)
	}
	return ruling{
		answer:  jsonAnswer(map[string]any{"errcode": printed, "errmsg": text}),
		verdict: Verdict{Code: code, Text: text},
	}
}

// jsonAnswer is HTTP 200 with a JSON body, as DingTalk and WeCom answer everything.
func jsonAnswer(v any) answer {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // maps of strings and numbers
	return answer{status: http.StatusOK, contentType: "application/json", body: bytes.TrimSpace(buf.Bytes())}
}

func isJSON(contentType string) bool {
	t, _, err := mime.ParseMediaType(contentType)
	return err == nil && t == "application/json"
}

func allowed(cidrs []netip.Prefix, caller string) bool {
	if len(cidrs) == 0 {
		return true
	}
	addr, err := netip.ParseAddr(caller)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(cidrs, func(p netip.Prefix) bool { return p.Contains(addr.Unmap()) })
}

// signatureFault returns what is wrong with the signature in the query; empty when nothing is. A URL that has grown by a
// second signature is wrong whatever the robot's settings.
func signatureFault(secret string, query url.Values, now time.Time) string {
	if len(query["timestamp"]) > 1 || len(query["sign"]) > 1 {
		return "sign not match"
	}
	if secret == "" {
		return ""
	}
	stamp := query.Get("timestamp")
	ms, err := strconv.ParseUint(stamp, 10, 63)
	if err != nil {
		return "invalid timestamp"
	}
	if skew := now.Sub(time.UnixMilli(int64(ms))); skew.Abs() > dingtalkMaxSkew {
		return "invalid timestamp"
	}
	if !hmac.Equal([]byte(query.Get("sign")), []byte(DingTalkSign(secret, stamp))) {
		return "sign not match"
	}
	return ""
}

// DingTalkSign is the signature that the vendor expects, before query encoding.
// https://open.dingtalk.com/document/dingstart/customize-robot-security-settings
func DingTalkSign(secret, timestamp string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(timestamp + "\n" + secret))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// dingtalkFields are those of a message. https://open.dingtalk.com/document/development/robot-message-type
func dingtalkFields() fields {
	return fields{
		"msgtype": nil, "msgUuid": nil,
		"at":       {"atMobiles": nil, "atUserIds": nil, "isAtAll": nil},
		"text":     {"content": nil},
		"markdown": {"title": nil, "text": nil},
		"link":     {"title": nil, "text": nil, "messageUrl": nil, "picUrl": nil},
		"actionCard": {
			"title": nil, "text": nil, "singleTitle": nil, "singleURL": nil, "btnOrientation": nil, "hideAvatar": nil,
			"btns": {"title": nil, "actionURL": nil},
		},
		"feedCard": {"links": {"title": nil, "messageURL": nil, "picURL": nil}},
	}
}

// dingtalkMessage is the body of a call, decoded.
type dingtalkMessage struct {
	Type string `json:"msgtype"`
	UUID string `json:"msgUuid"`
	At   struct {
		Mobiles []string `json:"atMobiles"`
		UserIDs []string `json:"atUserIds"`
		All     bool     `json:"isAtAll"`
	} `json:"at"`
	Text struct {
		Content string `json:"content"`
	} `json:"text"`
	Markdown struct {
		Title string `json:"title"`
		Text  string `json:"text"`
	} `json:"markdown"`
	Link struct {
		Title      string `json:"title"`
		Text       string `json:"text"`
		MessageURL string `json:"messageUrl"`
		PicURL     string `json:"picUrl"`
	} `json:"link"`
	ActionCard struct {
		Title       string `json:"title"`
		Text        string `json:"text"`
		SingleTitle string `json:"singleTitle"`
		SingleURL   string `json:"singleURL"`
		Orientation string `json:"btnOrientation"`
		Buttons     []struct {
			Title     string `json:"title"`
			ActionURL string `json:"actionURL"`
		} `json:"btns"`
	} `json:"actionCard"`
	FeedCard struct {
		Links []struct {
			Title      string `json:"title"`
			MessageURL string `json:"messageURL"`
			PicURL     string `json:"picURL"`
		} `json:"links"`
	} `json:"feedCard"`

	body    []byte
	unknown []string // fields that the vendor ignores
}

// decodeDingTalk returns the message, or the errcode of what it lacks.
func decodeDingTalk(body []byte) (*dingtalkMessage, int) {
	if !bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) {
		return nil, 40035
	}
	m := &dingtalkMessage{}
	m.body, m.unknown = dingtalkFields().prune(body)
	err := json.Unmarshal(m.body, m)
	if wrongType := (*json.UnmarshalTypeError)(nil); err != nil && !errors.As(err, &wrongType) {
		return nil, 40035
	}
	if !slices.Contains([]string{"text", "markdown", "link", "actionCard", "feedCard"}, m.Type) {
		return nil, 400105
	}
	if err != nil || !m.complete() {
		return nil, 40035
	}
	return m, 0
}

// complete reports whether all required fields are there.
func (m *dingtalkMessage) complete() bool {
	switch m.Type {
	case "text":
		return m.Text.Content != ""
	case "markdown":
		return m.Markdown.Title != "" && m.Markdown.Text != ""
	case "link":
		return m.Link.Title != "" && m.Link.Text != "" && m.Link.MessageURL != ""
	case "actionCard":
		c := m.ActionCard
		if c.Title == "" || c.Text == "" {
			return false
		}
		if c.SingleTitle != "" && c.SingleURL != "" {
			return true
		}
		for _, b := range c.Buttons {
			if b.Title == "" || b.ActionURL == "" {
				return false
			}
		}
		return len(c.Buttons) > 0
	default: // feedCard
		for _, l := range m.FeedCard.Links {
			if l.Title == "" || l.MessageURL == "" || l.PicURL == "" {
				return false
			}
		}
		return len(m.FeedCard.Links) > 0
	}
}

// hasKeyword looks into every string of the message. Whether the vendor looks into the title is not stated.
func (m *dingtalkMessage) hasKeyword(keywords []string) bool {
	if len(keywords) == 0 {
		return true
	}
	var fields map[string]any
	_ = json.Unmarshal(m.body, &fields) // it was decoded before
	found := false
	eachString(fields[m.Type], func(s string) {
		found = found || slices.ContainsFunc(keywords, func(k string) bool { return strings.Contains(s, k) })
	})
	return found
}

func eachString(v any, visit func(string)) {
	switch v := v.(type) {
	case string:
		visit(v)
	case []any:
		for _, item := range v {
			eachString(item, visit)
		}
	case map[string]any:
		for _, item := range v {
			eachString(item, visit)
		}
	}
}

// message is what the group sees. Only text, markdown and card texts can mention somebody, and only by an @id in them.
func (m *dingtalkMessage) message(r DingTalkRobot) *Message {
	out := &Message{Group: r.Group, Robot: r.Robot, Type: m.Type, Flags: flagsOf(m.unknown)}
	switch m.Type {
	case "text":
		out.Text = m.Text.Content
	case "markdown":
		out.Title, out.Text = m.Markdown.Title, m.Markdown.Text
	case "link":
		out.Title, out.Text = m.Link.Title, m.Link.Text
		out.Links = []Link{{m.Link.Title, m.Link.MessageURL, m.Link.PicURL}}
	case "actionCard":
		m.actionCard(out)
	case "feedCard":
		out.Title = m.FeedCard.Links[0].Title
		for _, l := range m.FeedCard.Links {
			out.Text += l.Title + "\n"
			out.Links = append(out.Links, Link{l.Title, l.MessageURL, l.PicURL})
		}
	}
	m.mention(out)
	for _, l := range out.Links {
		if !opens(l.URL) {
			out.Flags = append(out.Flags, "no address to open: "+l.URL)
		}
	}
	return out
}

// actionCard shows one button when it has fields of its own: the others are ignored then.
func (m *dingtalkMessage) actionCard(out *Message) {
	c := m.ActionCard
	out.Title, out.Text = c.Title, c.Text
	if c.SingleTitle != "" && c.SingleURL != "" {
		out.Links = []Link{{c.SingleTitle, c.SingleURL, ""}}
		if len(c.Buttons) > 0 {
			out.Flags = append(out.Flags, "btns are ignored beside singleTitle")
		}
		return
	}
	if !slices.Contains([]string{"", "0", "1"}, c.Orientation) {
		out.Flags = append(out.Flags, "btnOrientation is 0 or 1")
	}
	for _, b := range c.Buttons {
		out.Links = append(out.Links, Link{b.Title, b.ActionURL, ""})
	}
}

// opens reports whether the client opens an address: in a web view, or as a link that it knows itself.
// https://open.dingtalk.com/document/development/message-link-description
func opens(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https" || u.Scheme == "dingtalk") && u.Host != ""
}

// mention notifies those whose @id stands in the text: of a card whoever has a user id, which the sandbox cannot know, so
// whoever is written so.
func (m *dingtalkMessage) mention(out *Message) {
	asked := slices.Concat(m.At.Mobiles, m.At.UserIDs)
	if len(asked) > dingtalkMaxMentions {
		out.Flags = append(out.Flags, "more than 50 mentions")
	}
	switch m.Type {
	case "text", "markdown":
		out.MentionAll = m.At.All
		for _, id := range asked {
			if mentions(out.Text, id) {
				out.Mentioned = append(out.Mentioned, id)
			} else {
				out.Flags = append(out.Flags, "@"+id+" is not in the text")
			}
		}
	case "actionCard":
		for word := range strings.FieldsSeq(out.Text) {
			if id, ok := strings.CutPrefix(word, "@"); ok && id != "" && !strings.ContainsFunc(id, notIDRune) {
				out.Mentioned = append(out.Mentioned, id)
			}
		}
		fallthrough
	default:
		if len(asked) > 0 || m.At.All {
			out.Flags = append(out.Flags, "at has no effect on "+m.Type)
		}
	}
}

// mentions reports whether text holds @id, and not only as the beginning of a longer id.
func mentions(text, id string) bool {
	for rest := text; ; {
		_, after, ok := strings.Cut(rest, "@"+id)
		if !ok || id == "" {
			return false
		}
		if after == "" || !isIDByte(after[0]) {
			return true
		}
		rest = after
	}
}

func notIDRune(r rune) bool { return r >= utf8.RuneSelf || !isIDByte(byte(r)) }

func isIDByte(b byte) bool {
	return b == '_' || b == '-' || '0' <= b && b <= '9' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z'
}

// FaultDingTalkBusy is the vendor's own trouble: worth a retry.
func FaultDingTalkBusy() Fault {
	return FaultAnswer(200, "application/json", `{"errcode":-1,"errmsg":"系统繁忙"}`)
}

// FaultDingTalkThrottled is the refusal by source address, which has no errcode: nobody may take it for success.
// https://open.dingtalk.com/document/development/how-to-process-api-throttling-on-the-dingtalk-server
func FaultDingTalkThrottled(contentType string) Fault {
	return FaultAnswer(200, contentType, `{"status":1111,"wait":5,"source":"x5","punish":"deny","uuid":"5f1c0d8e"}`)
}

// FaultDingTalkThrottledMerged is the same, merged with an errcode, as one report has it.
func FaultDingTalkThrottledMerged() Fault {
	return FaultAnswer(200, "application/json", `{"errcode":130101,"errmsg":"send too fast, exceed 20 times per minute",`+
		`"status":1111,"wait":5,"source":"x5","punish":"deny","uuid":"5f1c0d8e"}`)
}
