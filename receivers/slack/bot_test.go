package slack_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/living"
	"github.com/alertrelay/relay/internal/sandbox"
	"github.com/alertrelay/relay/internal/secret"
	"github.com/alertrelay/relay/receivers/receiverstest"
	"github.com/alertrelay/relay/receivers/slack"
)

const botToken = "xoxb-secret-secret-secret"

func TestContractOfABot(t *testing.T) {
	t.Parallel()
	receiverstest.Run(t, receiverstest.Suite{
		New: func(t *testing.T, env relay.Env, target string) relay.Setup {
			t.Helper()
			return build(t, slack.Config{
				Common:   relay.Common{MaxParts: receiverstest.MaxParts},
				AppToken: secret.New(botToken), AppURL: target + "/api/chat.postMessage", Channel: "#ops",
			}, env)
		},
		Vendor:  receiverstest.HTTPVendor(receiverstest.Answer(http.StatusOK, `{"ok":true,"channel":"C1","ts":"1.000100"}`)),
		Faults:  append(botWords(), statuses()...),
		Hang:    receiverstest.HTTPHang,
		Secrets: []string{botToken},
		Check: func(t *testing.T, m relay.Message) {
			t.Helper()
			_, say := readCall(t, m)
			check(t, relay.Message{Body: say, Text: m.Text})
		},
		Templates: set(t),
	})
}

// readCall takes a bot's message apart.
func readCall(t *testing.T, m relay.Message) (do string, say []byte) {
	t.Helper()
	var call struct {
		Do  string          `json:"do"`
		Say json.RawMessage `json:"say"`
	}
	require.NoError(t, json.Unmarshal(m.Body, &call))
	return call.Do, call.Say
}

// botWords are the Web API's answers: https://docs.slack.dev/reference/methods/chat.postMessage#errors
func botWords() []receiverstest.Fault {
	var faults []receiverstest.Fault
	for kind, words := range map[relay.Kind][]string{
		relay.Misconfigured: {
			"not_authed", "invalid_auth", "account_inactive", "token_revoked", "token_expired", "missing_scope", "no_permission",
			"access_denied", "org_login_required", "ekm_access_denied", "team_access_not_granted", "channel_not_found",
			"not_in_channel", "is_archived", "is_inactive", "restricted_action", "restricted_action_read_only_channel",
			"restricted_action_thread_only_channel", "restricted_action_non_threadable_channel", "messages_tab_disabled",
			"not_allowed_token_type",
		},
		relay.Refused: {
			"no_text", "invalid_blocks", "invalid_blocks_format", "msg_too_long", "msg_blocks_too_long",
			"attachment_payload_limit_exceeded", "too_many_attachments", "invalid_attachments", "metadata_too_large",
			"markdown_text_conflict", "invalid_arguments", "cannot_reply_to_message", "block_mismatch",
		},
		relay.Transient: {
			"request_timeout", "service_unavailable", "internal_error", "fatal_error", "team_added_to_org", "update_failed",
			"something_new",
		},
		relay.RateLimited: {"ratelimited", "rate_limited", "message_limit_exceeded"},
	} {
		for _, word := range words {
			f := receiverstest.Fault{
				Name:   word,
				Vendor: receiverstest.HTTPVendor(receiverstest.Answer(http.StatusOK, `{"ok":false,"error":"`+word+`"}`)),
				Kind:   kind,
			}
			if kind == relay.RateLimited {
				f.RetryAfter = time.Second
			}
			faults = append(faults, f)
		}
	}
	for _, body := range []string{`[]`, `{"ok":"yes"}`, `{"ok":false}`, `{"error":{}}`, `ok`, `{"ok":fal`} {
		faults = append(faults, receiverstest.Fault{
			Name: "malformed " + body, Vendor: receiverstest.HTTPVendor(receiverstest.Answer(http.StatusOK, body)), Kind: relay.Transient,
		})
	}
	return append(faults, receiverstest.Fault{
		Name: "429 with a delay",
		Vendor: receiverstest.HTTPVendor(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "30")
			receiverstest.Answer(http.StatusTooManyRequests, `{"ok":false,"error":"ratelimited"}`)(w, r)
		}),
		Kind: relay.RateLimited, RetryAfter: 30 * time.Second,
	})
}

