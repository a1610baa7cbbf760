package deliver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/deliver"
	"github.com/alertrelay/relay/outbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A fake is an integration made of functions. It keeps what it rendered and sent.
type fake struct {
	render func(relay.Delivery) ([]relay.Message, error)
	send   func(context.Context, relay.Message) (relay.Receipt, error)

	mu       sync.Mutex
	rendered []relay.Delivery
	sent     []relay.Message
}

func (*fake) Destination(*relay.Notification) (relay.Destination, error) {
	return relay.Destination{}, nil
}

func (f *fake) Render(d relay.Delivery) ([]relay.Message, error) {
	f.mu.Lock()
	f.rendered = append(f.rendered, d)
	f.mu.Unlock()
	if f.render != nil {
		return f.render(d)
	}
	return []relay.Message{{ID: d.ID, Part: 1, Parts: 1, Text: "text of " + d.ID}}, nil
}

func (f *fake) Send(ctx context.Context, m relay.Message) (relay.Receipt, error) {
	f.mu.Lock()
	f.sent = append(f.sent, m)
	f.mu.Unlock()
	if f.send != nil {
		return f.send(ctx, m)
	}
	return relay.Receipt{Detail: "ok"}, nil
}

func (f *fake) messages() []relay.Message {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]relay.Message(nil), f.sent...)
}

func (f *fake) deliveries() []relay.Delivery {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]relay.Delivery(nil), f.rendered...)
}

// setup is a receiver's integration around f, with the limiter "robot-" + name.
func setup(name string, f *fake) relay.Setup {
	return relay.Setup{
		Integration: f, ID: relay.IntegrationID("ops/fake/" + name), Receiver: "ops", Type: "fake", Name: name,
		Limiters: []relay.LimiterID{relay.LimiterID("robot-" + name)}, MaxInFlight: 2, Timeout: 10 * time.Second,
	}
}

// run starts a Deliverer and returns what ends it and waits for it.
func run(t *testing.T, o deliver.Options) (d *deliver.Deliverer, stop func()) {
	t.Helper()
	d = deliver.New(o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); d.Run(ctx) }()
	return d, func() { cancel(); <-done }
}

// body is a stored notification with one alert for each of status@start given.
func body(t *testing.T, alerts ...relay.Alert) string {
	t.Helper()
	n := relay.Notification{Alerts: alerts, GroupKey: "{}:{}", Version: "4"}
	n.Status = n.Alerts.Status()
	b, err := json.Marshal(n)
	require.NoError(t, err)
	return string(b)
}

