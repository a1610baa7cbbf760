package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A bench runs the rows of the table.
type bench struct {
	dir, relay    string
	rounds, count int
	only          string
	profile       string // where to write the relay's CPU profile; empty: nowhere
	sink          *process
	started       int // stores made so far; each relay gets a new one
	shared        bool
	redis         *process // what to keep them in when it is shared
}

// A row is one line of the table: what is measured, the targets of docs/explanation/performance.md with a file and with
// Redis, empty when it is not measured there, and the measurement.
type row struct {
	name, embedded, shared string
	measure                func(context.Context) (string, error)
}

func (b *bench) table(ctx context.Context, w io.Writer) error {
	s, err := startSelf(ctx, "sink")
	if err != nil {
		return err
	}
	defer s.kill() //nolint:errcheck // it ends with this process in any case
	b.sink = s

	store := "embedded store with fsync"
	if b.shared {
		store = "Redis with AOF everysec"
	}
	fmt.Fprintf(w, "%s, %d cores, %s; medians of %d rounds\n\n", runtime.Version(), runtime.NumCPU(), store, b.rounds)
	fmt.Fprintln(w, "| what | target | measured |")
	fmt.Fprintln(w, "| --- | --- | --- |")
	for _, r := range b.rows() {
		target := r.embedded
		if b.shared {
			target = r.shared
		}
		if target == "" || !strings.Contains(r.name, b.only) {
			continue
		}
		got, err := r.measure(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		fmt.Fprintf(w, "| %s | %s | %s |\n", r.name, target, got)
	}
	return nil
}

func (b *bench) rows() []row {
	const slow, down = "delay=200ms", "down=true"
	least := "≥ 0.6 × with fast vendors"
	return []row{
		{
			"1 alert, 1 target, 16 connections: delivered per second, CPU",
			"≥ 0.45 × floor, CPU ≤ 2.5 ×", "≥ 0.5 × floor, CPU ≤ 2.5 ×", b.against(1, 1, b.count),
		},
		{"50 alerts, 1 target: delivered per second, CPU", "CPU ≤ 1.8 ×", "CPU ≤ 1.8 ×", b.against(50, 1, b.count/10)},
		{"1 alert, 4 targets: delivered per second, CPU", "CPU ≤ 2 ×", "CPU ≤ 2 ×", b.against(1, 4, b.count/2)},
		{"answer at half load, p50 / p99", "≤ 3 ms / 25 ms", "≤ 2 ms / 15 ms", b.halfLoad},
		{"webhook to vendor on an idle system, p50", "≤ 5 ms", "≤ 5 ms", b.idleLatency},
		{"accepts with every vendor taking 200 ms, 64 connections", least, least, b.accepts(slow)},
		{"accepts with every vendor down, 64 connections", least, least, b.accepts(down)},
		{
			"one of four targets hanging: the others' p99, webhook to vendor", "≤ 1.2 × a quiet run", "≤ 1.2 × a quiet run",
			b.hanging,
		},
		{"memory: idle / with 100,000 pending of 2 KB", "≤ 40 MB / ≤ 450 MB", "≤ 40 MB / ≤ 80 MB in the relay", b.memory},
		{"idle CPU", "≤ 0.5 % of a core", "≤ 0.5 % of a core", b.idleCPU},
		{"three relays against one, vendor 50 ms: delivered per second", "", "≥ 2.2 ×", b.replicas},
		{"first delivery after kill -9 of the relay", "≤ 2 s", "≤ 2 s", b.afterKill},
		{"first delivery after kill -9 of Redis", "", "≤ 2 s", b.afterRedisKill},
	}
}

// config is the relay's configuration for n targets of the sink without a rate limit.
func (b *bench) config(n int) string {
	var c strings.Builder
	if b.shared {
		fmt.Fprintf(&c, "storage: {redis: {addresses: [%q], namespace: bench%d}}\n", b.redis.url, b.started)
	}
	c.WriteString("route: {receiver: bench}\nreceivers:\n  - name: bench\n    dingtalk_configs:\n")
	for i := range n {
		fmt.Fprintf(&c, "      - url: %s\n        name: t%d\n        rate_limit: {messages: 0}\n        max_in_flight: 64\n"+
			"        title: '{{ .Status }}'\n        text: %q\n", b.target(i), i, text)
	}
	return c.String()
}

func (b *bench) target(i int) string {
	return fmt.Sprintf("%s/robot/send?access_token=t%d", b.sink.url, i)
}

func (b *bench) startRelay(ctx context.Context, targets int) (*process, error) {
	b.started++
	return startRelay(ctx, b.relay, filepath.Join(b.dir, strconv.Itoa(b.started)), b.config(targets))
}

func (b *bench) startFloor(ctx context.Context, targets int) (*process, error) {
	args := []string{"floor"}
	for i := range targets {
		args = append(args, b.target(i))
	}
	return startSelf(ctx, args...)
}

// reset forgets the sink's counts; query sets the behaviour of its targets.
func (b *bench) reset(ctx context.Context, query string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.sink.url+"/reset?"+query, nil)
	if err != nil {
		return err
	}
	resp, err := client().Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// delivered waits until the sink has taken n messages.
func (b *bench) delivered(ctx context.Context, n int) (sinkStats, error) {
	for deadline := time.Now().Add(2 * time.Minute); ; pause(ctx, 2*time.Millisecond) {
		var st sinkStats
		if err := get(ctx, b.sink.url+"/stats", &st); err != nil {
			return st, err
		}
		if st.Count >= n {
			return st, nil
		}
		if time.Now().After(deadline) {
			return st, fmt.Errorf("only %d of %d messages were delivered", st.Count, n)
		}
	}
}

// A figure is what one round gives for one program.
type figure struct {
	perSecond float64       // delivered
	cpu       time.Duration // of the program, per delivered message
	redis     time.Duration // of its Redis, if it has one, per delivered message
	peak      int64
}

// against measures the relay and the floor in alternation.
func (b *bench) against(alerts, targets, count int) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		var floors, relays []figure
		for range b.rounds {
			f, err := b.startFloor(ctx, targets)
			if err != nil {
				return "", err
			}
			got, err := b.round(ctx, f, f.url, alerts, targets, count)
			if err = errors.Join(err, f.kill()); err != nil {
				return "", fmt.Errorf("floor: %w", err)
			}
			floors = append(floors, got)
			r, err := b.startRelay(ctx, targets)
			if err != nil {
				return "", err
			}
			stop := b.startProfile(ctx, r)
			got, err = b.round(ctx, r, r.url+"/webhook", alerts, targets, count)
			if err = errors.Join(err, stop(), r.kill()); err != nil {
				return "", fmt.Errorf("relay: %w", err)
			}
			relays = append(relays, got)
		}
		speed := func(f figure) float64 { return f.perSecond }
		cpu := func(f figure) float64 { return f.cpu.Seconds() }
		peak := func(f figure) float64 { return float64(f.peak) }
		var server string
		if b.shared {
			redis := median(relays, func(f figure) float64 { return f.redis.Seconds() })
			server = fmt.Sprintf(" and %.2f × (%.0f µs) of Redis", redis/median(floors, cpu), redis*1e6)
		}
		return fmt.Sprintf("%.2f × (%.0f/s against %.0f/s), CPU %.2f × (%.0f µs against %.0f µs)%s, memory %.0f MB against %.0f MB",
			median(relays, speed)/median(floors, speed), median(relays, speed), median(floors, speed),
			median(relays, cpu)/median(floors, cpu), median(relays, cpu)*1e6, median(floors, cpu)*1e6, server,
			median(relays, peak)/1e6, median(floors, peak)/1e6), nil
	}
}

