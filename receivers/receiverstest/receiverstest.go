// Package receiverstest is the contract suite of the integrations: what every one of them promises, whatever its vendor.
// An integration's own tests call Run, and test beside it only what is the vendor's.
package receiverstest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/httpclient"
)

// A Suite describes the integration under test.
type Suite struct {
	// New builds the integration so that it sends to target, with MaxParts as its max_parts.
	New func(t *testing.T, env relay.Env, target string) relay.Setup
	// Vendor starts a vendor that takes every message, until the test ends, and returns the target to reach it by.
	Vendor func(t *testing.T) (target string)
	// Faults are the ways in which a send can fail. HTTPFaults makes most of them for a vendor spoken to by HTTP.
	Faults []Fault
	// Hang starts a vendor that takes the call and never answers. It calls arrived once for each call.
	Hang func(t *testing.T, arrived func()) (target string)
	// Secrets are what New configures and nobody may see.
	Secrets []string
	// Check fails the test when the vendor would not take m: too long, malformed, active markup of a stranger.
	Check func(t *testing.T, m relay.Message)
	// Templates is the renderer; nil means Words.
	Templates relay.Renderer
}

// A Fault is a way in which a send fails, and what it must be taken for.
type Fault struct {
	Name string
	// Vendor starts the vendor that fails, until the test ends, and returns the target to reach it by.
	Vendor func(t *testing.T) (target string)
	Kind   relay.Kind
	// RetryAfter is the delay that the error must name; zero means none.
	RetryAfter time.Duration
}

// MaxParts is the max_parts that integrations under test are built with.
const MaxParts = 5

// Run tests the contract.
func Run(t *testing.T, s Suite) {
	t.Helper()
	if s.Templates == nil {
		s.Templates = Words{}
	}
	tests := []struct {
		name string
		test func(contract)
	}{
		{"setup is complete", contract.testSetup},
		{"sends what it renders", contract.testSend},
		{"a fault has its kind and shows no secret", contract.testFaults},
		{"a cancelled context ends the send", contract.testCancelled},
		{"a context cancelled before keeps from sending", contract.testCancelledBefore},
		{"a deadline is a transient error", contract.testDeadline},
		{"the destination is stable", contract.testDestination},
		{"rendering is pure", contract.testPure},
		{"a message survives storage", contract.testStorage},
		{"500 alerts take at most max_parts messages", contract.testManyAlerts},
		{"10,000 alerts are no work for minutes", contract.testHuge},
		{"every alert is in one message, or counted", contract.testEveryAlert},
		{"a digest is one message", contract.testDigest},
		{"what is not as usual is said", contract.testNotes},
		{"strangers' text only shows", contract.testHostile},
		{"any text fits", contract.testAnyText},
		{"a failing template is an error, and the plain form stands in", contract.testPlain},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.test(contract{s, t})
		})
	}
}

// contract is a suite in one of its tests.
type contract struct {
	Suite

	t *testing.T
}

// bench is an integration under test with all that it could leak a secret to.
type bench struct {
	relay.Setup
	t       *testing.T
	secrets []string
	log     *buffer
}

func (s Suite) build(t *testing.T, target string) *bench {
	t.Helper()
	log := &buffer{}
	env := Env(t, s.Templates)
	env.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	b := &bench{Setup: s.New(t, env, target), t: t, secrets: s.Secrets, log: log}
	t.Cleanup(func() { b.requireNoSecret("log", log.String()) })
	return b
}

// requireNoSecret fails when text shows a secret. It does not print the text.
func (b *bench) requireNoSecret(what, text string) {
	b.t.Helper()
	for i, s := range b.secrets {
		if strings.Contains(text, s) { // require.NotContains would print it
			b.t.Fatalf("%s shows secret %d", what, i)
		}
	}
}

// render makes the delivery's messages and checks that they hold no secret.
func (b *bench) render(d relay.Delivery) []relay.Message {
	b.t.Helper()
	var err error
	d.Destination, err = b.Destination(d.Notification())
	require.NoError(b.t, err)
	messages, err := b.Render(d)
	require.NoError(b.t, err)
	require.NotEmpty(b.t, messages)
	for _, m := range messages {
		stored, err := json.Marshal(m)
		require.NoError(b.t, err)
		b.requireNoSecret("message", string(stored)+string(m.Body))
	}
	return messages
}

