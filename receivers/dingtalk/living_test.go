package dingtalk_test

import (
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/sandbox"
	"github.com/alertrelay/relay/receivers/receiverstest"
)

// stage is an application in the sandbox, on a clock that only the test moves.
type stage struct {
	*sandbox.Sandbox

	t   *testing.T
	api string
	mu  sync.Mutex
	now time.Time
	env relay.Env
	log *strings.Builder
}

func newStage(t *testing.T, change ...func(*sandbox.DingTalkApp)) *stage {
	t.Helper()
	s := &stage{t: t, now: receiverstest.Now, env: receiverstest.Env(t, words(t)), log: &strings.Builder{}}
	s.env.Now, s.env.Cache = s.Now, receiverstest.NewCache(s.Now)
	s.env.Logger = slog.New(slog.NewTextHandler(s.log, nil))
	var err error
	s.Sandbox, err = sandbox.Start(sandbox.Options{Now: s.Now})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	a := sandbox.DingTalkApp{
		Key: "dingkey1", Secret: appSecret, RobotCode: "dingkey1", Robot: "Alerts",
		Groups: map[string]string{groupID: "Order service"}, Templates: []string{"alert.schema"}, Limit: sandbox.NoLimit(),
	}
	for _, f := range change {
		f(&a)
	}
	s.api = s.DingTalk.AddApp(a)
	return s
}

func (s *stage) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *stage) advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

// tell sends a delivery as deliver does: with the handle of the one before, and once more when the token is stale.
func (s *stage) tell(setup relay.Setup, payload, id string, ref relay.Ref) (relay.Ref, error) {
	s.t.Helper()
	d := receiverstest.Story(s.t, payload)
	d.ID += id
	d.Previous, d.Now = ref, s.Now()
	for _, m := range renderTo(s.t, setup, d) {
		receipt, err := setup.Send(s.t.Context(), m)
		if relay.KindOf(err) == relay.TokenExpired {
			receipt, err = setup.Send(s.t.Context(), m)
		}
		if err != nil {
			return ref, err
		}
		if receipt.Ref != "" {
			ref = receipt.Ref
		}
	}
	return ref, nil
}

func (s *stage) inbox() []sandbox.Message { return s.Inbox(sandbox.InboxDingTalk) }

// One incident is one card: it fires, grows, merges, and says in the end that all is well. When it fires again that is
// another one.
func TestCardLives(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	setup := buildApp(t, application("card"), s.env, s.api)
	var ref relay.Ref
	var err error
	for n, story := range []string{"firing", "mixed", "merged", "resolved"} {
		ref, err = s.tell(setup, story, story, ref)
		require.NoError(t, err)
		require.Len(t, s.inbox(), 1, story)
		require.Equal(t, n, s.inbox()[0].Updates)
		s.advance(time.Hour)
		setup = buildApp(t, application("card"), s.env, s.api) // a restart, or another replica
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
		"a day of silence": func(s *stage) { s.advance(24 * time.Hour) },
		"deleted":          func(s *stage) { s.DingTalk.Forget() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			setup := buildApp(t, application("card"), s.env, s.api)
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
	setup := buildApp(t, application("card"), s.env, s.api)
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
	setup := buildApp(t, application("card"), s.env, s.api)
	d := receiverstest.Story(t, "firing")
	d.Now = s.Now()
	m := renderTo(t, setup, d)[0]
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
		s.advance(time.Minute)
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
	setup := buildApp(t, application("card"), s.env, s.api)
	ref, err := s.tell(setup, "mixed", "a", "")
	require.NoError(t, err)
	d := receiverstest.Story(t, "firing")
	d.Tellings[0].Late, d.Previous, d.Now = true, ref, s.Now()
	for _, m := range renderTo(t, setup, d) {
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
				setup := buildApp(t, c, s.env, s.api)
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
			_, err := s.tell(buildApp(t, application("text"), s.env, s.api), "firing", "a", "")
			require.Equal(t, tt.want, relay.KindOf(err), "%s", err)
			require.NotContains(t, err.Error(), appSecret)
		})
	}
}

// Twenty replicas meet a token that has expired, or was taken back: one of them fetches another, and all get through.
func TestOneRefreshForAllReplicas(t *testing.T) {
	t.Parallel()
	for name, stale := range map[string]func(*stage){
		"expired": func(s *stage) { s.advance(sandbox.DingTalkTokenLife - time.Second) },
		"revoked": func(s *stage) { s.DingTalk.Revoke() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			replicas := make([]relay.Setup, 20)
			for n := range replicas {
				replicas[n] = buildApp(t, application("text"), s.env, s.api)
			}
			_, err := s.tell(replicas[0], "firing", "first", "")
			require.NoError(t, err)
			stale(s)
			var all sync.WaitGroup
			errs := make([]error, len(replicas))
			for n, setup := range replicas {
				all.Go(func() { _, errs[n] = s.tell(setup, "firing", strconv.Itoa(n), "") })
			}
			all.Wait()
			for _, err := range errs {
				require.NoError(t, err)
			}
			require.Equal(t, 2, s.DingTalk.Issued(), "the first and one refresh")
			require.Equal(t, 21, s.Counts(sandbox.InboxDingTalk).Delivered)
		})
	}
}

// While the token endpoint is down everything waits, and the log says it once.
func TestTokenEndpointIsDown(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	setup := buildApp(t, application("text"), s.env, s.api)
	s.DingTalk.Break(sandbox.AccountToken, sandbox.FaultStatus(503))
	for range 50 {
		_, err := s.tell(setup, "firing", "a", "")
		require.Equal(t, relay.Transient, relay.KindOf(err))
	}
	require.Equal(t, 1, strings.Count(s.log.String(), "\n"), s.log.String())
	require.Len(t, s.Requests(sandbox.InboxDingTalk), 1)
	s.DingTalk.Repair(sandbox.AccountToken)
	s.advance(10 * time.Second)
	_, err := s.tell(setup, "firing", "a", "")
	require.NoError(t, err)
	require.NotContains(t, s.log.String(), appSecret)
}
