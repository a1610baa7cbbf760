package dingtalk_test

import (
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

func newStage(t *testing.T, change ...func(*sandbox.DingTalkApp)) *stage {
	t.Helper()
	s := &stage{t: t, Stage: receiverstest.NewStage(t, words(t))}
	s.Sandbox, s.api = startApp(t, s.Now, change...)
	return s
}

// startApp starts the application, and returns where its API is.
func startApp(t *testing.T, now func() time.Time, change ...func(*sandbox.DingTalkApp)) (*sandbox.Sandbox, string) {
	t.Helper()
	box, err := sandbox.Start(sandbox.Options{Now: now})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, box.Close()) })
	a := sandbox.DingTalkApp{
		Key: "dingkey1", Secret: appSecret, RobotCode: "dingkey1", Robot: "Alerts",
		Groups: map[string]string{groupID: "Order service"}, Templates: []string{"alert.schema"}, Limit: sandbox.NoLimit(),
	}
	for _, f := range change {
		f(&a)
	}
	return box, box.DingTalk.AddApp(a)
}

// tell sends a delivery of a story with an id of its own.
func (s *stage) tell(setup relay.Setup, story, id string, ref relay.Ref) (relay.Ref, error) {
	s.t.Helper()
	d := receiverstest.Story(s.t, story)
	d.ID += id
	return s.Tell(s.t, setup, d, ref)
}

func (s *stage) inbox() []sandbox.Message { return s.Inbox(sandbox.InboxDingTalk) }

// One incident is one card: it fires, grows, merges, and says in the end that all is well. When it fires again that is
// another one.
func TestCardLives(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	setup := buildApp(t, application("card"), s.Env(), s.api)
	var ref relay.Ref
	var err error
	for n, story := range []string{"firing", "mixed", "merged", "resolved"} {
		ref, err = s.tell(setup, story, story, ref)
		require.NoError(t, err)
		require.Len(t, s.inbox(), 1, story)
		require.Equal(t, n, s.inbox()[0].Updates)
		s.Advance(time.Hour)
		setup = buildApp(t, application("card"), s.Env(), s.api) // a restart, or another replica
	}
	card := s.inbox()[0]
	require.Equal(t, "resolved", card.Params["status"])
	require.Contains(t, card.Title, "已恢复")
	require.Empty(t, card.Flags)

	_, err = s.tell(setup, "firing", "again", ref)
	require.NoError(t, err)
	require.Len(t, s.inbox(), 2, "another incident")
}

// A card that is too old or gone is followed by another.
func TestCardThatIsGone(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(*stage){
		"a day of silence": func(s *stage) { s.Advance(24 * time.Hour) },
		"deleted":          func(s *stage) { s.DingTalk.Forget() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			setup := buildApp(t, application("card"), s.Env(), s.api)
			ref, err := s.tell(setup, "firing", "a", "")
			require.NoError(t, err)
			before(s)
			ref, err = s.tell(setup, "mixed", "b", ref)
			require.NoError(t, err)
			require.Len(t, s.inbox(), 2)
			_, err = s.tell(setup, "resolved", "c", ref)
			require.NoError(t, err)
			require.Len(t, s.inbox(), 2, "the new one lives on")
		})
	}
}

// A card whose answer was lost is not sent twice.
func TestCardOfUnknownOutcome(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	setup := buildApp(t, application("card"), s.Env(), s.api)
	s.DingTalk.Inject(sandbox.AccountApp, sandbox.FaultDeliverThenClose())
	_, err := s.tell(setup, "firing", "a", "")
	require.Equal(t, relay.Transient, relay.KindOf(err))
	ref, err := s.tell(setup, "firing", "a", "")
	require.NoError(t, err)
	require.NotEmpty(t, ref)
	require.Len(t, s.inbox(), 1)
}

// A card that DingTalk made and delivered to nobody is sent as another one.
func TestCardThatIsNotDelivered(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	setup := buildApp(t, application("card"), s.Env(), s.api)
	d := receiverstest.Story(t, "firing")
	d.Now = s.Now()
	m := receiverstest.Render(t, setup, d)[0]
	for range 2 {
		s.DingTalk.Lose()
		receipt, err := setup.Send(t.Context(), m)
		require.NoError(t, err)
		require.Contains(t, receipt.Detail, "card not delivered")
		require.NotNil(t, receipt.Again)
		require.Empty(t, receipt.Ref)
		require.Empty(t, s.inbox())
		require.Equal(t, m.ID, receipt.Again.ID)
		m = *receipt.Again
		s.Advance(time.Minute)
	}
	receipt, err := setup.Send(t.Context(), m)
	require.NoError(t, err)
	require.Nil(t, receipt.Again)
	require.Len(t, s.inbox(), 1)
	_, err = s.tell(setup, "resolved", "b", receipt.Ref)
	require.NoError(t, err)
	require.Len(t, s.inbox(), 1)
	require.Equal(t, 1, s.inbox()[0].Updates, "the card that is seen lives on")
}

