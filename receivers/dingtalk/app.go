package dingtalk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/accesstoken"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/httpclient"
	"github.com/alertrelay/relay/internal/living"
	"github.com/alertrelay/relay/internal/robots"
	"github.com/alertrelay/relay/internal/secret"
	"github.com/alertrelay/relay/internal/split"
)

// The limits of what an application sends, in bytes. Some stay free, as with custom robots.
// https://open.dingtalk.com/document/development/the-robot-sends-a-group-message,
// https://open.dingtalk.com/document/development/create-and-deliver-cards
const (
	maxParam     = 14_000 // msgParam may have 15,000
	maxParamName = 100
	maxCardValue = 1000 // of a variable of a card, which may have 1 KB
)

// app is an item of dingtalk_configs that sends through the robot of an application: messages, or a card that is updated
// as its group changes.
type app struct {
	writer

	api    string
	token  *accesstoken.Source
	client *http.Client
	now    func() time.Time

	robotCode    string
	conversation relay.Template // nil when it is written down
	fixed        string
	templateID   string
	params       map[string]relay.Template
	maxAge       time.Duration // of a card
}

var _ relay.Integration = (*app)(nil)

func newApp(c Config, env relay.Env) (relay.Setup, error) {
	a := &app{
		api: strings.TrimSuffix(c.openAPIURL, "/"), client: env.HTTPClient, now: env.Now,
		robotCode: c.RobotCode, fixed: strings.TrimSpace(c.ConversationID),
		templateID: c.CardTemplateID, params: map[string]relay.Template{}, maxAge: time.Duration(c.MaxAge),
	}
	appSecret := secret.Of(c.AppSecret, c.AppSecretFile)
	var errs []error
	var err error
	a.writer, err = newWriter(c, env)
	errs = append(errs, err)
	a.maxBody, a.mute = maxParam, true
	if strings.Contains(c.ConversationID, "{{") {
		a.conversation, err = env.Templates.Text(c.Locale, c.ConversationID)
		errs = append(errs, fault.At("conversation_id", err))
	}
	for name, source := range c.CardParams {
		a.params[name], err = env.Templates.Text(c.Locale, source)
		errs = append(errs, fault.At("card_params."+name, err))
	}
	if c.HTTPConfig != nil {
		a.client, err = httpclient.New(c.HTTPConfig, "dingtalk")
		errs = append(errs, fault.At("http_config", err))
	}
	_, err = appSecret.Reveal()
	errs = append(errs, fault.At("app_secret_file", err))
	if err := errors.Join(errs...); err != nil {
		return relay.Setup{}, err
	}
	id := "dingtalk/" + secret.ID(a.api+" "+c.AppKey)
	a.token = accesstoken.New(env, id, a.fetcher(c.AppKey, appSecret))
	setup := c.Setup(relay.Limit{Messages: rateMessages, Per: ratePer})
	setup.Integration = a
	setup.ByRoom = relay.SpeakOfRooms(c.ConversationID)
	if setup.Name == "" {
		setup.Name = "app-" + c.AppKey
	}
	setup.Limiters = []relay.LimiterID{relay.LimiterID(id)}
	return setup, nil
}

// fetcher asks DingTalk for an access token.
// https://open.dingtalk.com/document/development/obtain-the-access-token-of-an-internal-app
func (a *app) fetcher(key string, appSecret secret.Value) accesstoken.Fetch {
	return func(ctx context.Context) (string, time.Duration, error) {
		value, err := appSecret.Reveal()
		if err != nil {
			return "", 0, relay.AsMisconfigured(err)
		}
		request := robots.Encode(map[string]string{"appKey": key, "appSecret": value})
		var answer struct {
			Token string `json:"accessToken"`
			Life  int    `json:"expireIn"`
		}
		if err := a.call(ctx, http.MethodPost, "/v1.0/oauth2/accessToken", "", value, request, &answer); err != nil {
			return "", 0, err
		}
		return answer.Token, time.Duration(answer.Life) * time.Second, nil
	}
}