func alert(fingerprint, status string, start time.Time) relay.Alert {
	a := relay.Alert{Alert: template.Alert{Status: status, Fingerprint: fingerprint, StartsAt: start}}
	if status == relay.StatusResolved {
		a.EndsAt = start.Add(10 * time.Minute)
	}
	return a
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	vendor := errors.New("the vendor said no")
	refusePlainToo := func(context.Context, relay.Message) (relay.Receipt, error) {
		return relay.Receipt{}, relay.AsRefused(vendor)
	}
	for _, tt := range []struct {
		name  string
		setup func(*fake, *lane, *memory)
		want  func(*testing.T, *fake, []outbox.Outcome)
	}{
		{
			name: "taken by the vendor",
			setup: func(f *fake, _ *lane, _ *memory) {
				f.send = func(context.Context, relay.Message) (relay.Receipt, error) {
					return relay.Receipt{Ref: "ts-1", Detail: "ok", Refused: map[string]string{"b@x": "no"}}, nil
				}
			},
			want: func(t *testing.T, f *fake, o []outbox.Outcome) {
				t.Helper()
				require.Equal(t, outbox.Outcome{
					Result: outbox.Sent, Items: []string{"g-1"}, Rest: []relay.Message{}, Ref: "ts-1",
					Detail: "ok; refused: b@x: no", Part: 1, Parts: 1, Text: "text of g-1",
				}, o[0])
				require.Equal(t, relay.LimiterID("robot-a"), f.sent[0].Limiter)
			},
		},
		{
			name: "who refused for now gets it again, alone",
			setup: func(f *fake, _ *lane, _ *memory) {
				f.send = func(_ context.Context, m relay.Message) (relay.Receipt, error) {
					if m.Again {
						require.Equal(t, "for b", string(m.Body))
						return relay.Receipt{Detail: "ok"}, nil
					}
					again := m
					again.Body = []byte("for b")
					return relay.Receipt{Refused: map[string]string{"b@x": "450 later"}, Again: &again}, nil
				}
			},
			want: func(t *testing.T, f *fake, o []outbox.Outcome) {
				t.Helper()
				require.Equal(t, outbox.Retry, o[0].Result)
				require.Equal(t, relay.Transient, o[0].Reason)
				require.Contains(t, o[0].Detail, "b@x: 450 later")
				require.Len(t, o[0].Rest, 1)
				require.Equal(t, outbox.Sent, o[1].Result)
				require.Equal(t, f.sent[0].ID, f.sent[1].ID, "the id is stable over retries")
				require.Len(t, f.rendered, 1)
			},
		},
		{
			name: "who refuses in the end is dead, and nobody gets it twice",
			setup: func(f *fake, _ *lane, _ *memory) {
				f.send = func(_ context.Context, m relay.Message) (relay.Receipt, error) {
					if m.Again {
						return relay.Receipt{}, relay.AsRefused(vendor)
					}
					return relay.Receipt{Refused: map[string]string{"b@x": "450 later"}, Again: &m}, nil
				}
			},
			want: func(t *testing.T, f *fake, o []outbox.Outcome) {
				t.Helper()
				require.Equal(t, outbox.Dead, o[1].Result)
				require.Len(t, f.sent, 2)
				require.Len(t, f.rendered, 1, "the plain text would go to all")
			},
		},
		{
			name: "an unclassified error is transient",
			setup: func(f *fake, _ *lane, _ *memory) {
				f.send = failing(1, vendor)
			},
			want: func(t *testing.T, f *fake, o []outbox.Outcome) {
				t.Helper()
				require.Equal(t, outbox.Retry, o[0].Result)
				require.Equal(t, relay.Transient, o[0].Reason)
				require.LessOrEqual(t, o[0].After, time.Second)
				require.Zero(t, o[0].Hold)
				require.Equal(t, outbox.Sent, o[1].Result)
				require.Equal(t, f.sent[0].ID, f.sent[1].ID, "the id is stable over retries")
			},
		},
		{
			name: "a transient error with a delay named",
			setup: func(f *fake, _ *lane, _ *memory) {
				f.send = failing(1, &relay.Error{Kind: relay.Transient, RetryAfter: 7 * time.Second, Err: vendor})
			},
			want: func(t *testing.T, _ *fake, o []outbox.Outcome) {
				t.Helper()
				require.Equal(t, 7*time.Second, o[0].After)
			},
		},
		{
			name:  "rate limited with a delay",
			setup: func(f *fake, _ *lane, _ *memory) { f.send = failing(1, relay.AsRateLimited(vendor, 10*time.Minute)) },
			want: func(t *testing.T, _ *fake, o []outbox.Outcome) {
				t.Helper()
				require.Equal(t, 10*time.Minute, o[0].Hold)
				require.Equal(t, relay.RateLimited, o[0].Reason)
				require.Equal(t, outbox.Sent, o[1].Result)
			},
		},
		{
			name:  "rate limited without a delay",
			setup: func(f *fake, _ *lane, _ *memory) { f.send = failing(1, relay.AsRateLimited(vendor, 0)) },
			want: func(t *testing.T, _ *fake, o []outbox.Outcome) {
				t.Helper()
				require.Equal(t, time.Minute, o[0].Hold)
			},
		},
		{
			name:  "misconfigured holds the limiter and keeps the queue",
			setup: func(f *fake, _ *lane, _ *memory) { f.send = failing(2, relay.AsMisconfigured(vendor)) },
			want: func(t *testing.T, _ *fake, o []outbox.Outcome) {
				t.Helper()
				require.Len(t, o, 3)
				require.Equal(t, 5*time.Minute, o[0].Hold)
				require.Equal(t, 5*time.Minute, o[1].Hold)
				require.Equal(t, outbox.Sent, o[2].Result)
			},
		},
		{
			name:  "a stale token is refreshed within the attempt",
			setup: func(f *fake, _ *lane, _ *memory) { f.send = failing(1, relay.AsTokenExpired(vendor)) },
			want: func(t *testing.T, f *fake, o []outbox.Outcome) {
				t.Helper()
				require.Len(t, o, 1)
				require.Equal(t, outbox.Sent, o[0].Result)
				require.Len(t, f.sent, 2)
			},
		},
		{
			name:  "a token that stays stale is transient",
			setup: func(f *fake, _ *lane, _ *memory) { f.send = failing(2, relay.AsTokenExpired(vendor)) },
			want: func(t *testing.T, f *fake, o []outbox.Outcome) {
				t.Helper()
				require.Equal(t, relay.Transient, o[0].Reason)
				require.Equal(t, outbox.Sent, o[1].Result)
				require.Len(t, f.sent, 3)
			},
		},
		{
			name: "a refused message is told once more in plain text",
			setup: func(f *fake, _ *lane, _ *memory) {
				f.send = failing(1, relay.AsRefused(vendor))
			},
			want: func(t *testing.T, f *fake, o []outbox.Outcome) {
				t.Helper()
				require.Equal(t, outbox.Retry, o[0].Result)
				require.Zero(t, o[0].After)
				require.Len(t, o[0].Rest, 1)
				require.Equal(t, outbox.Sent, o[1].Result)
				require.Equal(t, "the vendor said no", o[1].Fallback)
				require.True(t, f.rendered[1].Plain)
				require.NotEqual(t, f.sent[0].ID, f.sent[1].ID, "the vendor may remember the id it refused")
			},
		},
		{
			name:  "a message refused in plain text too is dead",
			setup: func(f *fake, _ *lane, _ *memory) { f.send = refusePlainToo },
			want: func(t *testing.T, f *fake, o []outbox.Outcome) {
				t.Helper()
				require.Len(t, o, 2)
				require.Equal(t, outbox.Dead, o[1].Result)
				require.Equal(t, relay.Refused, o[1].Reason)
				require.Equal(t, "the vendor said no", o[1].Detail)
				require.Len(t, f.sent, 2)
			},
		},
		{
			name: "a failing template is replaced by plain text",
			setup: func(f *fake, _ *lane, _ *memory) {
				f.render = func(d relay.Delivery) ([]relay.Message, error) {
					if !d.Plain {
						return nil, errors.New("template: line 3: no such field")
					}
					return []relay.Message{{ID: d.ID, Part: 1, Parts: 1}}, nil
				}
			},
			want: func(t *testing.T, _ *fake, o []outbox.Outcome) {
				t.Helper()
				require.Equal(t, outbox.Sent, o[0].Result)
				require.Equal(t, "template: line 3: no such field", o[0].Fallback)
			},
		},
		{
			name: "a template that panics is replaced by plain text",
			setup: func(f *fake, _ *lane, _ *memory) {
				f.render = func(d relay.Delivery) ([]relay.Message, error) {
					if !d.Plain {
						panic("token=s3cret")
					}
					return []relay.Message{{ID: d.ID, Part: 1, Parts: 1}}, nil
				}
			},
			want: func(t *testing.T, _ *fake, o []outbox.Outcome) {
				t.Helper()
				require.Equal(t, "bug in the integration: panic of type string", o[0].Fallback)
			},
		},
		{
			name: "a panic in Send is transient and hides its value",
			setup: func(f *fake, _ *lane, _ *memory) {
				f.send = func() func(context.Context, relay.Message) (relay.Receipt, error) {
					calls := 0
					return func(context.Context, relay.Message) (relay.Receipt, error) {
						if calls++; calls == 1 {
							panic("token=s3cret")
						}
						return relay.Receipt{}, nil
					}
				}()
			},
			want: func(t *testing.T, _ *fake, o []outbox.Outcome) {
				t.Helper()
				require.Equal(t, outbox.Retry, o[0].Result)
				require.NotContains(t, o[0].Detail, "s3cret")
				require.Equal(t, outbox.Sent, o[1].Result)
			},
		},
		{
			name: "what a person wants told again is no copy to the vendor",
			setup: func(f *fake, l *lane, _ *memory) {
				l.Items[0].Requeued = l.Items[0].At.Add(time.Hour)
				f.send = failing(1, vendor)
			},
			want: func(t *testing.T, f *fake, o []outbox.Outcome) {
				t.Helper()
				require.Len(t, o, 2)
				require.NotEqual(t, "g-1", f.sent[0].ID)
				require.Equal(t, f.sent[0].ID, f.sent[1].ID, "the id is stable over retries")
			},
		},
		{
			name: "nothing rendered, not even in plain text, is a failure",
			setup: func(f *fake, _ *lane, _ *memory) {
				calls := 0
				f.render = func(d relay.Delivery) ([]relay.Message, error) {
					if calls++; calls <= 2 {
						return nil, nil
					}
					return []relay.Message{{ID: d.ID}}, nil
				}
			},
			want: func(t *testing.T, _ *fake, o []outbox.Outcome) {
				t.Helper()
				require.Equal(t, outbox.Retry, o[0].Result)
				require.Equal(t, outbox.Sent, o[1].Result)
			},
		},
		{
			name: "what is stored cannot be read",
			setup: func(_ *fake, l *lane, _ *memory) {
				l.Items[0].Notification = []byte(`{"alerts":`)
			},
			want: func(t *testing.T, f *fake, o []outbox.Outcome) {
				t.Helper()
				require.Equal(t, outbox.Dead, o[0].Result)
				require.Equal(t, relay.Kind("undecodable"), o[0].Reason)
				require.Empty(t, f.sent)
			},
		},
		{
			name:  "a head that killed its workers five times",
			setup: func(_ *fake, l *lane, _ *memory) { l.Crashes = 5 },
			want: func(t *testing.T, f *fake, o []outbox.Outcome) {
				t.Helper()
				require.Equal(t, outbox.Dead, o[0].Result)
				require.Equal(t, relay.Kind("crashed"), o[0].Reason)
				require.Empty(t, f.rendered)
			},
		},
		{
			name: "a failure older than max_age is dead",
			setup: func(f *fake, l *lane, _ *memory) {
				l.Items[0].At = time.Now().Add(-25 * time.Hour)
				f.send = failing(99, vendor)
			},
			want: func(t *testing.T, f *fake, o []outbox.Outcome) {
				t.Helper()
				require.Equal(t, outbox.Dead, o[0].Result)
				require.Equal(t, relay.Kind("max_age"), o[0].Reason)
				require.Equal(t, "the vendor said no", o[0].Detail)
				require.Len(t, f.sent, 1, "it is tried before it is given up")
			},
		},
		{
			name: "too little of the lease left",
			setup: func(_ *fake, _ *lane, m *memory) {
				calls := 0
				m.lease = func(asked time.Duration) time.Duration {
					if calls++; calls == 1 {
						return 14 * time.Second
					}
					return asked
				}
			},
			want: func(t *testing.T, f *fake, o []outbox.Outcome) {
				t.Helper()
				require.Equal(t, outbox.Release, o[0].Result)
				require.Equal(t, outbox.Sent, o[1].Result)
				require.Len(t, f.sent, 1)
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f, store := new(fake), new(memory)
				l := store.add("ops/fake/a", "robot-a", "g", body(t, alert("f1", relay.StatusFiring, time.Now())))
				tt.setup(f, l, store)
				var logs bytes.Buffer
				_, stop := run(t, deliver.Options{
					Store: store, Setups: []relay.Setup{setup("a", f)}, Logger: slog.New(slog.NewTextHandler(&logs, nil)),
				})
				time.Sleep(time.Hour) // of the bubble's clock
				synctest.Wait()
				stop()
				tt.want(t, f, store.outcomes())
				require.NotContains(t, logs.String(), "s3cret")
			})
		})
	}
}

