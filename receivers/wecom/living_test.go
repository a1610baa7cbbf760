package wecom_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/sandbox"
	"github.com/alertrelay/relay/receivers/receiverstest"
)

// stage is an application in the sandbox.
type stage struct {
	*sandbox.Sandbox
	*receiverstest.Stage

	t   *testing.T
	api string
}

func newStage(t *testing.T, change ...func(*sandbox.WeComApp)) *stage {
	t.Helper()
	s := &stage{t: t, Stage: receiverstest.NewStage(t, words(t))}
	s.Sandbox, s.api = startApp(t, s.Now, change...)
	return s
}

// startApp starts the application, and returns where its API is.
func startApp(t *testing.T, now func() time.Time, change ...func(*sandbox.WeComApp)) (*sandbox.Sandbox, string) {
	t.Helper()
	box, err := sandbox.Start(sandbox.Options{Now: now})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, box.Close()) })
	a := sandbox.WeComApp{CorpID: "ww1", AgentID: 1000002, Secret: corpSecret, Name: "Alerts"}
	for _, f := range change {
		f(&a)
	}
	return box, box.WeCom.AddApp(a)
}

func (s *stage) tell(setup relay.Setup, d relay.Delivery, ref relay.Ref) (relay.Ref, error) {
	s.t.Helper()
	return s.Tell(s.t, setup, d, ref)
}

func (s *stage) inbox() []sandbox.Message { return s.Inbox(sandbox.InboxWeCom) }

// told is a delivery of a payload with an id of its own.
func told(t *testing.T, payload, id string) relay.Delivery {
	t.Helper()
	d := receiverstest.Delivery(t, payload)
	d.ID += id
	return d
}

// One incident: it fires, grows and is resolved, which turns its cards green; when it fires again that is another one.
func TestCardIsUpdatedWhenAllIsWell(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	setup := buildApp(t, app("template_card"), s.Env(), s.api)
	ref, err := s.tell(setup, told(t, "single-firing", "a"), "")
	require.NoError(t, err)
	require.NotEmpty(t, ref)
	s.Advance(time.Hour)
	ref, err = s.tell(setup, told(t, "mixed-2", "b"), ref)
	require.NoError(t, err)
	require.Len(t, s.inbox(), 2)

	setup = buildApp(t, app("template_card"), s.Env(), s.api) // a restart, or another replica
	ref, err = s.tell(setup, told(t, "single-resolved", "c"), ref)
	require.NoError(t, err)
	require.Len(t, s.inbox(), 2, "updated, and not told again")
	for _, m := range s.inbox() {
		require.Equal(t, 1, m.Updates)
		require.Equal(t, 3, m.Card.Source.Color, "green")
		require.Contains(t, m.Title, "已恢复")
		require.Empty(t, m.Flags)
	}

	_, err = s.tell(setup, told(t, "single-firing", "d"), ref)
	require.NoError(t, err)
	require.Len(t, s.inbox(), 3, "another incident")
	require.Zero(t, s.inbox()[2].Updates)
}

// A card that cannot be updated any more is followed by another.
func TestCardThatIsTooOld(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		before func(*stage, relay.Setup, relay.Ref)
		maxAge time.Duration
		after  time.Duration
	}{
		"a day of silence": {after: 24 * time.Hour},
		"max_age":          {after: time.Hour, maxAge: time.Hour},
		"updated by somebody else": {before: func(s *stage, setup relay.Setup, ref relay.Ref) {
			_, err := s.tell(setup, told(s.t, "single-resolved", "x"), ref)
			require.NoError(s.t, err)
		}},
		"deleted":                       {before: func(s *stage, _ relay.Setup, _ relay.Ref) { s.WeCom.Forget() }},
		"the handle of another version": {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			c := app("template_card")
			if tt.maxAge > 0 {
				require.NoError(t, c.MaxAge.Set(tt.maxAge.String()))
			}
			setup := buildApp(t, c, s.Env(), s.api)
			ref, err := s.tell(setup, told(t, "single-firing", "a"), "")
			require.NoError(t, err)
			if tt.before != nil {
				tt.before(s, setup, ref)
			}
			if name == "the handle of another version" {
				ref = `{"codes":"?`
			}
			s.Advance(tt.after)
			_, err = s.tell(setup, told(t, "single-resolved", "c"), ref)
			require.NoError(t, err)
			require.Len(t, s.inbox(), 2)
			require.Contains(t, s.inbox()[1].Title, "已恢复")
		})
	}
}