// Env is what an integration under test is built with; its clock stands still.
func Env(tb testing.TB, templates relay.Renderer) relay.Env {
	tb.Helper()
	client, err := httpclient.New(nil, "test")
	require.NoError(tb, err)
	tb.Cleanup(client.CloseIdleConnections)
	return relay.Env{
		Templates:   templates,
		HTTPClient:  client,
		Logger:      slog.New(slog.DiscardHandler),
		Now:         func() time.Time { return Now },
		Cache:       NewCache(func() time.Time { return Now }),
		ExternalURL: "https://relay.example.com",
	}
}

func (c contract) testSetup() {
	t, s := c.t, c.Suite
	b := s.build(t, s.Vendor(t))
	require.NotEmpty(t, b.Name, "name")
	require.NotEmpty(t, b.Limiters, "limiters")
	require.NotEmpty(t, b.Backlog, "backlog")
	require.Positive(t, b.Timeout, "timeout")
	require.Positive(t, b.MaxInFlight, "max_in_flight")
	require.True(t, b.SendResolved, "send_resolved")
	b.requireNoSecret("setup", fmt.Sprintf("%v %v %v", b.Name, b.Limiters, b.Limit))
	again := s.build(t, s.Vendor(t))
	require.Len(t, again.Limiters, len(b.Limiters))
}

func (c contract) testSend() {
	t, s := c.t, c.Suite
	b := s.build(t, s.Vendor(t))
	for _, name := range Payloads() {
		for _, m := range b.render(Delivery(t, name)) {
			receipt, err := b.Send(t.Context(), m)
			require.NoError(t, err, name)
			b.requireNoSecret("receipt", fmt.Sprintf("%+v", receipt))
		}
	}
}

func (c contract) testFaults() {
	t, s := c.t, c.Suite
	require.NotEmpty(t, s.Faults)
	for _, f := range s.Faults {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			b := s.build(t, f.Vendor(t))
			_, err := b.Send(t.Context(), b.render(Delivery(t, "single-firing"))[0])
			require.Error(t, err)
			b.requireNoSecret("error", fmt.Sprintf("%s %+v %#v", err, err, err))
			require.Equal(t, f.Kind, relay.KindOf(err), "%s", err)
			require.Equal(t, f.RetryAfter, relay.RetryAfter(err).Round(time.Second), "%s", err)
		})
	}
}

func (c contract) testCancelled() {
	t, s := c.t, c.Suite
	ctx, cancel := context.WithCancel(t.Context())
	b := s.build(t, s.Hang(t, cancel))
	_, err := b.Send(ctx, b.render(Delivery(t, "single-firing"))[0])
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, relay.Transient, relay.KindOf(err))
}

func (c contract) testCancelledBefore() {
	t, s := c.t, c.Suite
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := s.build(t, s.Hang(t, func() { t.Error("called the vendor") }))
	_, err := b.Send(ctx, b.render(Delivery(t, "single-firing"))[0])
	require.ErrorIs(t, err, context.Canceled)
}

func (c contract) testDeadline() {
	t, s := c.t, c.Suite
	b := s.build(t, s.Hang(t, func() {}))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := b.Send(ctx, b.render(Delivery(t, "single-firing"))[0])
	require.Error(t, err)
	require.Equal(t, relay.Transient, relay.KindOf(err))
	b.requireNoSecret("error", err.Error())
}

func (c contract) testDestination() {
	t, s := c.t, c.Suite
	target := s.Vendor(t)
	b, again := s.build(t, target), s.build(t, target)
	firing, resolved := Delivery(t, "single-firing"), Delivery(t, "single-resolved")
	first, err := b.Destination(firing.Notification())
	require.NoError(t, err)
	require.NotEmpty(t, first.Key)
	b.requireNoSecret("destination", fmt.Sprintf("%+v", first))
	later, err := again.Destination(resolved.Notification())
	require.NoError(t, err)
	require.Equal(t, first, later)
	require.Equal(t, b.Name, again.Name)
	require.Equal(t, b.Limiters, again.Limiters)
}