// failing is a Send that fails n times.
func failing(n int, err error) func(context.Context, relay.Message) (relay.Receipt, error) {
	return func(context.Context, relay.Message) (relay.Receipt, error) {
		if n--; n >= 0 {
			return relay.Receipt{}, err
		}
		return relay.Receipt{}, nil
	}
}

func TestPartsTakeASlotEachAndResumeWhereTheyFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := new(memory)
		f := &fake{render: func(d relay.Delivery) ([]relay.Message, error) {
			var parts []relay.Message
			for i := range 3 {
				parts = append(parts, relay.Message{ID: fmt.Sprint(d.ID, "-", i+1), Part: i + 1, Parts: 3})
			}
			return parts, nil
		}}
		failed := false
		f.send = func(_ context.Context, m relay.Message) (relay.Receipt, error) {
			if m.Part == 2 && !failed {
				failed = true
				return relay.Receipt{}, errors.New("timeout")
			}
			return relay.Receipt{Ref: relay.Ref(m.ID)}, nil
		}
		store.add("ops/fake/a", "robot-a", "g", body(t, alert("f1", relay.StatusFiring, time.Now())))
		_, stop := run(t, deliver.Options{Store: store, Setups: []relay.Setup{setup("a", f)}})
		time.Sleep(time.Minute)
		synctest.Wait()
		stop()

		var sent []string
		for _, m := range f.messages() {
			sent = append(sent, m.ID)
		}
		require.Equal(t, []string{"g-1-1", "g-1-2", "g-1-2", "g-1-3"}, sent)
		require.Len(t, f.deliveries(), 1, "rendered once")
		require.Equal(t, relay.Ref("g-1-2"), f.messages()[3].Previous)
		o := store.outcomes()
		require.Len(t, o, 4)
		require.Len(t, o[0].Rest, 2)
		require.Len(t, o[1].Rest, 2)
		require.Len(t, o[2].Rest, 1)
		require.Empty(t, o[3].Rest)
	})
}

func TestAHangingVendorStopsNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := new(memory)
		hanging := &fake{send: func(ctx context.Context, _ relay.Message) (relay.Receipt, error) {
			<-ctx.Done()
			return relay.Receipt{}, ctx.Err()
		}}
		quick := new(fake)
		for i := range 50 {
			group := fmt.Sprint("g", i)
			store.add("ops/fake/hanging", "robot-hanging", group, body(t, alert("f", relay.StatusFiring, time.Now())))
			store.add("ops/fake/quick", "robot-quick", group, body(t, alert("f", relay.StatusFiring, time.Now())))
		}
		start := time.Now()
		// One worker: it computes, and no vendor keeps it.
		_, stop := run(t, deliver.Options{
			Store: store, Setups: []relay.Setup{setup("hanging", hanging), setup("quick", quick)}, Workers: 1,
		})
		synctest.Wait()
		require.Len(t, quick.messages(), 50)
		require.Len(t, hanging.messages(), 2, "no more than max_in_flight wait for one limiter")
		require.Zero(t, time.Since(start))
		stop()
	})
}

func TestNothingIsPolledWhenIdle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, f := new(memory), new(fake)
		d, stop := run(t, deliver.Options{Store: store, Setups: []relay.Setup{setup("a", f)}})
		synctest.Wait()
		before := store.claims
		time.Sleep(24 * time.Hour)
		require.Equal(t, before, store.claims)

		store.add("ops/fake/a", "robot-a", "g", body(t, alert("f", relay.StatusFiring, time.Now())))
		d.Wake()
		synctest.Wait()
		require.Len(t, f.messages(), 1)
		stop()
	})
}