// startProfile takes the relay's CPU profile; stop waits for its end and takes the one of allocations. Both must be taken
// before the relay is ended.
func (b *bench) startProfile(ctx context.Context, relay *process) (stop func() error) {
	if b.profile == "" {
		return func() error { return nil }
	}
	done := make(chan error, 1)
	go func() { done <- fetch(ctx, relay.url+"/debug/pprof/profile?seconds=6", b.profile) }()
	return func() error {
		return errors.Join(<-done, fetch(ctx, relay.url+"/debug/pprof/allocs", b.profile+".allocs"))
	}
}

// round loads one program.
func (b *bench) round(ctx context.Context, p *process, to string, alerts, targets, count int) (figure, error) {
	warm := load{url: to, count: 200, connections: 16, alerts: alerts, first: 1 << 30}
	if err := b.reset(ctx, ""); err != nil {
		return figure{}, err
	}
	if _, err := warm.run(ctx); err != nil {
		return figure{}, err
	}
	if _, err := b.delivered(ctx, warm.count*targets); err != nil {
		return figure{}, err
	}
	if err := b.reset(ctx, ""); err != nil {
		return figure{}, err
	}
	before, redis := p.cpu(), b.redis.cpu()
	sent, err := load{url: to, count: count, connections: 16, alerts: alerts}.run(ctx)
	if err != nil {
		return figure{}, err
	}
	if sent.refused > 0 {
		return figure{}, fmt.Errorf("refused %d of %d", sent.refused, count)
	}
	if _, err := b.delivered(ctx, count*targets); err != nil {
		return figure{}, err
	}
	n := count * targets
	took := time.Since(sent.start)
	return figure{
		perSecond: float64(n) / took.Seconds(), cpu: (p.cpu() - before) / time.Duration(n),
		redis: (b.redis.cpu() - redis) / time.Duration(n), peak: p.memory().peak,
	}, nil
}