func (c contract) testPure() {
	t, s := c.t, c.Suite
	b := s.build(t, s.Vendor(t))
	for _, name := range Payloads() {
		d := Delivery(t, name)
		var err error
		d.Destination, err = b.Destination(d.Notification())
		require.NoError(t, err)
		before, err := json.Marshal(d.Notification())
		require.NoError(t, err)
		want := b.render(d)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				got, err := b.Render(d)
				if err != nil || !equal(want, got) {
					t.Errorf("%s: the second rendering differs: %v", name, err)
				}
			})
		}
		all.Wait()
		after, err := json.Marshal(d.Notification())
		require.NoError(t, err)
		require.Equal(t, string(before), string(after), "rendering changed the notification")
	}
}

func equal(a, b []relay.Message) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return bytes.Equal(x, y)
}

func (c contract) testStorage() {
	t, s := c.t, c.Suite
	b := s.build(t, s.Vendor(t))
	for _, m := range b.render(Many(500)) {
		stored, err := json.Marshal(m)
		require.NoError(t, err)
		var back relay.Message
		require.NoError(t, json.Unmarshal(stored, &back))
		require.Equal(t, m, back)
		_, err = b.Send(t.Context(), back)
		require.NoError(t, err)
	}
}

func (c contract) testManyAlerts() {
	t, s := c.t, c.Suite
	b := s.build(t, s.Vendor(t))
	messages := b.render(Many(500))
	require.LessOrEqual(t, len(messages), MaxParts)
	ids := map[string]bool{}
	for i, m := range messages {
		require.Equal(t, i+1, m.Part)
		require.Equal(t, len(messages), m.Parts)
		require.NotEmpty(t, m.ID)
		require.False(t, ids[m.ID], "message id used twice")
		ids[m.ID] = true
		s.Check(t, m)
	}
}

func (c contract) testHuge() {
	t, s := c.t, c.Suite
	b := s.build(t, s.Vendor(t))
	messages := b.render(Many(10_000))
	require.LessOrEqual(t, len(messages), MaxParts)
	for _, m := range messages {
		s.Check(t, m)
	}
}

// testEveryAlert: a reader finds each alert in exactly one of the messages, or among those that one of them counts.
func (c contract) testEveryAlert() {
	t, s := c.t, c.Suite
	b := s.build(t, s.Vendor(t))
	rapid.Check(t, func(r *rapid.T) {
		d := Many(rapid.SampledFrom([]int{1, 2, 3, 7, 20, 60}).Draw(r, "alerts"))
		for i := range d.Notification().Alerts {
			more := strings.Repeat(anyText().Draw(r, "more"), rapid.SampledFrom([]int{0, 0, 1, 40}).Draw(r, "times"))
			d.Notification().Alerts[i].Annotations["summary"] += more
		}
		told := map[string]int{}
		counted := 0
		for _, m := range b.render(d) {
			counted += m.Omitted
			if m.Omitted > 0 {
				require.Contains(r, m.Text, strconv.Itoa(m.Omitted), "how many are only counted is said")
			}
			for _, a := range d.Notification().Alerts {
				if strings.Contains(m.Text, a.Labels["instance"]) {
					told[a.Labels["instance"]]++
				}
			}
		}
		for instance, n := range told {
			require.Equal(r, 1, n, instance)
		}
		require.Len(r, d.Notification().Alerts, len(told)+counted)
	})
}

func (c contract) testDigest() {
	t, s := c.t, c.Suite
	b := s.build(t, s.Vendor(t))
	d := Many(1)
	for i := range 100 {
		d.Tellings = append(d.Tellings, Many(i%3+1).Tellings...)
	}
	for _, plain := range []bool{false, true} {
		d.Plain = plain
		messages := b.render(d)
		require.Len(t, messages, 1)
		s.Check(t, messages[0])
		require.Positive(t, strings.Count(messages[0].Text, "DiskFull"), "alerts are named")
	}
}