func TestAStoreThatOthersFillIsPolled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, f := new(memory), new(fake)
		_, stop := run(t, deliver.Options{Store: store, Setups: []relay.Setup{setup("a", f)}, Poll: time.Second})
		synctest.Wait()
		store.add("ops/fake/a", "robot-a", "g", body(t, alert("f", relay.StatusFiring, time.Now())))
		time.Sleep(time.Second)
		synctest.Wait()
		require.Len(t, f.messages(), 1)
		stop()
	})
}

func TestEndingLetsSendsFinish(t *testing.T) {
	t.Parallel()
	slow := func(took time.Duration) func(context.Context, relay.Message) (relay.Receipt, error) {
		return func(ctx context.Context, _ relay.Message) (relay.Receipt, error) {
			select {
			case <-time.After(took):
				return relay.Receipt{}, nil
			case <-ctx.Done():
				return relay.Receipt{}, ctx.Err()
			}
		}
	}
	for _, tt := range []struct {
		name   string
		took   time.Duration
		result outbox.Result
		ends   time.Duration
	}{
		{"within the grace", 4 * time.Second, outbox.Sent, 4 * time.Second},
		{"longer than the grace", 8 * time.Second, outbox.Retry, 5 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store, f := new(memory), &fake{send: slow(tt.took)}
				store.add("ops/fake/a", "robot-a", "g", body(t, alert("f", relay.StatusFiring, time.Now())))
				d, stop := run(t, deliver.Options{
					Store: store, Setups: []relay.Setup{setup("a", f)}, Grace: 5 * time.Second,
				})
				synctest.Wait()
				start := time.Now()
				store.add("ops/fake/a", "robot-a", "late", body(t, alert("f", relay.StatusFiring, time.Now())))
				go d.Wake()
				stop()
				require.Equal(t, tt.ends, time.Since(start))
				o := store.outcomes()[0]
				require.Equal(t, tt.result, o.Result)
				require.Zero(t, o.After, "the next process goes on at once")
			})
		})
	}
}

func TestWhatIsRefusedAtTheEndIsStillTriedInPlainText(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := new(memory)
		f := &fake{send: func(ctx context.Context, _ relay.Message) (relay.Receipt, error) {
			<-ctx.Done()
			return relay.Receipt{}, relay.AsRefused(errors.New("message too long"))
		}}
		s := setup("a", f)
		s.MaxInFlight, s.Timeout = 0, time.Minute
		for n := range 20 {
			store.add(s.ID, "robot-a", strconv.Itoa(n), body(t, alert("f", relay.StatusFiring, time.Now())))
		}
		_, stop := run(t, deliver.Options{Store: store, Setups: []relay.Setup{s}, Grace: 5 * time.Second})
		synctest.Wait()
		stop()
		require.Len(t, store.outcomes(), 20)
		for _, o := range store.outcomes() {
			require.Equal(t, outbox.Retry, o.Result, "the next process renders it")
		}
	})
}

func TestAStoreThatFailsAtTheEndHoldsUpNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, f := new(memory), new(fake)
		store.fail = func(call string) error {
			if call == "settle" {
				return outbox.ErrUnavailable
			}
			return nil
		}
		store.add("ops/fake/a", "robot-a", "g", body(t, alert("f", relay.StatusFiring, time.Now())))
		_, stop := run(t, deliver.Options{Store: store, Setups: []relay.Setup{setup("a", f)}, Grace: 5 * time.Second})
		synctest.Wait()
		require.Len(t, f.messages(), 1)
		start := time.Now()
		stop()
		require.Equal(t, 5*time.Second, time.Since(start), "the grace, however long the lease")
	})
}

func TestAStoreThatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, f := new(memory), new(fake)
		calls := map[string]int{}
		store.fail = func(call string) error {
			if calls[call]++; calls[call] <= 3 {
				return outbox.ErrUnavailable
			}
			return nil
		}
		store.add("ops/fake/a", "robot-a", "g", body(t, alert("f", relay.StatusFiring, time.Now())))
		var logs bytes.Buffer
		_, stop := run(t, deliver.Options{
			Store: store, Setups: []relay.Setup{setup("a", f)}, Logger: slog.New(slog.NewTextHandler(&logs, nil)),
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		stop()
		require.Equal(t, outbox.Sent, store.onlyOutcome(t).Result)
		require.Len(t, f.messages(), 1, "settling again is not sending again")
		require.Equal(t, 1, strings.Count(logs.String(), "Cannot claim"))
	})
}

func TestReplace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, before, after := new(memory), new(fake), new(fake)
		d, stop := run(t, deliver.Options{Store: store, Setups: []relay.Setup{setup("a", before)}})
		store.add("ops/fake/b", "robot-b", "g", body(t, alert("f", relay.StatusFiring, time.Now())))
		d.Wake()
		synctest.Wait()
		require.Empty(t, store.outcomes(), "an unknown integration waits")

		d.Replace([]relay.Setup{setup("b", after)})
		synctest.Wait()
		require.Len(t, after.messages(), 1)
		stop()
	})
}

func TestWhatADeliveryTells(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, f := new(memory), new(fake)
		start := time.Now().Add(-time.Hour)
		l := store.add("ops/fake/a", "robot-a", "g",
			body(t, alert("lost", relay.StatusFiring, start), alert("ended", relay.StatusResolved, start)),
			body(t, alert("still", relay.StatusFiring, start), alert("again", relay.StatusFiring, start),
				alert("new", relay.StatusFiring, start), alert("over", relay.StatusResolved, start)),
		)
		l.Ref = "ts-0"
		l.Told = map[string]time.Time{
			"still": start.UTC(), "again": start.Add(-time.Hour), "over": start, "ended": start,
		}
		l.ToldAt = start.Add(time.Minute)
		concerned := setup("a", f)
		concerned.Concerned = func(d *relay.Delivery) []relay.Person {
			return []relay.Person{{Name: d.Notification().Alerts[0].Fingerprint}}
		}
		_, stop := run(t, deliver.Options{Store: store, Setups: []relay.Setup{concerned}})
		synctest.Wait()
		stop()

		d := f.deliveries()[0]
		require.Equal(t, []relay.Person{{Name: d.Notification().Alerts[0].Fingerprint}}, d.People)
		require.Equal(t, relay.Ref("ts-0"), d.Previous)
		require.Len(t, d.Tellings, 1)
		require.Equal(t, 1, d.Tellings[0].Merged)
		require.Equal(t, l.ToldAt, d.Tellings[0].LastTold)
		require.Equal(t, 4, d.Tellings[0].LastFiring)
		changes, durations := map[string]relay.Change{}, map[string]time.Duration{}
		for _, a := range d.Notification().Alerts {
			changes[a.Fingerprint], durations[a.Fingerprint] = a.Change, a.Duration
		}
		require.Equal(t, map[string]relay.Change{
			"still": relay.ChangeStill, "again": relay.ChangeNew, "new": relay.ChangeNew,
			"over": relay.ChangeResolved, "ended": relay.ChangeResolved, "lost": relay.ChangeGone,
		}, changes)
		require.Equal(t, time.Hour, durations["still"])
		require.Equal(t, 10*time.Minute, durations["over"])
		require.ElementsMatch(t, []string{"g-1", "g-2"}, store.onlyOutcome(t).Items)
	})
}

func TestMisconfigurationIsToldOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := new(memory)
		f := &fake{send: failing(5, relay.AsMisconfigured(errors.New("keywords not in content")))}
		store.add("ops/fake/a", "robot-a", "g", body(t, alert("f", relay.StatusFiring, time.Now())))
		var logs bytes.Buffer
		registry := prometheus.NewPedanticRegistry()
		_, stop := run(t, deliver.Options{
			Store: store, Setups: []relay.Setup{setup("a", f)}, Registerer: registry,
			Logger: slog.New(slog.NewTextHandler(&logs, nil)),
		})
		misconfigured := func(want int) {
			t.Helper()
			require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(fmt.Sprintf(`
# HELP relay_integration_misconfigured Integrations whose vendor refuses them until a person acts: token, keyword, signature, address.
# TYPE relay_integration_misconfigured gauge
relay_integration_misconfigured{integration="fake",receiver="ops"} %d
`, want)), "relay_integration_misconfigured"))
		}
		time.Sleep(12 * time.Minute)
		misconfigured(1)
		time.Sleep(time.Hour)
		synctest.Wait()
		misconfigured(0)
		stop()
		require.Equal(t, 1, strings.Count(logs.String(), "level=ERROR"))
	})
}