// A channel is a bot in the sandbox with the lane of one group: each delivery follows the one before.
type channel struct {
	t      *testing.T
	vendor *sandbox.Sandbox
	setup  relay.Setup
	now    time.Time
	ref    relay.Ref
	count  int
}

func newChannel(t *testing.T, c slack.Config, b sandbox.SlackBot) *channel {
	t.Helper()
	ch := &channel{t: t, now: receiverstest.Now}
	clock := func() time.Time { return ch.now }
	var err error
	ch.vendor, err = sandbox.Start(sandbox.Options{Now: clock})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, ch.vendor.Close()) })
	b.Token, b.App, b.Channels, b.Posts = botToken, "relay", []string{"ops", "pay"}, sandbox.NoLimit()
	c.AppURL, c.AppToken = ch.vendor.SlackAPI.Add(b), secret.New(botToken)
	if c.Channel == "" {
		c.Channel = "#ops"
	}
	env := receiverstest.Env(t, set(t))
	env.Now = clock
	ch.setup = build(t, c, env)
	return ch
}

// tell sends the parts of one delivery, each with the handle that the one before left behind.
func (c *channel) tell(d relay.Delivery) []string {
	c.t.Helper()
	c.count++
	d.ID += strconv.Itoa(c.count)
	d.Now, d.Previous = c.now, c.ref
	var done []string
	for _, m := range receiverstest.Render(c.t, c.setup, d) {
		m.Previous = c.ref
		receipt, err := c.setup.Send(c.t.Context(), m)
		require.NoError(c.t, err)
		require.NotEmpty(c.t, receipt.Ref)
		c.ref = receipt.Ref
		do, _ := readCall(c.t, m)
		done = append(done, do)
	}
	return done
}

// shown are the messages of the channel and the replies in their threads.
func (c *channel) shown() (heads, replies []sandbox.Message) {
	for _, m := range c.vendor.Inbox(sandbox.InboxSlack) {
		if m.Slack.Thread == "" {
			heads = append(heads, m)
		} else {
			replies = append(replies, m)
		}
	}
	return heads, replies
}

// group is a delivery of n alerts, of which each is of the change that its number says; the others are still firing.
func group(n int, changes map[int]relay.Change) relay.Delivery {
	d := receiverstest.Many(n)
	alerts := d.Notification().Alerts
	for i := range alerts {
		a := &alerts[i]
		a.Status, a.EndsAt, a.Change = relay.StatusFiring, time.Time{}, relay.ChangeStill
		if change, ok := changes[i]; ok {
			a.Change = change
		}
		if a.Change == relay.ChangeResolved {
			a.Status, a.EndsAt = relay.StatusResolved, receiverstest.Now
		}
	}
	d.Notification().Status = alerts.Status()
	return d
}

const (
	red   = "#c62828"
	green = "#1a7f37"
)

func TestOneMessagePerGroupTellsItsNewestState(t *testing.T) {
	t.Parallel()
	for name, b := range map[string]sandbox.SlackBot{"": {}, "strictly timed": {Updates: sandbox.NoLimit()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newChannel(t, slack.Config{}, b)
			color := func() string {
				heads, _ := c.shown()
				require.Len(t, heads, 1, "one message")
				require.Empty(t, heads[0].Flags)
				return heads[0].Slack.Attachments[0].Color
			}
			require.Equal(t, []string{"post"}, c.tell(group(1, map[int]relay.Change{0: relay.ChangeNew})))
			require.Equal(t, red, color())

			c.now = c.now.Add(time.Minute)
			require.Equal(t, []string{"update", "reply"}, c.tell(group(2, map[int]relay.Change{1: relay.ChangeNew})))
			require.Equal(t, red, color())
			heads, replies := c.shown()
			require.Contains(t, heads[0].Text, "db-000")
			require.Contains(t, heads[0].Text, "db-001")
			require.Len(t, replies, 1)
			require.Equal(t, heads[0].Slack.TS, replies[0].Slack.Thread)
			require.Contains(t, replies[0].Text, "db-001", "what has changed")
			require.NotContains(t, replies[0].Text, "db-000")

			c.now = c.now.Add(time.Minute)
			require.Equal(t, []string{"update", "reply"}, c.tell(group(2, nil)), "a reminder is told in the thread too")

			c.now = c.now.Add(time.Hour)
			both := map[int]relay.Change{0: relay.ChangeResolved, 1: relay.ChangeResolved}
			require.Equal(t, []string{"update", "reply"}, c.tell(group(2, both)))
			require.Equal(t, green, color(), "it turns green")

			c.now = c.now.Add(time.Hour)
			require.Equal(t, []string{"update", "reply"}, c.tell(group(1, map[int]relay.Change{0: relay.ChangeNew})))
			require.Equal(t, red, color(), "and red again")
			heads, replies = c.shown()
			require.Len(t, replies, 4)
			require.Len(t, heads[0].Slack.Earlier, 4)
			for _, r := range replies {
				require.Equal(t, heads[0].Slack.TS, r.Slack.Thread)
				require.Empty(t, r.Flags)
			}
		})
	}
}