// testNotes: whatever the form of a message, it says that alerts were left out, that it stands for others, is late, comes
// to a fallback, and what is no longer reported; and each line of a digest says it for itself.
func (c contract) testNotes() {
	t, s := c.t, c.Suite
	if s.Templates == (Words{}) {
		t.Skip("has no words of the relay")
	}
	b := s.build(t, s.Vendor(t))
	for name, note := range map[string]struct {
		change func(*relay.Telling)
		said   string
	}{
		"left out":      {func(t *relay.Telling) { t.Notification.TruncatedAlerts = 4711 }, "4711"},
		"stands for":    {func(t *relay.Telling) { t.Merged = 4711 }, "4711"},
		"late":          {func(t *relay.Telling) { t.Late, t.Since = true, longAgo() }, "11-18 "},
		"to a fallback": {func(t *relay.Telling) { t.Notification.InsteadOf = Elsewhere }, Elsewhere},
		"gone":          {func(t *relay.Telling) { lose(&t.Notification.Alerts[2]) }, "⚪|不再上报"},
	} {
		for _, digest := range []bool{false, true} {
			for _, plain := range []bool{false, true} {
				d := Delivery(t, "mixed-2")
				note.change(&d.Tellings[0])
				if digest {
					d.Tellings = append(Delivery(t, "single-firing").Tellings, d.Tellings...)
				}
				d.Plain = plain
				var said strings.Builder
				for _, m := range b.render(d) {
					s.Check(t, m)
					said.WriteString(m.Text)
				}
				require.Regexp(t, note.said, said.String(), "%s, digest %t, plain %t", name, digest, plain)
			}
		}
	}
}

func (c contract) testHostile() {
	t, s := c.t, c.Suite
	b := s.build(t, s.Vendor(t))
	for _, name := range Payloads() {
		for _, m := range b.render(Delivery(t, name)) {
			s.Check(t, m)
		}
	}
	if s.Templates == (Words{}) {
		return // which make nothing harmless
	}
	for _, plain := range []bool{false, true} {
		for _, digest := range []bool{false, true} {
			d := Hostile(t)
			d.Plain = plain
			if digest {
				d.Tellings = append(d.Tellings, Hostile(t).Tellings...)
			}
			for _, m := range b.render(d) {
				s.Check(t, m)
				RequireTame(t, m.Text)
				var body any
				require.NoError(t, json.Unmarshal(m.Body, &body))
				if fields, ok := body.(map[string]any); ok {
					delete(fields, "mail") // encoded: its own Check reads it
				}
				for _, text := range Strings(body) {
					RequireTame(t, text)
					require.NotContains(t, text, "javascript:")
					require.NotContains(t, text, "data:text")
				}
			}
		}
	}
}

// testAnyText renders alerts with values of any length and any characters.
func (c contract) testAnyText() {
	t, s := c.t, c.Suite
	b := s.build(t, s.Vendor(t))
	text := anyText()
	rapid.Check(t, func(r *rapid.T) {
		d := Many(rapid.IntRange(1, 12).Draw(r, "alerts"))
		n := d.Notification()
		for i := range n.Alerts {
			value := strings.Repeat(text.Draw(r, "text"), rapid.SampledFrom([]int{1, 1, 1, 30, 3000}).Draw(r, "repeat"))
			switch a := &n.Alerts[i]; rapid.IntRange(0, 4).Draw(r, "where") {
			case 0:
				a.Labels["instance"] = value
			case 1:
				a.Annotations["summary"] = value
			case 2:
				a.Annotations["description"] = value
			case 3:
				a.Snapshot.TraceID, a.Snapshot.TraceURL = value, "https://trace/"+value
			case 4:
				n.GroupLabels["alertname"], n.CommonLabels["alertname"] = value, value
			}
		}
		d.Plain = rapid.Bool().Draw(r, "plain")
		for _, m := range b.render(d) {
			s.Check(t, m)
		}
	})
}

// anyText draws Chinese, emoji, text from right to left, control characters and markup, and whatever else there is.
func anyText() *rapid.Generator[string] {
	return rapid.StringOf(rapid.OneOf(
		rapid.RuneFrom([]rune("磁盘空间不足，请检查🔥👩‍👩‍👧‍👦\u202e\u2067עבריתعربى\x00\x01\x1b\u2028<>&\"'`*_[]()#@|\\\r\n\t")),
		rapid.Rune(),
	))
}

func (c contract) testPlain() {
	t, s := c.t, c.Suite
	s.Templates = Broken{s.Templates}
	b := s.build(t, s.Vendor(t))
	d := Delivery(t, "single-firing")
	_, err := b.Render(d)
	require.ErrorIs(t, err, ErrBroken)

	for _, name := range Payloads() {
		d := Delivery(t, name)
		d.Plain = true
		for _, m := range b.render(d) {
			require.NotEmpty(t, m.Fallback)
			s.Check(t, m)
			_, err := b.Send(t.Context(), m)
			require.NoError(t, err)
		}
	}
}

// buffer is a bytes.Buffer for concurrent writers.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