// halfLoad posts at half the rate that the relay just managed.
func (b *bench) halfLoad(ctx context.Context) (string, error) {
	r, err := b.startRelay(ctx, 1)
	if err != nil {
		return "", err
	}
	defer r.kill() //nolint:errcheck // measured already
	if err := b.reset(ctx, ""); err != nil {
		return "", err
	}
	full, err := load{url: r.url + "/webhook", count: b.count / 2, connections: 16, alerts: 1}.run(ctx)
	if err != nil {
		return "", err
	}
	if _, err := b.delivered(ctx, b.count/2); err != nil { // what is left over would be load as well
		return "", err
	}
	every := time.Duration(2 * float64(full.took) / float64(b.count/2))
	half, err := load{url: r.url + "/webhook", count: b.count / 2, connections: 16, alerts: 1, every: every, first: b.count}.run(ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s / %s at %.0f/s", ms(half.quantile(0.5)), ms(half.quantile(0.99)), half.perSecond(b.count/2)), nil
}

func (b *bench) idleLatency(ctx context.Context) (string, error) {
	r, err := b.startRelay(ctx, 1)
	if err != nil {
		return "", err
	}
	defer r.kill() //nolint:errcheck // measured already
	if err := b.reset(ctx, ""); err != nil {
		return "", err
	}
	const n = 200
	if _, err := (load{url: r.url + "/webhook", count: n, connections: 1, alerts: 1, every: 20 * time.Millisecond}).run(ctx); err != nil {
		return "", err
	}
	st, err := b.delivered(ctx, n)
	return fmt.Sprintf("%s (p99 %s)", ms(st.P50), ms(st.P99)), err
}

// accepts compares how many webhooks are answered per second while the vendors are in trouble and while they are fast.
func (b *bench) accepts(trouble string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		var fast, slow []float64
		for range b.rounds {
			for _, behaviour := range []string{"", trouble + "&target=t0"} {
				if err := b.reset(ctx, behaviour); err != nil {
					return "", err
				}
				r, err := b.startRelay(ctx, 1)
				if err != nil {
					return "", err
				}
				got, err := load{url: r.url + "/webhook", count: b.count / 2, connections: 64, alerts: 1}.run(ctx)
				_ = r.kill()
				if err != nil {
					return "", err
				}
				if got.refused > 0 {
					return "", fmt.Errorf("refused %d", got.refused)
				}
				if behaviour == "" {
					fast = append(fast, got.perSecond(b.count/2))
				} else {
					slow = append(slow, got.perSecond(b.count/2))
				}
			}
		}
		same := func(f float64) float64 { return f }
		return fmt.Sprintf("%.2f × (%.0f/s against %.0f/s)", median(slow, same)/median(fast, same), median(slow, same),
			median(fast, same)), nil
	}
}