func TestWhatDoesNotFitGoesToTheThread(t *testing.T) {
	t.Parallel()
	c := newChannel(t, slack.Config{}, sandbox.SlackBot{})
	first := map[int]relay.Change{}
	for i := range 100 {
		first[i] = relay.ChangeNew
	}
	done := c.tell(group(100, first))
	require.Equal(t, "post", done[0])
	require.Greater(t, len(done), 2)
	heads, replies := c.shown()
	require.Len(t, heads, 1)
	require.Len(t, replies, len(done)-1)
	thread := new(strings.Builder)
	for _, r := range append(heads, replies...) {
		thread.WriteString(r.Text)
	}
	all := group(100, nil)
	for _, a := range all.Notification().Alerts {
		require.Contains(t, thread.String(), a.Labels["instance"])
	}
	c.now = c.now.Add(time.Minute)
	require.Equal(t, []string{"update", "reply"}, c.tell(group(100, map[int]relay.Change{7: relay.ChangeResolved})), "only what changed")
	heads, replies = c.shown()
	require.Len(t, heads, 1)
	for _, a := range all.Notification().Alerts {
		require.Contains(t, heads[0].Text, a.Labels["instance"], "the message lists all")
	}
	require.Contains(t, replies[len(replies)-1].Text, "db-007")
}

func TestNewMessages(t *testing.T) {
	t.Parallel()
	change := map[int]relay.Change{0: relay.ChangeNew}
	for name, tt := range map[string]struct {
		config slack.Config
		bot    sandbox.SlackBot
		before func(c *channel, head sandbox.Message)
	}{
		"after a day of silence": {before: func(c *channel, _ sandbox.Message) { c.now = c.now.Add(24 * time.Hour) }},
		"when it is too old": {
			config: slack.Config{MessageMaxAge: model.Duration(time.Hour)},
			before: func(c *channel, _ sandbox.Message) { c.now = c.now.Add(time.Hour) },
		},
		"when somebody deleted it": {before: func(c *channel, head sandbox.Message) { c.vendor.SlackAPI.Delete(head.Slack) }},
		"when it may not be changed any more": {
			bot:    sandbox.SlackBot{EditWindow: time.Minute},
			before: func(c *channel, _ sandbox.Message) { c.now = c.now.Add(2 * time.Minute) },
		},
		"when another bot wrote it":      {before: func(c *channel, _ sandbox.Message) { c.vendor.SlackAPI.Forget() }},
		"when the handle cannot be read": {before: func(c *channel, _ sandbox.Message) { c.ref = "1700000000.000100" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newChannel(t, tt.config, tt.bot)
			c.tell(group(1, change))
			heads, _ := c.shown()
			tt.before(c, heads[0])
			c.tell(group(1, change))
			heads, _ = c.shown()
			require.Len(t, heads, 2)
			c.now = c.now.Add(time.Second)
			require.Equal(t, []string{"update", "reply"}, c.tell(group(1, change)))
			heads, replies := c.shown()
			require.Len(t, heads, 2, "the new one lives on")
			for _, r := range replies {
				require.Equal(t, heads[1].Slack.TS, r.Slack.Thread, "nothing is said in the thread of one that has gone")
			}
		})
	}
}

