package wecom

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/accesstoken"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/httpclient"
	"github.com/alertrelay/relay/internal/living"
	"github.com/alertrelay/relay/internal/robots"
	"github.com/alertrelay/relay/internal/secret"
)

// appRate is what an application may send. Beyond 30 messages a minute, or 1,000 an hour, to one member WeCom drops the
// rest and says nothing, so the relay stays below both.
// https://developer.work.weixin.qq.com/document/path/90312
const (
	appMessages = 16
	appPer      = time.Minute
)

// maxAppMarkdown bounds the markdown of an application, in bytes; that of a robot may be longer.
// https://developer.work.weixin.qq.com/document/path/90236
const maxAppMarkdown = 2048

// App is an item of wecom_configs, or of Alertmanager's wechat_configs, that sends as an application of the organisation
// (自建应用) to its members, or to a group chat that the application has made.
type App struct {
	writer

	name   string
	api    string // ends in a slash
	token  *accesstoken.Source
	client *http.Client
	now    func() time.Time

	recipients recipients
	agentID    *agentID
	form       AppForm
	maxAge     time.Duration // of a card that is updated
}

var _ relay.Integration = (*App)(nil)

// AppForm is what tells requests apart that Alertmanager would make from those of wecom_configs.
type AppForm struct {
	// Safe is the field of that name: "0" from Alertmanager.
	Safe string
	// AgentIDAsText sends the number of the application in quotes, as Alertmanager does. WeCom takes both.
	AgentIDAsText bool
	// DuplicateCheck lets WeCom drop the second of two equal requests, when the answer to the first was lost.
	DuplicateCheck bool
}

// NewApp makes the application of a valid c. Its error names the keys at fault.
func NewApp(c Config, form AppForm, env relay.Env) (relay.Setup, error) {
	a := &App{
		api:     strings.TrimSuffix(c.apiURL, "/") + "/",
		client:  env.HTTPClient,
		now:     env.Now,
		agentID: &agentID{c.AgentID, form.AgentIDAsText},
		form:    form,
		maxAge:  time.Duration(c.MaxAge),
	}
	corpSecret := secret.Of(c.Secret, c.SecretFile)
	var errs [4]error
	a.writer, errs[0] = newWriter(c, env)
	a.maxMarkdown, a.addressed = maxAppMarkdown, true
	a.recipients, errs[1] = newRecipients(c, env.Templates)
	if c.HTTPConfig != nil {
		a.client, errs[2] = httpclient.New(c.HTTPConfig, "wecom")
	}
	_, errs[3] = corpSecret.Reveal()
	err := errors.Join(errs[0], errs[1], fault.At("http_config", errs[2]), fault.At("secret_file", errs[3]))
	if err != nil {
		return relay.Setup{}, err
	}
	// One application has one secret: the id stays when the secret is rotated, and reveals nothing.
	id := "wecom/" + secret.ID(a.api+" "+c.CorpID+" "+c.AgentID)
	a.token = accesstoken.New(env, id, a.fetcher(c.CorpID, corpSecret))
	setup := c.Setup(relay.Limit{Messages: appMessages, Per: appPer})
	setup.Integration = a
	setup.ByRoom = relay.SpeakOfRooms(c.ToUser, c.ToParty, c.ToTag, c.ChatID)
	if setup.Name == "" {
		setup.Name = "app-" + c.AgentID
	}
	a.name = setup.Name
	setup.Limiters = []relay.LimiterID{relay.LimiterID(id)}
	return setup, nil
}