// What a person brings back from the dead letters is a message of its own, whatever the card shows by now.
func TestCardIsNotOverwrittenByOldNews(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	setup := buildApp(t, application("card"), s.Env(), s.api)
	ref, err := s.tell(setup, "mixed", "a", "")
	require.NoError(t, err)
	d := receiverstest.Story(t, "firing")
	d.Tellings[0].Late, d.Previous, d.Now = true, ref, s.Now()
	for _, m := range receiverstest.Render(t, setup, d) {
		receipt, err := setup.Send(t.Context(), m)
		require.NoError(t, err)
		require.Empty(t, receipt.Ref, "the handle stays")
	}
	require.Len(t, s.inbox(), 2)
	require.Zero(t, s.inbox()[0].Updates)
	require.Equal(t, "markdown", s.inbox()[1].Type)
}

// Whatever the message type, the vendor takes all of it, and ignores none of its fields.
func TestSandboxTakesApps(t *testing.T) {
	t.Parallel()
	for _, c := range applications() {
		for _, layout := range []string{"vertical", "horizontal"} {
			if c.MessageType == "actionCard" {
				c.ButtonLayout = layout
			}
			t.Run(c.MessageType+c.ButtonLayout, func(t *testing.T) {
				t.Parallel()
				s := newStage(t)
				setup := buildApp(t, c, s.Env(), s.api)
				for _, story := range receiverstest.Stories() {
					_, err := s.tell(setup, story, story, "")
					require.NoError(t, err, story)
				}
				kinds := map[string]int{}
				for _, m := range s.inbox() {
					require.Empty(t, m.Flags, m.Text)
					kinds[m.Type]++
				}
				require.Positive(t, kinds[c.MessageType], kinds)
				require.Equal(t, 1, s.DingTalk.Issued(), "one token serves all")
			})
		}
	}
}

func TestAppRefusals(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*sandbox.DingTalkApp)
		want   relay.Kind
	}{
		"another secret": {func(a *sandbox.DingTalkApp) { a.Secret = "other" }, relay.Misconfigured},
		"another robot":  {func(a *sandbox.DingTalkApp) { a.RobotCode = "other" }, relay.Misconfigured},
		"stopped":        {func(a *sandbox.DingTalkApp) { a.Stopped = true }, relay.Misconfigured},
		"another group":  {func(a *sandbox.DingTalkApp) { a.Groups = nil }, relay.Misconfigured},
		"too fast":       {func(a *sandbox.DingTalkApp) { a.Limit = sandbox.Limit{Per: time.Minute} }, relay.RateLimited},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, func(a *sandbox.DingTalkApp) {
				a.Limit = sandbox.NoLimit()
				tt.change(a)
			})
			_, err := s.tell(buildApp(t, application("text"), s.Env(), s.api), "firing", "a", "")
			require.Equal(t, tt.want, relay.KindOf(err), "%s", err)
			require.NotContains(t, err.Error(), appSecret)
		})
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	receiverstest.RunTokens(t, words(t), func(t *testing.T, now func() time.Time) receiverstest.TokenVendor {
		t.Helper()
		box, api := startApp(t, now)
		return receiverstest.TokenVendor{
			New:     func(env relay.Env) relay.Setup { return buildApp(t, application("text"), env, api) },
			Life:    sandbox.DingTalkTokenLife,
			Revoke:  box.DingTalk.Revoke,
			Break:   func() { box.DingTalk.Break(sandbox.AccountToken, sandbox.FaultStatus(503)) },
			Repair:  func() { box.DingTalk.Repair(sandbox.AccountToken) },
			Hang:    func(c <-chan struct{}) { box.DingTalk.Inject(sandbox.AccountToken, sandbox.FaultHang(c)) },
			Calls:   func() int { return len(box.Requests(sandbox.InboxDingTalk)) },
			Issued:  box.DingTalk.Issued,
			Told:    func() int { return len(box.Inbox(sandbox.InboxDingTalk)) },
			Secrets: []string{appSecret},
		}
	})
}