// What no update reaches is followed by a message that says how it ended; the cards turn green as well.
func TestMoreThanACardIsToldWhenAllIsWell(t *testing.T) {
	t.Parallel()
	for name, grow := range map[string]func(*relay.Delivery){
		"several parts": func(d *relay.Delivery) { d.Tellings = receiverstest.Many(20).Tellings },
		"plain":         func(d *relay.Delivery) { d.Plain = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			c := app("template_card")
			c.MaxParts = 2
			setup := buildApp(t, c, s.Env(), s.api)
			ref, err := s.tell(setup, told(t, "single-firing", "a"), "")
			require.NoError(t, err)
			grown := told(t, "single-firing", "b")
			grow(&grown)
			ref, err = s.tell(setup, grown, ref)
			require.NoError(t, err)
			before := len(s.inbox())
			require.Greater(t, before, 1)
			_, err = s.tell(setup, told(t, "single-resolved", "c"), ref)
			require.NoError(t, err)
			require.Len(t, s.inbox(), before+1)
			require.Contains(t, s.inbox()[before].Title, "已恢复")
			require.Equal(t, 1, s.inbox()[0].Updates)
			require.Contains(t, s.inbox()[0].Title, "已恢复")
		})
	}
}

// How it ended may take several messages: the cards become the first of them.
func TestCardIsUpdatedBySeveralMessages(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := app("template_card")
	c.MaxParts = 2
	setup := buildApp(t, c, s.Env(), s.api)
	ref, err := s.tell(setup, told(t, "single-firing", "a"), "")
	require.NoError(t, err)
	end := receiverstest.Many(20)
	end.Notification().Status = relay.StatusResolved
	for n := range end.Notification().Alerts {
		end.Notification().Alerts[n].Status = relay.StatusResolved
	}
	_, err = s.tell(setup, end, ref)
	require.NoError(t, err)
	require.Len(t, s.inbox(), 3)
	require.Equal(t, 1, s.inbox()[0].Updates)
}

// What a person brings back from the dead letters is a message of its own, whatever the cards show by now.
func TestCardIsNotOverwrittenByOldNews(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	setup := buildApp(t, app("template_card"), s.Env(), s.api)
	ref, err := s.tell(setup, told(t, "single-firing", "a"), "")
	require.NoError(t, err)
	late := told(t, "single-resolved", "old")
	late.Tellings[0].Late = true
	kept, err := s.tell(setup, late, ref)
	require.NoError(t, err)
	require.Equal(t, ref, kept)
	require.Len(t, s.inbox(), 2)
	require.Zero(t, s.inbox()[0].Updates)
	_, err = s.tell(setup, told(t, "single-resolved", "b"), kept)
	require.NoError(t, err)
	require.Len(t, s.inbox(), 2)
	require.Equal(t, 1, s.inbox()[0].Updates)
}

// Whatever the message type, the vendor takes all of it, and ignores or cuts nothing; to members and to a chat.
func TestSandboxTakesApps(t *testing.T) {
	t.Parallel()
	chat := app("markdown")
	chat.ToUser, chat.ChatID = "", "room"
	for _, c := range append(appsOfEachType(), chat) {
		t.Run(nameOf(c)+c.ChatID, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, func(a *sandbox.WeComApp) { a.Chats = []string{"room"} })
			setup := buildApp(t, c, s.Env(), s.api)
			for _, story := range receiverstest.Stories() {
				d := receiverstest.Story(t, story)
				d.ID += story
				_, err := s.tell(setup, d, "")
				require.NoError(t, err, story)
				s.Advance(time.Minute)
			}
			kinds := map[string]int{}
			for _, m := range s.inbox() {
				require.Empty(t, m.Flags, m.Text)
				kinds[m.Type]++
			}
			require.Positive(t, kinds[c.MessageType], kinds)
			require.Equal(t, 1, s.WeCom.Issued(), "one token serves all")
		})
	}
}