// hanging lets one of four targets hang for longer than the run takes.
func (b *bench) hanging(ctx context.Context) (string, error) {
	var quiet, hung []time.Duration
	const n, every = 1000, 4 * time.Millisecond
	for range b.rounds {
		for _, behaviour := range []string{"", "delay=30s&target=t0"} {
			if err := b.reset(ctx, behaviour); err != nil {
				return "", err
			}
			r, err := b.startRelay(ctx, 4)
			if err != nil {
				return "", err
			}
			_, err = load{url: r.url + "/webhook", count: n, connections: 16, alerts: 1, every: every}.run(ctx)
			if err != nil {
				return "", err
			}
			st, err := b.delivered(ctx, n*3)
			_ = r.kill()
			if err != nil {
				return "", err
			}
			if behaviour == "" {
				quiet = append(quiet, st.P99)
			} else {
				hung = append(hung, st.P99)
			}
		}
	}
	same := func(d time.Duration) float64 { return float64(d) }
	q, h := median(quiet, same), median(hung, same)
	return fmt.Sprintf("%.2f × (%s against %s)", h/q, ms(time.Duration(h)), ms(time.Duration(q))), nil
}

func (b *bench) memory(ctx context.Context) (string, error) {
	r, err := b.startRelay(ctx, 1)
	if err != nil {
		return "", err
	}
	defer r.kill() //nolint:errcheck // measured already
	pause(ctx, time.Second)
	idle := r.memory()
	if err := b.reset(ctx, "down=true&target=t0"); err != nil {
		return "", err
	}
	got, err := load{url: r.url + "/webhook", count: 100_000, connections: 64, alerts: 3}.run(ctx)
	if err != nil {
		return "", err
	}
	full := r.memory()
	if b.profile != "" {
		if err := fetch(ctx, r.url+"/debug/pprof/heap", b.profile+".heap"); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%.0f MB / %.0f MB, %.0f MB of it the store's file (%d refused)", float64(idle.now)/1e6,
		float64(full.now)/1e6, float64(full.file-idle.file)/1e6, got.refused), nil
}

func (b *bench) idleCPU(ctx context.Context) (string, error) {
	r, err := b.startRelay(ctx, 4)
	if err != nil {
		return "", err
	}
	defer r.kill() //nolint:errcheck // measured already
	pause(ctx, 2*time.Second)
	before, start := r.cpu(), time.Now()
	pause(ctx, 20*time.Second)
	return fmt.Sprintf("%.2f %%", 100*(r.cpu()-before).Seconds()/time.Since(start).Seconds()), nil
}

// afterKill kills a relay with pending work and takes the time from starting the next one to its first delivery.
func (b *bench) afterKill(ctx context.Context) (string, error) {
	if err := b.reset(ctx, "down=true&target=t0"); err != nil {
		return "", err
	}
	r, err := b.startRelay(ctx, 1)
	if err != nil {
		return "", err
	}
	if _, err := (load{url: r.url + "/webhook", count: 1000, connections: 16, alerts: 1}).run(ctx); err != nil {
		return "", err
	}
	if err := r.kill(); err != nil {
		return "", err
	}
	if err := b.reset(ctx, url.Values{}.Encode()); err != nil {
		return "", err
	}
	start := time.Now()
	again, err := startRelay(ctx, b.relay, filepath.Join(b.dir, strconv.Itoa(b.started)), b.config(1))
	if err != nil {
		return "", err
	}
	defer again.kill() //nolint:errcheck // measured already
	st, err := b.delivered(ctx, 1)
	if err != nil {
		return "", err
	}
	all, err := b.delivered(ctx, 1000)
	return fmt.Sprintf("%s (%d of 1,000 delivered after)", ms(st.First.Sub(start)), all.Count), err
}

func median[T any](xs []T, of func(T) float64) float64 {
	values := make([]float64, len(xs))
	for i, x := range xs {
		values[i] = of(x)
	}
	slices.SortFunc(values, cmp.Compare[float64])
	return values[len(values)/2]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/1e6) }
