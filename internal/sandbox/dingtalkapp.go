package sandbox

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The limits of a DingTalk application, in bytes.
// https://open.dingtalk.com/document/development/the-robot-sends-a-group-message,
// https://open.dingtalk.com/document/development/create-and-deliver-cards
const (
	dingtalkMaxParam     = 15_000
	dingtalkMaxCardKey   = 100
	dingtalkMaxCardValue = 1024
)

// DingTalkTokenLife is how long an access token is good for.
// https://open.dingtalk.com/document/development/obtain-the-access-token-of-an-internal-app
const DingTalkTokenLife = 2 * time.Hour

// A DingTalkApp is an application of an organisation with a robot in some groups.
type DingTalkApp struct {
	Key, Secret string
	RobotCode   string
	Robot       string            // its name, as readers see it
	Groups      map[string]string // names of the groups, by openConversationId
	Templates   []string          // of cards
	Stopped     bool              // the robot
	Limit       Limit             // zero: 20 messages a minute
}

type dingtalkApp struct {
	DingTalkApp

	token   string
	expires time.Time
	revoked bool
	issued  int
	rate    window
	cards   map[string]bool // outTrackIds that can be updated
	lose    bool            // the next card
}

// AddApp adds an application, or changes the settings of the one with the same key, and returns the URL of the API, as
// dingtalk_openapi_url has it.
func (d *DingTalk) AddApp(a DingTalkApp) string {
	a.Limit = a.Limit.or(DingTalkLenient())
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.apps[a.Key]; known != nil {
		known.DingTalkApp = a
	} else {
		d.apps[a.Key] = &dingtalkApp{DingTalkApp: a, cards: map[string]bool{}}
	}
	return d.url
}

// Revoke takes every access token back before its time.
func (d *DingTalk) Revoke() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range d.apps {
		a.revoked = true
	}
}

// Issued is how many times access tokens were asked for with success.
func (d *DingTalk) Issued() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, a := range d.apps {
		n += a.issued
	}
	return n
}

// Forget deletes all cards: what they were can be updated no more.
func (d *DingTalk) Forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range d.apps {
		clear(a.cards)
	}
}

// Lose makes the next card of each application one that is created and delivered to nobody.
func (d *DingTalk) Lose() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range d.apps {
		a.lose = true
	}
}

// serveApp answers the calls of applications; AccountToken and AccountApp are their accounts.
func (d *DingTalk) serveApp(w http.ResponseWriter, r *http.Request) {
	judge, account := d.judgeApp, AccountApp
	if r.URL.Path == "/v1.0/oauth2/accessToken" {
		judge, account = d.issue, AccountToken
	}
	d.serve(w, r, account, judge)
}

// fail answers as the newer API does: with an HTTP status and a code in words.
func (d *DingTalk) fail(status int, code, message string) ruling {
	a := jsonAnswer(map[string]any{"code": code, "requestid": "0A1B2C", "message": message})
	a.status = status
	return ruling{answer: a, verdict: Verdict{Code: status, Text: code}}
}

func (d *DingTalk) issue(c *call) ruling {
	d.mu.Lock()
	defer d.mu.Unlock()
	var r struct {
		Key    string `json:"appKey"`
		Secret string `json:"appSecret"`
	}
	a := d.apps[""]
	if json.Unmarshal(c.body, &r) == nil {
		a = d.apps[r.Key]
	}
	if c.Method != http.MethodPost || a == nil || a.Secret != r.Secret {
		return d.fail(http.StatusBadRequest, "invalidClientIdOrSecret", "无效的clientId或者clientSecret")
	}
	if a.token == "" || a.revoked || !c.now.Before(a.expires) {
		d.tokens++
		a.token, a.revoked = "token-"+strconv.Itoa(d.tokens)+strings.Repeat("t", 32), false
	}
	a.expires = c.now.Add(DingTalkTokenLife) // asking again renews it
	a.issued++
	return ruling{answer: jsonAnswer(map[string]any{
		"accessToken": a.token, "expireIn": int(DingTalkTokenLife.Seconds()),
	}), verdict: Verdict{Text: "ok"}}
}

func (d *DingTalk) judgeApp(c *call) ruling {
	d.mu.Lock()
	defer d.mu.Unlock()
	token := c.Header.Get("x-acs-dingtalk-access-token")
	var a *dingtalkApp
	for _, app := range d.apps {
		if token != "" && token == app.token && !app.revoked && c.now.Before(app.expires) {
			a = app
		}
	}
	switch {
	case a == nil:
		return d.fail(http.StatusBadRequest, "InvalidAuthentication", "不合法的access_token")
	case !isJSON(c.Header.Get("Content-Type")):
		return d.fail(http.StatusBadRequest, "invalidParameter.contentType", "content type")
	}
	switch c.Method + " " + c.URL.Path {
	case "POST /v1.0/robot/groupMessages/send":
		return d.groupMessage(c, a)
	case "POST /v1.0/card/instances/createAndDeliver":
		return d.createCard(c, a)
	case "PUT /v1.0/card/instances":
		return d.updateCard(c, a)
	}
	return d.fail(http.StatusNotFound, "InvalidAction.NotFound", "no such call")
}

