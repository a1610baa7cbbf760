package wecom_test

import (
	"context"
	"log/slog"
	"net/netip"
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

func newStage(t *testing.T, change ...func(*sandbox.WeComApp)) *stage {
	t.Helper()
	s := &stage{t: t, now: receiverstest.Now, env: receiverstest.Env(t, words(t)), log: &strings.Builder{}}
	s.env.Now, s.env.Cache = s.Now, receiverstest.NewCache(s.Now)
	s.env.Logger = slog.New(slog.NewTextHandler(s.log, nil))
	var err error
	s.Sandbox, err = sandbox.Start(sandbox.Options{Now: s.Now})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	a := sandbox.WeComApp{CorpID: "ww1", AgentID: 1000002, Secret: corpSecret, Name: "Alerts"}
	for _, f := range change {
		f(&a)
	}
	s.api = s.WeCom.AddApp(a)
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
func (s *stage) tell(setup relay.Setup, d relay.Delivery, ref relay.Ref) (relay.Ref, error) {
	s.t.Helper()
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
	setup := buildApp(t, app("template_card"), s.env, s.api)
	ref, err := s.tell(setup, told(t, "single-firing", "a"), "")
	require.NoError(t, err)
	require.NotEmpty(t, ref)
	s.advance(time.Hour)
	ref, err = s.tell(setup, told(t, "mixed-2", "b"), ref)
	require.NoError(t, err)
	require.Len(t, s.inbox(), 2)

	setup = buildApp(t, app("template_card"), s.env, s.api) // a restart, or another replica
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
		"the handle of another version": {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			c := app("template_card")
			if tt.maxAge > 0 {
				require.NoError(t, c.MaxAge.Set(tt.maxAge.String()))
			}
			setup := buildApp(t, c, s.env, s.api)
			ref, err := s.tell(setup, told(t, "single-firing", "a"), "")
			require.NoError(t, err)
			if tt.before != nil {
				tt.before(s, setup, ref)
			}
			if name == "the handle of another version" {
				ref = `{"codes":"?`
			}
			s.advance(tt.after)
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
			setup := buildApp(t, c, s.env, s.api)
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
	setup := buildApp(t, c, s.env, s.api)
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
	setup := buildApp(t, app("template_card"), s.env, s.api)
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
			setup := buildApp(t, c, s.env, s.api)
			for _, story := range receiverstest.Stories() {
				d := receiverstest.Story(t, story)
				d.ID += story
				_, err := s.tell(setup, d, "")
				require.NoError(t, err, story)
				s.advance(time.Minute)
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
	setup := buildApp(t, app("text"), s.env, s.api)
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
	setup := buildApp(t, c, s.env, s.api)
	receipt, err := setup.Send(t.Context(), renderTo(t, setup, told(t, "single-firing", "a"))[0])
	require.NoError(t, err)
	require.Equal(t, map[string]string{"user carol": "invaliduser", "party 7": "invalidparty", "tag 9": "invalidtag"}, receipt.Refused)
	require.Equal(t, []string{"alice"}, s.inbox()[0].Mentioned)

	c.ToUser, c.ToParty, c.ToTag = "carol", "", ""
	setup = buildApp(t, c, s.env, s.api)
	_, err = setup.Send(t.Context(), renderTo(t, setup, told(t, "single-firing", "b"))[0])
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
			_, err := s.tell(buildApp(t, app("text"), s.env, s.api), told(t, "single-firing", "a"), "")
			require.Equal(t, tt.want, relay.KindOf(err), "%s", err)
			require.NotContains(t, err.Error(), corpSecret)
		})
	}
}

// Twenty replicas meet a token that has expired, or was taken back: one of them fetches another, and all get through.
func TestOneRefreshForAllReplicas(t *testing.T) {
	t.Parallel()
	for name, stale := range map[string]func(*stage){
		"expired": func(s *stage) { s.advance(sandbox.WeComTokenLife - time.Second) },
		"revoked": func(s *stage) { s.WeCom.Revoke() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			replicas := make([]relay.Setup, 20)
			for n := range replicas {
				replicas[n] = buildApp(t, app("text"), s.env, s.api)
			}
			_, err := s.tell(replicas[0], told(t, "single-firing", "first"), "")
			require.NoError(t, err)
			stale(s)
			var all sync.WaitGroup
			errs := make([]error, len(replicas))
			for n, setup := range replicas {
				d := told(t, "single-firing", strconv.Itoa(n))
				all.Go(func() { _, errs[n] = s.tell(setup, d, "") })
			}
			all.Wait()
			for _, err := range errs {
				require.NoError(t, err)
			}
			require.Equal(t, 2, s.WeCom.Issued(), "the first and one refresh")
			require.Equal(t, 21, s.Counts(sandbox.InboxWeCom).Delivered)
		})
	}
}

// While the token endpoint is down everything waits, the endpoint is asked once in a while, and the log says it once.
func TestTokenEndpointIsDown(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	setup := buildApp(t, app("text"), s.env, s.api)
	s.WeCom.Break(sandbox.AccountToken, sandbox.FaultStatus(503))
	for range 10 {
		for range 5 {
			_, err := s.tell(setup, told(t, "single-firing", "a"), "")
			require.Equal(t, relay.Transient, relay.KindOf(err))
		}
		s.advance(10 * time.Second)
	}
	require.Equal(t, 1, strings.Count(s.log.String(), "\n"), s.log.String())
	require.Len(t, s.Requests(sandbox.InboxWeCom), 10, "once in ten seconds, whoever asks")

	s.WeCom.Repair(sandbox.AccountToken)
	_, err := s.tell(setup, told(t, "single-firing", "a"), "")
	require.NoError(t, err)
	require.Contains(t, s.log.String(), "Access tokens can be fetched again")
	require.NotContains(t, s.log.String(), corpSecret)
}

// A token endpoint that is slow keeps nobody longer than the send may take.
func TestTokenEndpointIsSlow(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	setup := buildApp(t, app("text"), s.env, s.api)
	release := make(chan struct{})
	s.WeCom.Inject(sandbox.AccountToken, sandbox.FaultHang(release))
	messages := renderTo(t, setup, told(t, "single-firing", "a"))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := setup.Send(ctx, messages[0])
	require.Equal(t, relay.Transient, relay.KindOf(err))
	close(release)
	s.advance(10 * time.Second)
	_, err = setup.Send(t.Context(), messages[0])
	require.NoError(t, err)
}
