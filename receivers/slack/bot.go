package slack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/httpclient"
	"github.com/alertrelay/relay/internal/living"
	"github.com/alertrelay/relay/internal/pace"
	"github.com/alertrelay/relay/internal/secret"
)

// The methods of Slack's Web API that a bot calls. https://docs.slack.dev/reference/methods
const (
	methodPost   = "chat.postMessage"
	methodUpdate = "chat.update"

	defaultAppURL = "https://slack.com/api/" + methodPost
)

// botLimit is that of posts, in each channel; updateLimit that of updates, of the app in all its channels (tier 3). Slack
// counts them apart. https://docs.slack.dev/apis/web-api/rate-limits
func botLimit() relay.Limit { return relay.Limit{Messages: 1, Per: time.Second} }

func updateLimit() relay.Limit { return relay.Limit{Messages: 50, Per: time.Minute} }

// A bot posts with a token, and knows afterwards where its message is. The types of its messages are slack-go's, its calls are
// not: that client writes a form with the token in it where Alertmanager's bot writes JSON, keeps nothing of an answer but
// its status when that is not 200, and takes one that is cut off behind "ok" and "ts" for a failure, after which the message
// would be posted twice. TestCallsOfSlackGosClient holds each of these, so that this can be looked at again.
type bot struct {
	token          secret.Value
	tokenKey       string // the key of the configuration that it comes from
	account        string // a hash of the token, for limiters
	post, edit     string // URLs
	client         *http.Client
	updates        *pace.Pace
	now            func() time.Time
	update, thread bool
	maxAge         time.Duration
}

func newBot(c Config, env relay.Env, client *http.Client) (*bot, error) {
	b := &bot{
		token: secret.Of(c.AppToken, c.AppTokenFile), tokenKey: "app_token", post: c.AppURL, client: client, now: env.Now,
		update: *c.UpdateMessage, thread: *c.Thread, maxAge: time.Duration(c.MessageMaxAge),
	}
	if c.AppTokenFile != "" {
		b.tokenKey = "app_token_file"
	}
	token, err := b.token.Reveal()
	if err != nil {
		return nil, fault.At(b.tokenKey, err)
	}
	b.account = digest(token)[:16]
	updates := updateLimit()
	if c.RateLimit != nil && c.RateLimit.Messages == 0 {
		updates = relay.Limit{}
	}
	b.updates = pace.New(env, "slack/"+b.account, updates, c.Setup(updates).Timeout)
	u, err := url.Parse(c.AppURL)
	if err != nil {
		return nil, fault.At("app_url", errNoAppURL)
	}
	u.Path = strings.TrimSuffix(u.Path, methodPost) + methodUpdate
	b.edit = u.String()
	return b, nil
}

// limiter is the token in a channel, which is what Slack counts.
func (b *bot) limiter(channel string) relay.LimiterID {
	return relay.LimiterID("slack/" + b.account + "/" + digest(channel)[:8])
}

// What a call of a bot does.
const (
	doPost   = "post"
	doUpdate = "update"
	doReply  = "reply"
)

// A call is the body of a relay.Message: what to do, and a payload, which lacks the place that only Send knows.
type call struct {
	Do  string          `json:"do"`
	Say json.RawMessage `json:"say"`
}

// A place is where a message is. A reply in its thread names the same place.
type place struct {
	Channel string `json:"channel"` // the id, whatever the configuration says
	TS      string `json:"ts"`
}

// renderBot makes the calls for a delivery. A group has one message: it is posted, then updated. What does not fit in it at
// first, and then every change, is told in its thread.
func (i *Integration) renderBot(d *relay.Delivery) ([]relay.Message, error) {
	_, lives := living.Read[place](d.Previous, d.Now, i.bot.maxAge)
	var calls []called
	var err error
	switch {
	case len(d.Tellings) > 1 || !i.bot.update && !i.bot.thread:
		calls, err = i.called(d, nil, i.cfg.Parts(), doPost, doPost)
	case !lives:
		calls, err = i.called(d, nil, i.cfg.Parts(), doPost, doReply)
	case i.bot.update && !d.Tellings[0].Late: // else it is older than what the message shows
		calls, err = i.updated(d)
	default:
		calls, err = i.called(d, nil, i.cfg.Parts(), doReply, doReply)
	}
	if err != nil {
		return nil, err
	}
	messages := make([]relay.Message, len(calls))
	for n, c := range calls {
		say, err := json.Marshal(c.payload)
		if err != nil {
			return nil, fmt.Errorf("encode message: %w", err)
		}
		body, err := json.Marshal(call{c.do, say})
		if err != nil {
			return nil, fmt.Errorf("encode call: %w", err)
		}
		messages[n] = c.message(d, body)
		messages[n].OwnRate = c.do == doUpdate
	}
	return numberedAll(d, messages), nil
}

// A called part is one with what is to be done with it.
type called struct {
	rendered
	do string
}

func (i *Integration) called(d *relay.Delivery, alerts relay.Alerts, most int, first, rest string) ([]called, error) {
	parts, err := i.parts(d, alerts, most)
	out := make([]called, len(parts))
	for n, part := range parts {
		out[n] = called{part, rest}
		if n == 0 {
			out[n].do = first
		}
	}
	return out, err
}