// robot checks who sends and where to; a nil ruling means nothing is wrong.
func (a *dingtalkApp) robot(d *DingTalk, code, conversation string, now time.Time) *ruling {
	var wrong ruling
	_, known := a.Groups[conversation]
	switch {
	case code != a.RobotCode:
		wrong = d.fail(http.StatusBadRequest, "invalidParameter.robotCode.notExist", "robot 不存在")
	case !known:
		wrong = d.fail(http.StatusBadRequest, "invalidParameter.openConversationId.invalid", "openConversationId 无效")
	case a.Stopped:
		wrong = d.fail(http.StatusBadRequest, "bot.stopped", "机器人已停用")
	case !a.rate.take(a.Limit, now):
		wrong = d.fail(http.StatusBadRequest, "send.too.fast", "发送速度太快")
	default:
		return nil
	}
	return &wrong
}

// sampleFields are those of the param, by msgKey. https://open.dingtalk.com/document/development/robot-message-type
func sampleFields() map[string][]string {
	keys := map[string][]string{
		"sampleText":       {"content"},
		"sampleMarkdown":   {"title", "text"},
		"sampleLink":       {"title", "text", "messageUrl"},
		"sampleActionCard": {"title", "text", "singleTitle", "singleURL"},
		"sampleActionCard6": {
			"title", "text", "buttonTitle1", "buttonUrl1", "buttonTitle2", "buttonUrl2",
		},
	}
	fields := []string{"title", "text"}
	for n := 1; n <= 5; n++ {
		fields = append(fields, fmt.Sprintf("actionTitle%d", n), fmt.Sprintf("actionURL%d", n))
		if n > 1 {
			keys[fmt.Sprintf("sampleActionCard%d", n)] = slices.Clone(fields)
		}
	}
	return keys
}

func (d *DingTalk) groupMessage(c *call, a *dingtalkApp) ruling {
	var r struct {
		Param        string `json:"msgParam"`
		Key          string `json:"msgKey"`
		Conversation string `json:"openConversationId"`
		RobotCode    string `json:"robotCode"`
	}
	known := fields{"msgParam": nil, "msgKey": nil, "openConversationId": nil, "robotCode": nil, "coolAppCode": nil}
	pruned, unknown := known.prune(c.body)
	if json.Unmarshal(pruned, &r) != nil {
		return d.fail(http.StatusBadRequest, "invalidParameter.body", "body")
	}
	wanted := sampleFields()[r.Key]
	var param map[string]string
	switch {
	case wanted == nil:
		return d.fail(http.StatusBadRequest, "invalidParameter.msgKey.invalid", "msgKey 无效")
	case len(r.Param) > dingtalkMaxParam:
		return d.fail(http.StatusBadRequest, "invalidParameter.msgParam.tooLong", "msgParam 超长")
	case json.Unmarshal([]byte(r.Param), &param) != nil:
		return d.fail(http.StatusBadRequest, "invalidParameter.msgParam.invalid", "msgParam 不是 JSON")
	}
	for _, name := range wanted {
		if param[name] == "" {
			return d.fail(http.StatusBadRequest, "invalidParameter.msgParam.invalid", "缺少 "+name)
		}
	}
	if wrong := a.robot(d, r.RobotCode, r.Conversation, c.now); wrong != nil {
		return *wrong
	}
	m := &Message{
		Group: a.Groups[r.Conversation], Robot: a.Robot, Type: sampleType(r.Key), Title: param["title"], Text: param["text"],
		Flags: flagsOf(unknown),
	}
	if m.Type == "text" {
		m.Text = param["content"]
	}
	optional := []string{"picUrl"}
	for name := range param {
		if !slices.Contains(wanted, name) && !slices.Contains(optional, name) {
			m.Flags = append(m.Flags, "unknown field msgParam."+name)
		}
	}
	for n := range wanted {
		if title, ok := buttonTitle(wanted[n]); ok {
			m.Links = append(m.Links, Link{param[title], param[wanted[n+1]], ""})
		}
	}
	if m.Type == "link" {
		m.Links = []Link{{m.Title, param["messageUrl"], param["picUrl"]}}
	}
	d.tokens++
	return ruling{
		answer:  jsonAnswer(map[string]any{"processQueryKey": "query-" + strconv.Itoa(d.tokens)}),
		verdict: Verdict{Text: "ok"}, message: m,
	}
}

func buttonTitle(name string) (string, bool) {
	for _, prefix := range []string{"singleTitle", "actionTitle", "buttonTitle"} {
		if strings.HasPrefix(name, prefix) {
			return name, true
		}
	}
	return "", false
}

// sampleType is the custom robot's word for what a key shows.
func sampleType(key string) string {
	switch key {
	case "sampleText":
		return "text"
	case "sampleMarkdown":
		return "markdown"
	case "sampleLink":
		return "link"
	}
	return "actionCard"
}