// Each word that Slack has for a message that has gone, of an update and of a reply.
// https://docs.slack.dev/reference/methods/chat.update#errors
func TestEachWordForAMessageThatHasGone(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"message_not_found", "thread_not_found", "cant_update_message", "edit_window_closed"} {
		for _, do := range []string{"update", "reply"} {
			t.Run(word+" to "+do, func(t *testing.T) {
				t.Parallel()
				posted := 0
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					body, _ := io.ReadAll(r.Body)
					if r.URL.Path == "/api/chat.update" || bytes.Contains(body, []byte(`"thread_ts"`)) {
						_, _ = io.WriteString(w, `{"ok":false,"error":"`+word+`"}`)
						return
					}
					posted++
					_, _ = io.WriteString(w, `{"ok":true,"channel":"C1","ts":"`+strconv.Itoa(posted)+`.1"}`)
				}))
				t.Cleanup(server.Close)
				s := build(t, slack.Config{
					AppURL: server.URL + "/api/chat.postMessage", AppToken: secret.New(botToken), Channel: "#ops",
					UpdateMessage: new(do == "update"),
				}, receiverstest.Env(t, set(t)))
				d := group(1, nil)
				first, err := s.Send(t.Context(), receiverstest.Render(t, s, d)[0])
				require.NoError(t, err)
				d.Previous = first.Ref
				m := receiverstest.Render(t, s, d)[0]
				m.Previous = first.Ref
				told, _ := readCall(t, m)
				require.Equal(t, do, told)
				again, err := s.Send(t.Context(), m)
				require.NoError(t, err)
				require.Equal(t, "post", again.Detail)
				require.NotEqual(t, first.Ref, again.Ref, "the next follow the new one")
				require.Equal(t, 2, posted)
			})
		}
	}
}

func TestOldNewsChangesNoMessage(t *testing.T) {
	t.Parallel()
	c := newChannel(t, slack.Config{}, sandbox.SlackBot{})
	c.tell(group(1, map[int]relay.Change{0: relay.ChangeNew}))
	c.tell(group(1, map[int]relay.Change{0: relay.ChangeResolved}))
	late := group(1, map[int]relay.Change{0: relay.ChangeNew})
	late.Tellings[0].Late = true
	require.Equal(t, []string{"reply"}, c.tell(late), "a person brought it back from the dead letters")
	heads, _ := c.shown()
	require.Equal(t, green, heads[0].Slack.Attachments[0].Color)
}

func TestThePlainFormTakesTheOthersPlace(t *testing.T) {
	t.Parallel()
	c := newChannel(t, slack.Config{}, sandbox.SlackBot{})
	c.tell(group(1, map[int]relay.Change{0: relay.ChangeNew}))
	plain := group(1, map[int]relay.Change{0: relay.ChangeResolved})
	plain.Plain = true
	require.Equal(t, []string{"update", "reply"}, c.tell(plain))
	heads, _ := c.shown()
	require.Empty(t, heads[0].Slack.Attachments, "of the form before nothing is left")
	require.Contains(t, heads[0].Text, "resolved")
	c.tell(group(1, map[int]relay.Change{0: relay.ChangeNew}))
	heads, _ = c.shown()
	require.Equal(t, red, heads[0].Slack.Attachments[0].Color)
}

func TestWaysToUseABot(t *testing.T) {
	t.Parallel()
	first, second := map[int]relay.Change{0: relay.ChangeNew}, map[int]relay.Change{1: relay.ChangeNew}
	for name, tt := range map[string]struct {
		update, thread bool
		want           []string // of the second delivery
	}{
		"update and thread": {true, true, []string{"update", "reply"}},
		"update":            {true, false, []string{"update"}},
		"thread":            {false, true, []string{"reply"}},
		"neither":           {false, false, []string{"post"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newChannel(t, slack.Config{UpdateMessage: &tt.update, Thread: &tt.thread}, sandbox.SlackBot{})
			require.Equal(t, tt.update || tt.thread, c.setup.Apart)
			require.Equal(t, []string{"post"}, c.tell(group(1, first)))
			require.Equal(t, tt.want, c.tell(group(2, second)))
			heads, replies := c.shown()
			require.Equal(t, tt.thread, len(replies) == 1)
			require.Equal(t, tt.update || tt.thread, len(heads) == 1)
		})
	}
}