// Destination is the group. Its template sees the notification alone.
func (a *app) Destination(n *relay.Notification) (relay.Destination, error) {
	id := a.fixed
	if a.conversation != nil {
		d := relay.Delivery{Tellings: []relay.Telling{{Notification: n}}, Now: n.ReceivedAt}
		text, err := a.conversation.Execute(relay.View{Delivery: &d})
		if err != nil {
			return relay.Destination{}, fmt.Errorf("dingtalk: conversation_id: %w", err)
		}
		if id = strings.TrimSpace(text); !isConversation(id) {
			return relay.Destination{}, errors.New("dingtalk: conversation_id names no group")
		}
	}
	return relay.Destination{Key: id, Address: id}, nil
}

// isConversation reports whether a text, which strangers may have written, can be the id of a group.
func isConversation(text string) bool {
	return regexp.MustCompile(`^[0-9A-Za-z+/=_-]{1,128}$`).MatchString(text)
}

// groupMessage is a message of the application's robot: its param is JSON as a text.
// https://open.dingtalk.com/document/development/the-robot-sends-a-group-message
type groupMessage struct {
	Param        string `json:"msgParam"`
	Key          string `json:"msgKey"`
	Conversation string `json:"openConversationId"`
	RobotCode    string `json:"robotCode"`
}

// cardMessage is a card as it is created. https://open.dingtalk.com/document/development/create-and-deliver-cards
type cardMessage struct {
	TemplateID   string            `json:"cardTemplateId"`
	TrackID      string            `json:"outTrackId"`
	Data         cardData          `json:"cardData"`
	Space        string            `json:"openSpaceId"`
	SpaceModel   map[string]bool   `json:"imGroupOpenSpaceModel"`
	DeliverModel map[string]string `json:"imGroupOpenDeliverModel"`
	CallbackType string            `json:"callbackType"`

	// Final is the relay's own: the incident is over. It is taken out before the request is sent.
	Final bool `json:"relay_final,omitempty"`
}

type cardData struct {
	Params map[string]string `json:"cardParamMap"`
}

// cardUpdate changes variables of a card.
// https://open.dingtalk.com/document/development/interactive-card-update-interface
type cardUpdate struct {
	TrackID string          `json:"outTrackId"`
	Data    cardData        `json:"cardData"`
	Options map[string]bool `json:"cardUpdateOptions"`
}

// Render makes the messages of a delivery: a card for one group, messages for anything else. What a person brought back
// from the dead letters may be older than what the card shows, and is a message, too.
func (a *app) Render(d relay.Delivery) ([]relay.Message, error) {
	_, lives := living.Read[cardSent](d.Previous, d.Now, a.maxAge)
	if a.messageType == TypeCard && !d.Plain && len(d.Tellings) == 1 && (!lives || !d.Tellings[0].Late) {
		return a.renderCard(&d)
	}
	messages, err := a.writer.Render(d)
	if err != nil {
		return nil, err
	}
	for n := range messages {
		m := &messages[n]
		var b body
		if err := json.Unmarshal(m.Body, &b); err != nil {
			return nil, fmt.Errorf("dingtalk: read message: %w", err)
		}
		key, param := b.sample()
		m.Body = robots.Encode(groupMessage{
			Param: string(robots.Encode(param)), Key: key, Conversation: d.Destination.Address, RobotCode: a.robotCode,
		})
	}
	return messages, nil
}

// sample is a custom robot's message as one of an application: its key, and its param.
// https://open.dingtalk.com/document/development/robot-message-type
func (b *body) sample() (string, any) {
	switch {
	case b.Markdown != nil:
		return "sampleMarkdown", b.Markdown
	case b.Link != nil:
		return "sampleLink", b.Link
	case b.ActionCard != nil:
		return b.ActionCard.sample()
	}
	return "sampleText", b.Text
}

// maxSampleButtons is how many buttons an actionCard of an application can have.
const maxSampleButtons = 5