// updated updates the message of a group to show all alerts, of which it lists those that it has no room for, and tells in
// its thread what has changed. Mentions are in both: an update notifies nobody.
func (i *Integration) updated(d *relay.Delivery) ([]called, error) {
	calls, err := i.called(d, nil, 1, doUpdate, "")
	if err != nil || !i.bot.thread {
		return calls, err
	}
	var changed relay.Alerts
	for _, a := range d.Notification().Alerts {
		if a.Change != relay.ChangeStill {
			changed = append(changed, a)
		}
	}
	if changed == nil { // a reminder
		changed = d.Notification().Alerts
	}
	changes, err := i.called(d, changed, i.cfg.Parts(), doReply, doReply)
	return append(calls, changes...), err
}

// send makes the call. An update or a reply whose message has gone becomes a new message: nothing is lost because somebody
// tidied up.
func (b *bot) send(ctx context.Context, m relay.Message) (relay.Receipt, error) {
	var c call
	if err := json.Unmarshal(m.Body, &c); err != nil {
		return relay.Receipt{}, relay.AsRefused(fmt.Errorf("read message: %w", err))
	}
	handle, _ := living.Read[place](m.Previous, b.now(), b.maxAge)
	if c.Do == doPost || handle.At.TS == "" {
		return b.begin(ctx, c.Say)
	}
	args, err := c.following(handle.At)
	if err != nil {
		return relay.Receipt{}, relay.AsRefused(fmt.Errorf("read message: %w", err))
	}
	address := b.post
	if c.Do == doUpdate {
		address = b.edit
	}
	_, err = b.call(ctx, address, args)
	if m.OwnRate {
		err = b.updated(ctx, handle.At, err)
	}
	if errors.Is(err, errGone) {
		return b.begin(ctx, c.Say)
	}
	if err != nil {
		return relay.Receipt{}, fmt.Errorf("%s message: %w", c.Do, err)
	}
	return relay.Receipt{Ref: handle.Ref(b.now()), Detail: c.Do, NoSlot: m.OwnRate}, nil
}

// wait is for how long an update has to wait for its turn.
func (b *bot) wait(ctx context.Context, m relay.Message) (time.Duration, error) {
	handle, _ := living.Read[place](m.Previous, b.now(), b.maxAge)
	wait, err := b.updates.Wait(ctx, handle.At.who())
	if err != nil {
		return 0, fmt.Errorf("update message: %w", err)
	}
	return wait, nil
}

// updated notes that an update has ended with err. When Slack wants a pause, it is for all updates of the app, and for no
// post; but when it cannot be noted, at least the channel has it.
func (b *bot) updated(ctx context.Context, at place, err error) error {
	var pause time.Duration
	if relay.KindOf(err) == relay.RateLimited {
		pause = relay.RetryAfter(err)
	}
	if b.updates.Done(ctx, at.who(), pause) == nil && pause > 0 {
		return &relay.Error{Kind: relay.RateLimited, RetryAfter: pause, Paced: true, Err: err}
	}
	return err
}

// who is a short name of the message.
func (p place) who() string { return digest(p.Channel, p.TS)[:12] }

// begin posts a message that others will follow.
func (b *bot) begin(ctx context.Context, say []byte) (relay.Receipt, error) {
	at, err := b.call(ctx, b.post, say)
	if err != nil {
		return relay.Receipt{}, fmt.Errorf("post message: %w", err)
	}
	receipt := relay.Receipt{Detail: doPost}
	if at.TS != "" {
		receipt.Ref = living.New(at, b.now()).Ref(b.now())
	}
	return receipt, nil
}

// following are the arguments of a call that follows a message. Of an updated message, lists that the new form has not
// must be taken away by an empty one; as whom it was posted cannot be changed.
func (c call) following(at place) ([]byte, error) {
	args := map[string]json.RawMessage{}
	if err := json.Unmarshal(c.Say, &args); err != nil {
		return nil, err
	}
	set := func(key, value string) { args[key], _ = json.Marshal(value) }
	set("channel", at.Channel)
	if c.Do == doReply {
		set("thread_ts", at.TS)
		return json.Marshal(args)
	}
	set("ts", at.TS)
	for _, key := range []string{"blocks", "attachments"} {
		if args[key] == nil {
			args[key] = json.RawMessage("[]")
		}
	}
	for _, key := range []string{"username", "icon_emoji", "icon_url"} {
		delete(args, key)
	}
	return json.Marshal(args)
}

// call makes one call of the Web API, and returns where the message is.
func (b *bot) call(ctx context.Context, address string, args []byte) (place, error) {
	token, err := b.token.Reveal()
	if err != nil {
		return place{}, relay.AsMisconfigured(fault.At(b.tokenKey, err))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(args))
	if err != nil {
		return place{}, relay.AsMisconfigured(fmt.Errorf("build request: %w", httpclient.Redact(err)))
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	answer, err := httpclient.Do(b.client, req)
	if err != nil {
		return place{}, err
	}
	return judgeCall(answer)
}

// errGone says that the message to update, or whose thread to reply in, is there no more or may not be changed any more.
var errGone = errors.New("the message is gone")

// isGone tells the words for that: https://docs.slack.dev/reference/methods/chat.update#errors
func isGone(word string) bool {
	switch word {
	case "message_not_found", "thread_not_found", "cant_update_message", "edit_window_closed":
		return true
	}
	return false
}