func TestABotsChannelIsADestinationOfItsOwn(t *testing.T) {
	t.Parallel()
	c := newChannel(t, slack.Config{Channel: `{{ if eq .CommonLabels.severity "critical" }}#ops{{ else }}pay{{ end }}`}, sandbox.SlackBot{})
	require.Empty(t, c.setup.Limiters)
	d := group(1, nil)
	ops, err := c.setup.Destination(d.Notification())
	require.NoError(t, err)
	d.Notification().CommonLabels["severity"] = "info"
	pay, err := c.setup.Destination(d.Notification())
	require.NoError(t, err)
	require.Equal(t, "#ops", ops.Key)
	require.Equal(t, "pay", pay.Address)
	require.Len(t, ops.Limiters, 1)
	require.NotEqual(t, ops.Limiters, pay.Limiters)
	c.tell(d)
	heads, _ := c.shown()
	require.Equal(t, "pay", heads[0].Group)

	fixed := newChannel(t, slack.Config{}, sandbox.SlackBot{})
	require.Equal(t, ops.Limiters, fixed.setup.Limiters)

	none := newChannel(t, slack.Config{Channel: "{{ .CommonLabels.nothing }}"}, sandbox.SlackBot{})
	_, err = none.setup.Destination(d.Notification())
	require.ErrorContains(t, err, "channel")
}

// A channel may be named by its id, too.
func TestABotsChannelByID(t *testing.T) {
	t.Parallel()
	c := newChannel(t, slack.Config{}, sandbox.SlackBot{})
	c.tell(group(1, nil))
	heads, _ := c.shown()
	byID := build(t, slack.Config{
		AppURL: c.vendor.URL() + "/api/chat.postMessage", AppToken: secret.New(botToken), Channel: heads[0].Slack.Channel,
	}, receiverstest.Env(t, set(t)))
	_, err := byID.Send(t.Context(), receiverstest.Render(t, byID, group(1, nil))[0])
	require.NoError(t, err)
	heads, _ = c.shown()
	require.Equal(t, "ops", heads[1].Group)
}

// A pause that Slack asks of an update is for all updates of the app, whichever replica sends them to whichever channel, and
// for nothing else.
func TestAPauseOfAnUpdate(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status     int
		retryAfter string
		body       string
		want       time.Duration
	}{
		"with a delay":       {http.StatusTooManyRequests, "30", `{"ok":false,"error":"ratelimited"}`, 30 * time.Second},
		"without one":        {http.StatusTooManyRequests, "", `{"ok":false,"error":"ratelimited"}`, time.Second},
		"within a 200":       {http.StatusOK, "30", `{"ok":false,"error":"ratelimited"}`, 30 * time.Second},
		"within a 200, bare": {http.StatusOK, "", `{"ok":false,"error":"ratelimited"}`, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := receiverstest.HTTPVendor(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/api/chat.update" {
					receiverstest.Answer(http.StatusOK, `{"ok":true,"channel":"C1","ts":"1.1"}`)(w, r)
					return
				}
				if tt.retryAfter != "" {
					w.Header().Set("Retry-After", tt.retryAfter)
				}
				receiverstest.Answer(tt.status, tt.body)(w, r)
			})(t)
			stage := receiverstest.NewStage(t, set(t))
			replicas := map[string]relay.Setup{}
			for _, channel := range []string{"#ops", "#pay"} {
				replicas[channel] = build(t, slack.Config{
					AppURL: target + "/api/chat.postMessage", AppToken: secret.New(botToken), Channel: channel,
				}, stage.Env())
			}
			update := func(channel string) (wait time.Duration, send func() error) {
				s := replicas[channel]
				d := group(1, nil)
				first, err := s.Send(t.Context(), receiverstest.Render(t, s, d)[0])
				require.NoError(t, err)
				require.False(t, first.NoSlot, "a post takes a slot of its channel")
				d.Previous = first.Ref
				messages := receiverstest.Render(t, s, d)
				require.True(t, messages[0].OwnRate)
				require.False(t, messages[1].OwnRate, "the reply")
				wait, err = s.Integration.(relay.Pacer).Wait(t.Context(), messages[0])
				require.NoError(t, err)
				return wait, func() error {
					_, err := s.Send(t.Context(), messages[0])
					return err
				}
			}
			wait, send := update("#ops")
			require.Zero(t, wait)
			err := send()
			require.Equal(t, relay.RateLimited, relay.KindOf(err))
			require.Equal(t, tt.want, relay.RetryAfter(err))
			require.True(t, relay.Paced(err))
			wait, _ = update("#pay")
			require.Equal(t, tt.want, wait)
			stage.Advance(tt.want)
			wait, _ = update("#pay")
			require.Zero(t, wait)
		})
	}
}

// lockless is a cache that cannot count.
type lockless struct{ relay.Cache }