func (c *actionCard) sample() (string, any) {
	param := map[string]string{"title": c.Title, "text": c.Text}
	switch {
	case c.SingleTitle != "":
		param["singleTitle"], param["singleURL"] = c.SingleTitle, c.SingleURL
		return "sampleActionCard", param
	case c.Orientation == "1" && len(c.Buttons) == 2: // only two can stand beside each other
		for n, b := range c.Buttons {
			param[fmt.Sprintf("buttonTitle%d", n+1)], param[fmt.Sprintf("buttonUrl%d", n+1)] = b.Title, b.URL
		}
		return "sampleActionCard6", param
	}
	buttons := c.Buttons[:min(len(c.Buttons), maxSampleButtons)]
	for n, b := range buttons {
		param[fmt.Sprintf("actionTitle%d", n+1)], param[fmt.Sprintf("actionURL%d", n+1)] = b.Title, b.URL
	}
	return fmt.Sprintf("sampleActionCard%d", len(buttons)), param
}

// renderCard makes the card of a group. What its text has no room for is told on a line each, or counted.
func (a *app) renderCard(d *relay.Delivery) ([]relay.Message, error) {
	m := relay.Message{ID: d.ID + "-1", Part: 1, Parts: 1}
	v := relay.View{Delivery: d}
	params := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(a.params)) {
		value, err := a.params[name].Execute(v)
		if err != nil {
			return nil, err
		}
		params[name] = split.Text(strings.TrimSpace(value), maxCardValue)
	}
	if _, own := a.params["text"]; !own {
		var err error
		if params["text"], m.Omitted, err = a.cardText(v); err != nil {
			return nil, err
		}
	}
	m.Text = strings.TrimSpace(params["title"] + "\n" + params["text"])
	m.Body = robots.Encode(cardMessage{
		TemplateID: a.templateID, TrackID: m.ID, Data: cardData{params},
		Space:        "dtv1.card//IM_GROUP." + d.Destination.Address,
		SpaceModel:   map[string]bool{"supportForward": true},
		DeliverModel: map[string]string{"robotCode": a.robotCode},
		CallbackType: "STREAM",
		Final:        d.Notification().Status == relay.StatusResolved,
	})
	return []relay.Message{m}, nil
}

// cardText is the text of a card, and how many alerts it only counts.
func (a *app) cardText(v relay.View) (string, int, error) {
	alerts := v.Notification().Alerts
	if len(alerts) <= maxCardValue/leastAlert {
		content, err := a.text.Execute(v)
		if content = strings.TrimSpace(content); err != nil || len(content) <= maxCardValue {
			return content, 0, err
		}
	}
	content, counted := a.templates.Compact(a.locale, v, alerts, maxCardValue)
	return content, counted, nil
}

// leastAlert is what an alert takes at least of a text, in bytes: with more of them it is not even tried.
const leastAlert = 32

// Send makes one call; two when a card is not there any more.
func (a *app) Send(ctx context.Context, m relay.Message) (relay.Receipt, error) {
	receipt, err := a.token.Send(ctx, m, a.send)
	if err != nil {
		return relay.Receipt{}, fmt.Errorf("dingtalk: %w", err)
	}
	return receipt, nil
}

func (a *app) send(ctx context.Context, token string, m relay.Message) (relay.Receipt, error) {
	if bytes.HasPrefix(m.Body, []byte(`{"cardTemplateId"`)) {
		return a.sendCard(ctx, token, m)
	}
	var answer struct {
		Key string `json:"processQueryKey"`
	}
	err := a.call(ctx, http.MethodPost, "/v1.0/robot/groupMessages/send", token, token, m.Body, &answer)
	if err == nil && answer.Key == "" {
		err = relay.AsTransient(errors.New("post message: answer without processQueryKey"))
	}
	return relay.Receipt{Detail: "sent"}, err
}

// cardSent is the card of a group.
type cardSent struct {
	TrackID string `json:"id,omitempty"`
}