// cardRequest is a card as it is created or updated.
type cardRequest struct {
	TemplateID string `json:"cardTemplateId"`
	TrackID    string `json:"outTrackId"`
	Data       struct {
		Params map[string]string `json:"cardParamMap"`
	} `json:"cardData"`
	Space        string `json:"openSpaceId"`
	DeliverModel struct {
		RobotCode string `json:"robotCode"`
	} `json:"imGroupOpenDeliverModel"`
	CallbackType string `json:"callbackType"`
	Options      struct {
		ByKey bool `json:"updateCardDataByKey"`
	} `json:"cardUpdateOptions"`
}

// readCard reads a request with a card in it, or says what is wrong with it.
func (d *DingTalk) readCard(c *call, known fields) (cardRequest, []string, *ruling) {
	var r cardRequest
	known["outTrackId"], known["cardData"] = nil, fields{"cardParamMap": nil}
	pruned, unknown := known.prune(c.body)
	wrong := ""
	if json.Unmarshal(pruned, &r) != nil || r.TrackID == "" {
		wrong = "outTrackId"
	}
	for name, value := range r.Data.Params {
		if len(name) > dingtalkMaxCardKey || len(value) > dingtalkMaxCardValue {
			wrong = "cardData"
		}
	}
	if wrong != "" {
		fault := d.fail(http.StatusBadRequest, "param."+wrong+".error", wrong)
		return r, nil, &fault
	}
	return r, unknown, nil
}

func (d *DingTalk) createCard(c *call, a *dingtalkApp) ruling {
	r, unknown, wrong := d.readCard(c, fields{
		"cardTemplateId": nil, "openSpaceId": nil, "callbackType": nil, "imGroupOpenSpaceModel": nil,
		"imGroupOpenDeliverModel": {"robotCode": nil, "atUserIds": nil, "extension": nil, "recipients": nil},
		"userId":                  nil, "userIdType": nil,
	})
	conversation, isGroup := strings.CutPrefix(r.Space, "dtv1.card//IM_GROUP.")
	switch {
	case wrong != nil:
		return *wrong
	case !slices.Contains(a.Templates, r.TemplateID):
		return d.fail(http.StatusBadRequest, "param.templateNotExist", "卡片模板不存在")
	case !isGroup || r.CallbackType != "STREAM" && r.CallbackType != "HTTP":
		return d.fail(http.StatusBadRequest, "param.openSpaceId.error", "openSpaceId")
	case a.cards[r.TrackID]:
		return d.fail(http.StatusBadRequest, "param.outTrackId.exist", "outTrackId 已存在")
	}
	if wrong := a.robot(d, r.DeliverModel.RobotCode, conversation, c.now); wrong != nil {
		return *wrong
	}
	a.cards[r.TrackID] = true
	if a.lose {
		a.lose = false
		return ruling{
			answer: jsonAnswer(map[string]any{"success": true, "result": map[string]any{
				"outTrackId": r.TrackID, "deliverResults": []any{map[string]any{
					"success": false, "spaceType": "IM_GROUP", "errorMsg": "delivery failed",
				}},
			}}),
			verdict: Verdict{Text: "card made, not delivered"},
		}
	}
	return ruling{
		answer: jsonAnswer(map[string]any{"success": true, "result": map[string]any{
			"outTrackId": r.TrackID, "deliverResults": []any{map[string]any{
				"success": true, "spaceType": "IM_GROUP", "carrierId": "carrier-" + r.TrackID, "errorMsg": "",
			}},
		}}),
		verdict: Verdict{Text: "ok"},
		message: &Message{
			Group: a.Groups[conversation], Robot: a.Robot, Type: "card", handle: r.TrackID, Flags: flagsOf(unknown),
			Title: r.Data.Params["title"], Text: r.Data.Params["text"], Params: r.Data.Params,
		},
	}
}

func (d *DingTalk) updateCard(c *call, a *dingtalkApp) ruling {
	r, unknown, wrong := d.readCard(c, fields{"cardUpdateOptions": {"updateCardDataByKey": nil}})
	switch {
	case wrong != nil:
		return *wrong
	case !a.cards[r.TrackID]:
		return d.fail(http.StatusBadRequest, "param.cardNotExist", "卡片不存在")
	}
	v := ruling{
		answer:    jsonAnswer(map[string]any{"success": true, "result": true}),
		verdict:   Verdict{Text: "updated"},
		delivered: true,
	}
	v.edits = append(v.edits, func(m *Message) bool {
		if m.handle != r.TrackID {
			return false
		}
		params := map[string]string{}
		if r.Options.ByKey {
			maps.Copy(params, m.Params)
		}
		maps.Copy(params, r.Data.Params)
		m.Updates++
		m.Flags = append(m.Flags, flagsOf(unknown)...)
		m.Params, m.Title, m.Text, m.Body = params, params["title"], params["text"], c.body
		return true
	})
	return v
}