// A message whose answer was lost is not shown twice; one that reads the same and is another notification is shown.
func TestDuplicateCheck(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	setup := buildApp(t, app("text"), s.Env(), s.api)
	s.WeCom.Inject(sandbox.AccountApp, sandbox.FaultDeliverThenClose())
	_, err := s.tell(setup, told(t, "single-firing", "a"), "")
	require.Equal(t, relay.Transient, relay.KindOf(err))
	_, err = s.tell(setup, told(t, "single-firing", "a"), "")
	require.NoError(t, err)
	require.Len(t, s.inbox(), 1)
	_, err = s.tell(setup, told(t, "single-firing", "b"), "")
	require.NoError(t, err)
	require.Len(t, s.inbox(), 2)
}

// Those who could not get a message are told in the history; the others have it.
func TestPartOfTheRecipients(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(a *sandbox.WeComApp) {
		a.Members, a.Parties, a.Tags = []string{"alice"}, []string{"1"}, []string{"1"}
	})
	c := app("text")
	c.ToUser, c.ToParty, c.ToTag = "Alice|Carol", "1|7", "9"
	setup := buildApp(t, c, s.Env(), s.api)
	receipt, err := setup.Send(t.Context(), receiverstest.Render(t, setup, told(t, "single-firing", "a"))[0])
	require.NoError(t, err)
	require.Equal(t, map[string]string{"user carol": "invaliduser", "party 7": "invalidparty", "tag 9": "invalidtag"}, receipt.Refused)
	require.Equal(t, []string{"alice"}, s.inbox()[0].Mentioned)

	c.ToUser, c.ToParty, c.ToTag = "carol", "", ""
	setup = buildApp(t, c, s.Env(), s.api)
	_, err = setup.Send(t.Context(), receiverstest.Render(t, setup, told(t, "single-firing", "b"))[0])
	require.Equal(t, relay.Refused, relay.KindOf(err))
}

func TestAppRefusals(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*sandbox.WeComApp)
		want   relay.Kind
	}{
		"another secret":      {func(a *sandbox.WeComApp) { a.Secret = "other" }, relay.Misconfigured},
		"another agent":       {func(a *sandbox.WeComApp) { a.AgentID = 7 }, relay.Misconfigured},
		"another corporation": {func(a *sandbox.WeComApp) { a.CorpID = "ww2" }, relay.Misconfigured},
		"address not trusted": {func(a *sandbox.WeComApp) { a.CIDRs = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }, relay.Misconfigured},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, tt.change)
			_, err := s.tell(buildApp(t, app("text"), s.Env(), s.api), told(t, "single-firing", "a"), "")
			require.Equal(t, tt.want, relay.KindOf(err), "%s", err)
			require.NotContains(t, err.Error(), corpSecret)
		})
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	for name, as40014 := range map[string]bool{"42001": false, "40014": true} { // what WeCom calls a stale one
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			receiverstest.RunTokens(t, words(t), func(t *testing.T, now func() time.Time) receiverstest.TokenVendor {
				t.Helper()
				box, api := startApp(t, now, func(a *sandbox.WeComApp) { a.ExpiredAs40014 = as40014 })
				return receiverstest.TokenVendor{
					New:     func(env relay.Env) relay.Setup { return buildApp(t, app("text"), env, api) },
					Life:    sandbox.WeComTokenLife,
					Revoke:  box.WeCom.Revoke,
					Break:   func() { box.WeCom.Break(sandbox.AccountToken, sandbox.FaultStatus(503)) },
					Repair:  func() { box.WeCom.Repair(sandbox.AccountToken) },
					Hang:    func(c <-chan struct{}) { box.WeCom.Inject(sandbox.AccountToken, sandbox.FaultHang(c)) },
					Calls:   func() int { return len(box.Requests(sandbox.InboxWeCom)) },
					Issued:  box.WeCom.Issued,
					Told:    func() int { return len(box.Inbox(sandbox.InboxWeCom)) },
					Secrets: []string{corpSecret},
				}
			})
		})
	}
}