// sendCard updates the group's card, or creates one when it has none, or it is too old or gone. After the end of an
// incident the group has none.
func (a *app) sendCard(ctx context.Context, token string, m relay.Message) (relay.Receipt, error) {
	var c cardMessage
	if err := json.Unmarshal(m.Body, &c); err != nil {
		return relay.Receipt{}, relay.AsRefused(fmt.Errorf("read message: %w", err))
	}
	final := c.Final
	c.Final = false
	h, lives := living.Read[cardSent](m.Previous, a.now(), a.maxAge)
	detail := "card updated"
	if lives && h.At.TrackID != "" {
		err := a.update(ctx, token, h.At.TrackID, c.Data)
		if err != nil && relay.KindOf(err) != relay.Refused {
			return relay.Receipt{}, err
		}
		lives = err == nil
	} else {
		lives = false
	}
	if !lives {
		err := a.create(ctx, token, c)
		if errors.Is(err, errUndelivered) {
			c.Final = final
			return relay.Receipt{Detail: err.Error(), Again: a.another(m, c)}, nil
		}
		if err != nil {
			return relay.Receipt{}, err
		}
		h, detail = living.New(cardSent{c.TrackID}, a.now()), "card sent"
	}
	if final {
		h = living.New(cardSent{}, a.now())
	}
	return relay.Receipt{Detail: detail, Ref: h.Ref(a.now())}, nil
}

// another is the message with a card of another id: that of one which nobody sees is used up.
func (a *app) another(m relay.Message, c cardMessage) *relay.Message {
	c.TrackID = m.ID + "-" + strconv.FormatInt(a.now().UnixMilli(), 36)
	m.Body = robots.Encode(c)
	return &m
}

func (a *app) update(ctx context.Context, token, id string, data cardData) error {
	var answer struct {
		Success bool `json:"success"`
	}
	err := a.call(ctx, http.MethodPut, "/v1.0/card/instances", token, token, robots.Encode(cardUpdate{
		TrackID: id, Data: data, Options: map[string]bool{"updateCardDataByKey": true},
	}), &answer)
	if err == nil && !answer.Success {
		err = relay.AsRefused(errors.New("update card: no success"))
	}
	return err
}

// errUndelivered says that DingTalk made a card and showed it to nobody.
var errUndelivered = errors.New("card not delivered")

// create makes a card. DingTalk refuses an id that it knows: then the answer to the first try was lost, and an update
// says so.
func (a *app) create(ctx context.Context, token string, c cardMessage) error {
	var answer struct {
		Result struct {
			Deliveries []struct {
				Success bool   `json:"success"`
				Error   string `json:"errorMsg"`
			} `json:"deliverResults"`
		} `json:"result"`
	}
	err := a.call(ctx, http.MethodPost, "/v1.0/card/instances/createAndDeliver", token, token, robots.Encode(c), &answer)
	if relay.KindOf(err) == relay.Refused && a.update(ctx, token, c.TrackID, c.Data) == nil {
		return nil
	}
	if err != nil {
		return err
	}
	if len(answer.Result.Deliveries) == 0 {
		return relay.AsTransient(errors.New("deliver card: answer without result"))
	}
	for _, d := range answer.Result.Deliveries {
		if !d.Success {
			return fmt.Errorf("%w: %s", errUndelivered, robots.Label(d.Error, token))
		}
	}
	return nil
}

// call makes one call and reads its answer. The error does not show hide.
func (a *app) call(ctx context.Context, method, path, token, hide string, request []byte, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, a.api+path, bytes.NewReader(request))
	if err != nil {
		return relay.AsMisconfigured(fmt.Errorf("build request: %w", httpclient.Redact(err)))
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	if token != "" {
		req.Header.Set("X-Acs-Dingtalk-Access-Token", token)
	}
	resp, err := httpclient.Do(a.client, req)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := classifyApp(resp, hide); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := json.Unmarshal(resp.Body, answer); err != nil {
		return relay.AsTransient(fmt.Errorf("%s: read answer: %w", path, err))
	}
	return nil
}