func (lockless) Lock(context.Context, string, time.Duration) (func(), error) {
	return nil, errors.New("store is down")
}

// A pause that only the channel can keep: of a post in the place of a message that has gone, or of an update that cannot be
// noted for the others.
func TestAPauseOfTheChannel(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		gone  bool
		cache func(relay.Cache) relay.Cache
	}{
		"a post in the place of a message that has gone": {
			gone: true, cache: func(c relay.Cache) relay.Cache { return c },
		},
		"an update that cannot be noted": {cache: func(c relay.Cache) relay.Cache { return lockless{c} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := receiverstest.HTTPVendor(func(w http.ResponseWriter, r *http.Request) {
				if tt.gone && r.URL.Path == "/api/chat.update" {
					receiverstest.Answer(http.StatusOK, `{"ok":false,"error":"message_not_found"}`)(w, r)
					return
				}
				w.Header().Set("Retry-After", "30")
				receiverstest.Answer(http.StatusTooManyRequests, `{"ok":false,"error":"ratelimited"}`)(w, r)
			})(t)
			env := receiverstest.NewStage(t, set(t)).Env()
			env.Cache = tt.cache(env.Cache)
			s := build(t, slack.Config{
				AppURL: target + "/api/chat.postMessage", AppToken: secret.New(botToken), Channel: "#ops",
			}, env)
			d := group(1, nil)
			at := map[string]string{"channel": "C1", "ts": "1.1"}
			d.Previous = living.New(at, receiverstest.Now).Ref(receiverstest.Now)
			m := receiverstest.Render(t, s, d)[0]
			m.Previous = d.Previous
			require.True(t, m.OwnRate)
			_, err := s.Send(t.Context(), m)
			require.Equal(t, relay.RateLimited, relay.KindOf(err))
			require.Equal(t, 30*time.Second, relay.RetryAfter(err))
			require.False(t, relay.Paced(err))
		})
	}
}

func TestTheSandboxRefusesABot(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		config slack.Config
		bot    sandbox.SlackBot
		sends  int
		want   relay.Kind
		after  time.Duration
	}{
		"revoked":              {bot: sandbox.SlackBot{Refuse: "token_revoked"}, sends: 1, want: relay.Misconfigured},
		"scope":                {bot: sandbox.SlackBot{Refuse: "missing_scope"}, sends: 1, want: relay.Misconfigured},
		"no channel":           {config: slack.Config{Channel: "#nowhere"}, sends: 1, want: relay.Misconfigured},
		"archived":             {bot: sandbox.SlackBot{Archived: []string{"ops"}}, sends: 1, want: relay.Misconfigured},
		"too fast":             {bot: sandbox.SlackBot{Posts: sandbox.SlackPostRate()}, sends: 2, want: relay.RateLimited, after: time.Second},
		"too fast, no delay":   {bot: sandbox.SlackBot{Posts: sandbox.SlackPostRate(), BareRate: true}, sends: 2, want: relay.RateLimited, after: time.Second},
		"too fast, within 200": {bot: sandbox.SlackBot{Posts: sandbox.SlackPostRate(), RateInBody: true}, sends: 2, want: relay.RateLimited, after: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newChannel(t, tt.config, tt.bot)
			if tt.bot.Posts != (sandbox.Limit{}) {
				tt.bot.Token, tt.bot.Channels = botToken, []string{"ops"}
				c.vendor.SlackAPI.Add(tt.bot)
			}
			m := receiverstest.Render(t, c.setup, group(1, nil))[0]
			for range tt.sends - 1 {
				_, err := c.setup.Send(t.Context(), m)
				require.NoError(t, err)
			}
			_, err := c.setup.Send(t.Context(), m)
			require.Equal(t, tt.want, relay.KindOf(err), "%v", err)
			require.Equal(t, tt.after, relay.RetryAfter(err))
		})
	}
}