func TestAReloadEndsTheTroubleOfWhatItRemoves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, registry := new(memory), prometheus.NewRegistry()
		f := &fake{send: func(context.Context, relay.Message) (relay.Receipt, error) {
			time.Sleep(time.Second)
			return relay.Receipt{}, relay.AsMisconfigured(errors.New("token is not exist"))
		}}
		for _, group := range []string{"g", "h"} {
			store.add("ops/fake/a", "robot-a", group, body(t, alert("f", relay.StatusFiring, time.Now())))
		}
		d, stop := run(t, deliver.Options{Store: store, Setups: []relay.Setup{setup("a", f)}, Registerer: registry})
		misconfigured := func() float64 {
			families, err := registry.Gather()
			require.NoError(t, err)
			for _, family := range families {
				if family.GetName() == "relay_integration_misconfigured" {
					return family.GetMetric()[0].GetGauge().GetValue()
				}
			}
			return -1
		}
		time.Sleep(2 * time.Second)
		require.InDelta(t, 1, misconfigured(), 0)
		time.Sleep(5*time.Minute - time.Second/2)
		synctest.Wait()
		require.Len(t, f.messages(), 4, "the probes are under way")
		d.Replace([]relay.Setup{setup("b", new(fake))})
		require.InDelta(t, 0, misconfigured(), 0)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.InDelta(t, 0, misconfigured(), 0, "nobody can mend what is not there")
		stop()
	})
}

func TestMetricsExistAtZero(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	deliver.New(deliver.Options{Store: new(memory), Setups: []relay.Setup{setup("a", new(fake))}, Registerer: registry})
	for name, series := range map[string]int{
		"relay_notifications_total":                1,
		"relay_notifications_failed_total":         len(relay.Kinds()),
		"relay_notifications_dead_total":           5,
		"relay_notification_requests_total":        1,
		"relay_notification_requests_failed_total": 1,
		"relay_notification_latency_seconds":       1,
		"relay_notification_fallbacks_total":       1,
		"relay_pending_notifications":              1,
	} {
		n, err := testutil.GatherAndCount(registry, name)
		require.NoError(t, err)
		require.Equal(t, series, n, name)
	}
	problems, err := testutil.GatherAndLint(registry)
	require.NoError(t, err)
	require.Empty(t, problems)
}

func TestSharedLimiterHasTheSmallestTerms(t *testing.T) {
	t.Parallel()
	generous, strict := setup("a", new(fake)), setup("b", new(fake))
	strict.Limiters = generous.Limiters
	generous.Limit = relay.Limit{Messages: 20, Per: time.Minute}
	strict.Limit = relay.Limit{Messages: 1, Per: 10 * time.Second}
	strict.MaxInFlight = 1
	synctest.Test(t, func(t *testing.T) {
		store := new(recording)
		_, stop := run(t, deliver.Options{Store: store, Setups: []relay.Setup{generous, strict}})
		synctest.Wait()
		stop()
		for _, id := range []relay.IntegrationID{"ops/fake/a", "ops/fake/b"} {
			require.Equal(t, strict.Limit, store.last.Integrations[id].Limit)
			require.Equal(t, 1, store.last.Integrations[id].MaxInFlight)
		}
		require.GreaterOrEqual(t, store.last.Lease, time.Minute)
	})
}

// A recording keeps the last claim.
type recording struct {
	memory
	last outbox.ClaimRequest
}

func (r *recording) Claim(ctx context.Context, c outbox.ClaimRequest) ([]outbox.Batch, time.Duration, error) {
	r.last = c
	return r.memory.Claim(ctx, c)
}

// handed is a store that hands out one batch and keeps what becomes of it.
type handed struct {
	memory
	batch  outbox.Batch
	settle func() error
	done   []outbox.Outcome
}

func (h *handed) Claim(context.Context, outbox.ClaimRequest) ([]outbox.Batch, time.Duration, error) {
	if h.claims++; h.claims > 1 {
		return nil, 0, nil
	}
	h.batch.Lease = outbox.Lease{Nonce: "n", Until: time.Now().Add(time.Minute)}
	return []outbox.Batch{h.batch}, 0, nil
}