// fetcher asks WeCom for an access token. https://developer.work.weixin.qq.com/document/path/91039
func (a *App) fetcher(corpID string, corpSecret secret.Value) accesstoken.Fetch {
	return func(ctx context.Context) (string, time.Duration, error) {
		value, err := corpSecret.Reveal()
		if err != nil {
			return "", 0, relay.AsMisconfigured(err)
		}
		query := url.Values{"corpid": {corpID}, "corpsecret": {value}}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.api+"gettoken?"+query.Encode(), nil)
		if err != nil {
			return "", 0, relay.AsMisconfigured(fmt.Errorf("build request: %w", httpclient.Redact(err)))
		}
		resp, err := httpclient.Do(a.client, req)
		if err != nil {
			return "", 0, err
		}
		if err := classifyApp(resp, value); err != nil {
			if relay.KindOf(err) == relay.TokenExpired { // here it is the secret that is wrong
				err = relay.AsMisconfigured(err)
			}
			return "", 0, err
		}
		var answer struct {
			Token string `json:"access_token"`
			Life  int    `json:"expires_in"`
		}
		if err := json.Unmarshal(resp.Body, &answer); err != nil || answer.Token == "" {
			return "", 0, relay.AsTransient(errors.New("answer without access_token"))
		}
		return answer.Token, time.Duration(answer.Life) * time.Second, nil
	}
}

// Destination is who gets the message. Its templates see the notification alone.
func (a *App) Destination(n *relay.Notification) (relay.Destination, error) {
	to, err := a.recipients.of(n)
	if err != nil {
		return relay.Destination{}, fmt.Errorf("wecom: %w", err)
	}
	return relay.Destination{Key: to.key(), Address: string(robots.Encode(to))}, nil
}

// Render makes the messages of a delivery, whole requests but for the token. A card that lives is updated when all is well
// again; each other state is a message of its own. The first message says what a delivery means for the cards before it.
func (a *App) Render(d relay.Delivery) ([]relay.Message, error) {
	messages, err := a.writer.Render(d)
	if err != nil {
		return nil, err
	}
	var to addressees
	if err := json.Unmarshal([]byte(d.Destination.Address), &to); err != nil {
		return nil, fmt.Errorf("wecom: read destination: %w", err)
	}
	for n := range messages {
		m := &messages[n]
		r := appRequest{addressees: to, Safe: a.form.Safe}
		if err := json.Unmarshal(m.Body, &r.body); err != nil {
			return nil, fmt.Errorf("wecom: read message: %w", err)
		}
		if to.ChatID == "" {
			r.AgentID = a.agentID
			if a.form.DuplicateCheck {
				r.DuplicateCheck, r.DuplicateInterval = 1, interval(m.ID)
			}
		}
		lives := r.Card != nil && r.Card.Type == CardButtons
		if lives {
			r.Card.TaskID = m.ID
		}
		if n == 0 {
			r.Life = a.life(&d, lives, lives && len(messages) == 1)
		}
		m.Body = robots.Encode(r)
	}
	return messages, nil
}

// life says what a delivery means for the cards that were sent before: whether its first message is one that they can
// become, and whether that is all of it.
func (a *App) life(d *relay.Delivery, card, all bool) *life {
	if a.messageType != TypeTemplateCard || a.cards.cardType != CardButtons || len(d.Tellings) > 1 {
		return nil
	}
	h, lives := living.Read[cardsSent](d.Previous, d.Now, a.maxAge)
	switch {
	case lives && d.Tellings[0].Late:
		return nil // it is older than what the cards show
	case d.Notification().Status != relay.StatusResolved:
		return &life{Beyond: !all}
	case !lives || !card:
		return &life{Final: true}
	}
	return &life{Final: true, Update: h.At.Codes, Beyond: h.At.Beyond || !all}
}

// interval is for how long WeCom compares requests, in seconds: at least half an hour, which is its default. It differs
// from message to message, so that two notifications that read the same are no duplicates of each other, and is the same
// for each try of one. https://developer.work.weixin.qq.com/document/path/90236
func interval(id string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return 1800 + int(h.Sum32()%12_600)
}

// Send makes one call, or one for each card that is updated.
func (a *App) Send(ctx context.Context, m relay.Message) (relay.Receipt, error) {
	receipt, err := a.token.Send(ctx, m, a.send)
	if err != nil {
		return relay.Receipt{}, fmt.Errorf("wecom: %w", err)
	}
	return receipt, nil
}

