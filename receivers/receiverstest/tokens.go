package receiverstest

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
)

// A TokenVendor is an emulated vendor of which an application needs access tokens.
type TokenVendor struct {
	// New makes one more replica of the application, which sends each notification as one message.
	New func(env relay.Env) relay.Setup
	// Life is how long a token is good for; Revoke takes it back before.
	Life   time.Duration
	Revoke func()
	// Break makes the token endpoint answer 503 until Repair; Hang lets its next answer wait for release.
	Break, Repair func()
	Hang          func(release <-chan struct{})
	// Calls counts all calls, Issued those that got a token, and Told the messages that were shown.
	Calls, Issued, Told func() int
	// Secrets are what the log must not show.
	Secrets []string
}

// RunTokens tests what is promised of access tokens. Open starts the vendor with a clock.
func RunTokens(t *testing.T, templates relay.Renderer, open func(t *testing.T, now func() time.Time) TokenVendor) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, *Stage, TokenVendor){
		"one refresh for all when it has expired": func(t *testing.T, s *Stage, v TokenVendor) {
			t.Helper()
			testOneRefresh(t, s, v, func() { s.Advance(v.Life - time.Second) })
		},
		"one refresh for all when it was revoked": func(t *testing.T, s *Stage, v TokenVendor) {
			t.Helper()
			testOneRefresh(t, s, v, v.Revoke)
		},
		"an endpoint that is down": testEndpointDown,
		"an endpoint that is slow": testEndpointSlow,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := NewStage(t, templates)
			v := open(t, s.Now)
			test(t, s, v)
			for _, secret := range v.Secrets {
				require.NotContains(t, s.Log(), secret)
			}
		})
	}
}

// each is a delivery with an id of its own.
func each(t *testing.T, id string) relay.Delivery {
	t.Helper()
	d := Delivery(t, "single-firing")
	d.ID += id
	return d
}

// testOneRefresh: twenty replicas meet a token that is stale; one of them fetches another, and all get through.
func testOneRefresh(t *testing.T, s *Stage, v TokenVendor, stale func()) {
	t.Helper()
	replicas := make([]relay.Setup, 20)
	for n := range replicas {
		replicas[n] = v.New(s.Env())
	}
	_, err := s.Tell(t, replicas[0], each(t, "first"), "")
	require.NoError(t, err)
	stale()
	var all sync.WaitGroup
	errs := make([]error, len(replicas))
	for n, setup := range replicas {
		d := each(t, strconv.Itoa(n))
		all.Go(func() { _, errs[n] = s.Tell(t, setup, d, "") })
	}
	all.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Equal(t, 2, v.Issued(), "the first and one refresh")
	require.Equal(t, 1+len(replicas), v.Told())
}

// testEndpointDown: everything waits, the endpoint is asked once in a while, and the log says it once.
func testEndpointDown(t *testing.T, s *Stage, v TokenVendor) {
	t.Helper()
	setup := v.New(s.Env())
	v.Break()
	for range 10 {
		for range 5 {
			_, err := s.Tell(t, setup, each(t, ""), "")
			require.Equal(t, relay.Transient, relay.KindOf(err))
			require.True(t, relay.Told(err))
		}
		s.Advance(10 * time.Second)
	}
	require.Equal(t, 1, strings.Count(s.Log(), "\n"), s.Log())
	require.Equal(t, 10, v.Calls(), "once in ten seconds, whoever asks")
	v.Repair()
	_, err := s.Tell(t, setup, each(t, ""), "")
	require.NoError(t, err)
	require.Contains(t, s.Log(), "Access tokens can be fetched again")
}

// testEndpointSlow: nobody waits for longer than the send may take.
func testEndpointSlow(t *testing.T, s *Stage, v TokenVendor) {
	t.Helper()
	setup := v.New(s.Env())
	release := make(chan struct{})
	v.Hang(release)
	m := Render(t, setup, each(t, ""))[0]
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := setup.Send(ctx, m)
	require.Equal(t, relay.Transient, relay.KindOf(err))
	close(release)
	s.Advance(10 * time.Second)
	_, err = setup.Send(t.Context(), m)
	require.NoError(t, err)
	require.Equal(t, 1, v.Told())
}