func (h *handed) Settle(_ context.Context, _ outbox.Lease, o outbox.Outcome) error {
	h.done = append(h.done, o)
	if h.settle != nil {
		return h.settle()
	}
	return nil
}

func laneBatch(group string, items ...outbox.Item) outbox.LaneBatch {
	return outbox.LaneBatch{
		Lane:  outbox.Lane{Integration: "ops/fake/a", GroupKey: group},
		Items: items, Attempt: 1, Ref: relay.Ref("ref of " + group),
	}
}

func TestADigestTellsSeveralGroupsInOneMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := []byte(body(t, alert("a", relay.StatusFiring, time.Now())))
		store := &handed{batch: outbox.Batch{Limiter: "robot-a", Lanes: []outbox.LaneBatch{
			laneBatch("g", outbox.Item{ID: "g-1", At: time.Now(), Notification: one}),
			laneBatch("h", outbox.Item{ID: "h-1", At: time.Now(), Notification: one},
				outbox.Item{ID: "h-2", At: time.Now(), Notification: one}),
		}}}
		f := new(fake)
		_, stop := run(t, deliver.Options{Store: store, Setups: []relay.Setup{setup("a", f)}})
		synctest.Wait()
		stop()
		d := f.deliveries()[0]
		require.Len(t, d.Tellings, 2)
		require.Equal(t, 1, d.Tellings[1].Merged)
		require.Empty(t, d.Previous, "a digest follows none of its groups")
		require.Len(t, store.done, 1)
		require.Equal(t, []string{"g-1", "h-1", "h-2"}, store.done[0].Items)
	})
}

func TestTheIDOfADeliveryChangesWhenMoreIsTold(t *testing.T) {
	t.Parallel()
	ids := map[string]bool{}
	for _, entries := range [][]string{{"g-1"}, {"g-1", "g-2"}, {"g-1", "g-2", "g-3"}} {
		for range 2 {
			synctest.Test(t, func(t *testing.T) {
				var items []outbox.Item
				for _, id := range entries {
					items = append(items, outbox.Item{
						ID: id, At: time.Now(), Notification: []byte(body(t, alert("a", relay.StatusFiring, time.Now()))),
					})
				}
				f := new(fake)
				store := &handed{batch: outbox.Batch{Lanes: []outbox.LaneBatch{laneBatch("g", items...)}}}
				_, stop := run(t, deliver.Options{Store: store, Setups: []relay.Setup{setup("a", f)}})
				synctest.Wait()
				stop()
				ids[f.deliveries()[0].ID] = true
			})
		}
	}
	require.Len(t, ids, 3)
}

func TestALeaseThatEndedIsDropped(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		err   error
		tries int
		logs  string
	}{
		{"stale", outbox.ErrStale, 1, "may be told again"},
		{"the store never answers", outbox.ErrUnavailable, 300, "will be told again"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				item := outbox.Item{ID: "g-1", At: time.Now(), Notification: []byte(body(t))}
				store := &handed{
					batch:  outbox.Batch{Lanes: []outbox.LaneBatch{laneBatch("g", item)}},
					settle: func() error { return tt.err },
				}
				var logs bytes.Buffer
				_, stop := run(t, deliver.Options{
					Store: store, Setups: []relay.Setup{setup("a", new(fake))},
					Logger: slog.New(slog.NewTextHandler(&logs, nil)),
				})
				time.Sleep(2 * time.Minute)
				stop()
				require.Contains(t, logs.String(), tt.logs)
				require.InDelta(t, tt.tries, len(store.done), 2)
			})
		})
	}
}

func TestOneLineTellsTheEndOfADelivery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		item := outbox.Item{ID: "g-1", At: time.Now().Add(-time.Second), Notification: []byte(body(t,
			alert("a", relay.StatusFiring, time.Now()), alert("b", relay.StatusResolved, time.Now())))}
		lane := laneBatch("g", item)
		lane.Lane.Destination, lane.Lane.Room = "#ops", "10086"
		var logs bytes.Buffer
		_, stop := run(t, deliver.Options{
			Store: &handed{batch: outbox.Batch{Lanes: []outbox.LaneBatch{lane}}}, Setups: []relay.Setup{setup("a", new(fake))},
			Logger: slog.New(slog.NewTextHandler(&logs, &slog.HandlerOptions{
				ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
					if a.Key == slog.TimeKey {
						return slog.Attr{}
					}
					return a
				},
			})),
		})
		synctest.Wait()
		stop()
		require.Equal(t, `level=INFO msg="Notification sent" receiver=ops integration=ops/fake/a destination=#ops `+
			`group_key=g entry=g-1 attempt=1 duration=0s age=1s status=firing alerts=2 room=10086 detail=ok`,
			strings.TrimSpace(logs.String()))
	})
}