func (a *App) send(ctx context.Context, token string, m relay.Message) (relay.Receipt, error) {
	if !bytes.Contains(m.Body, []byte(lifeKey)) {
		answer, err := a.post(ctx, a.path(m.Body), token, m.Body)
		return answer.receipt(), err
	}
	var r appRequest
	if err := json.Unmarshal(m.Body, &r); err != nil {
		return relay.Receipt{}, relay.AsRefused(fmt.Errorf("read message: %w", err))
	}
	life := r.Life
	r.Life = nil
	if len(life.Update) > 0 {
		receipt, updated, err := a.update(ctx, token, r, life.Update)
		if updated && !life.Beyond || err != nil {
			return receipt, err
		}
	}
	answer, err := a.post(ctx, "message/send", token, robots.Encode(r))
	receipt := answer.receipt()
	if err == nil {
		receipt.Ref = a.ref(m.Previous, answer.ResponseCode, *life)
	}
	return receipt, err
}

// path is the call that a request is for.
func (*App) path(request []byte) string {
	if bytes.HasPrefix(request, []byte(`{"chatid"`)) {
		return "appchat/send"
	}
	return "message/send"
}

// update makes the cards of a group say how it ended, the newest first. When WeCom does not take that one, because it was
// updated before or is too old, the caller sends another card; what becomes of the others matters to nobody then.
// https://developer.work.weixin.qq.com/document/path/94888
func (a *App) update(ctx context.Context, token string, r appRequest, codes []string) (relay.Receipt, bool, error) {
	card := *r.Card
	card.TaskID = ""
	for n, code := range slices.Backward(codes) {
		_, err := a.post(ctx, "message/update_template_card", token,
			robots.Encode(cardUpdate{All: 1, AgentID: a.agentID, ResponseCode: code, Card: &card}))
		switch {
		case err == nil || n < len(codes)-1:
		case isRefusal(err):
			return relay.Receipt{}, false, nil
		default:
			return relay.Receipt{}, false, err
		}
	}
	return relay.Receipt{Detail: "card updated", Ref: a.ref("", "", life{Final: true})}, true, nil
}

// cardUpdate is a request to change a card.
type cardUpdate struct {
	All          int      `json:"atall"`
	AgentID      *agentID `json:"agentid"`
	ResponseCode string   `json:"response_code"`
	Card         *card    `json:"template_card"`
}

// cardsSent are the codes with which the cards of a group can be updated, each of them once.
type cardsSent struct {
	Codes []string `json:"codes,omitempty"`
	// Beyond says that something was told in another form, too, which no update reaches.
	Beyond bool `json:"beyond,omitempty"`
}

// maxCodes bounds the cards of one group that are updated in the end.
const maxCodes = 5

// ref is the handle after a card was sent. After a final one it is empty: what comes next is another incident.
func (a *App) ref(previous relay.Ref, code string, l life) relay.Ref {
	now := a.now()
	h, lives := living.Read[cardsSent](previous, now, a.maxAge)
	if l.Final || !lives || len(h.At.Codes) == 0 && !h.At.Beyond {
		h = living.New(cardsSent{}, now)
	}
	h.At.Beyond = !l.Final && (h.At.Beyond || l.Beyond)
	if !l.Final && code != "" {
		h.At.Codes = append(h.At.Codes, code)
		h.At.Codes = h.At.Codes[max(0, len(h.At.Codes)-maxCodes):]
	}
	return h.Ref(now)
}

// post makes one call.
func (a *App) post(ctx context.Context, path, token string, request []byte) (appAnswer, error) {
	var answer appAnswer
	resp, err := httpclient.PostJSON(ctx, a.client, a.api+path+"?access_token="+url.QueryEscape(token), request)
	if err != nil {
		return answer, fmt.Errorf("%s: %w", path, err)
	}
	if err := classifyApp(resp, token); err != nil {
		return answer, fmt.Errorf("%s: %w", path, err)
	}
	if err := json.Unmarshal(resp.Body, &answer); err != nil {
		return answer, relay.AsTransient(fmt.Errorf("%s: read answer: %w", path, err))
	}
	return answer, nil
}