// TestBotGolden: what a bot says of each notification, first where its group has no message yet, then where it has one.
func TestBotGolden(t *testing.T) {
	t.Parallel()
	env := receiverstest.Env(t, set(t))
	lives := living.New(map[string]string{"channel": "C0OPS", "ts": "1700000000.000100"}, receiverstest.Now).Ref(receiverstest.Now)
	for _, locale := range []string{relay.LocaleChinese, relay.LocaleEnglish} {
		for _, story := range receiverstest.Stories() {
			t.Run(story+"/"+locale, func(t *testing.T) {
				t.Parallel()
				s := build(t, slack.Config{
					Common: relay.Common{Locale: locale, MaxParts: 2}, AppURL: "https://example.com/api/chat.postMessage",
					AppToken: secret.New(botToken), Channel: "#ops",
				}, env)
				var messages []relay.Message
				for _, before := range []relay.Ref{"", lives} {
					d := receiverstest.Story(t, story)
					d.Previous = before
					for _, m := range receiverstest.Render(t, s, d) {
						_, say := readCall(t, m)
						check(t, relay.Message{Body: say, Text: m.Text})
						messages = append(messages, m)
					}
				}
				receiverstest.Golden(t, filepath.Join("bot", story+"."+locale), messages, *update)
			})
		}
	}
}

func TestABotsCallsAreAsRecorded(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		locale  string
		stories []relay.Delivery // of one group, one after the other
	}{
		"bot.en": {relay.LocaleEnglish, []relay.Delivery{
			group(1, map[int]relay.Change{0: relay.ChangeNew}),
			group(2, map[int]relay.Change{0: relay.ChangeResolved, 1: relay.ChangeNew}),
			group(1, map[int]relay.Change{0: relay.ChangeResolved}),
		}},
		"bot.zh-CN": {relay.LocaleChinese, []relay.Delivery{
			receiverstest.Story(t, "hostile"), receiverstest.Story(t, "50-alerts"), receiverstest.Story(t, "merged"),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls bytes.Buffer
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				calls.WriteString(r.Method + " " + r.URL.Path + "\n")
				calls.WriteString("Content-Type: " + r.Header.Get("Content-Type") + "\n")
				if r.Header.Get("Authorization") != "Bearer "+botToken {
					t.Error("the token is missing")
				}
				if json.Indent(&calls, body, "", "  ") != nil {
					t.Error("no JSON")
				}
				calls.WriteString("\n")
				_, _ = io.WriteString(w, `{"ok":true,"channel":"C0OPS","ts":"1700000000.000100","message":{"text":"`)
			}))
			t.Cleanup(server.Close)
			s := build(t, slack.Config{
				Common: relay.Common{Locale: tt.locale, MaxParts: 2},
				AppURL: server.URL + "/api/chat.postMessage", AppToken: secret.New(botToken), Channel: "#ops",
			}, receiverstest.Env(t, set(t)))
			var ref relay.Ref
			for _, d := range tt.stories {
				d.Previous = ref
				for _, m := range receiverstest.Render(t, s, d) {
					_, say := readCall(t, m)
					check(t, relay.Message{Body: say, Text: m.Text})
					m.Previous = ref
					receipt, err := s.Send(t.Context(), m)
					require.NoError(t, err, "an answer that is cut off behind what counts")
					ref = receipt.Ref
				}
			}
			golden := filepath.Join("testdata", name+".golden.txt")
			if *update {
				require.NoError(t, os.WriteFile(golden, calls.Bytes(), 0o600))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), calls.String())
		})
	}
}

func TestANewTokenNeedsNoReload(t *testing.T) {
	t.Parallel()
	var shown []string
	target := receiverstest.HTTPVendor(func(w http.ResponseWriter, r *http.Request) {
		shown = append(shown, r.Header.Get("Authorization"))
		receiverstest.Answer(http.StatusOK, `{"ok":true,"channel":"C1","ts":"1.1"}`)(w, r)
	})(t)
	file := filepath.Join(t.TempDir(), "slack.token")
	require.NoError(t, os.WriteFile(file, []byte("xoxb-1\n"), 0o600))
	s := build(t, slack.Config{
		AppURL: target + "/api/chat.postMessage", AppTokenFile: secret.File(file), Channel: "#ops",
	}, receiverstest.Env(t, set(t)))
	m := receiverstest.Render(t, s, group(1, nil))[0]
	for _, token := range []string{"xoxb-1", "xoxb-2"} {
		require.NoError(t, os.WriteFile(file, []byte(token), 0o600))
		_, err := s.Send(t.Context(), m)
		require.NoError(t, err)
	}
	require.Equal(t, []string{"Bearer xoxb-1", "Bearer xoxb-2"}, shown)
	require.NoError(t, os.Remove(file))
	_, err := s.Send(t.Context(), m)
	require.Equal(t, relay.Misconfigured, relay.KindOf(err))
}
