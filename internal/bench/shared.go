package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// replicas compares three relays that share a Redis with one. The vendor takes 50 ms, and each relay may have only a few
// calls under way: not the two cores but the relays are what there is too little of. So it shows whether they take what
// waits side by side, or in each other's way.
func (b *bench) replicas(ctx context.Context) (string, error) {
	const few, seconds = "delivery: {max_sends: 8}\n", 5
	perSecond := func(relays int) (float64, error) {
		if err := b.reset(ctx, "delay=50ms&target=t0"); err != nil {
			return 0, err
		}
		b.started++
		var urls []string
		for i := range relays {
			dir := filepath.Join(b.dir, strconv.Itoa(b.started)+"-"+strconv.Itoa(i))
			r, err := startRelay(ctx, b.relay, dir, few+b.config(1))
			if err != nil {
				return 0, err
			}
			defer r.kill() //nolint:errcheck // measured already
			urls = append(urls, r.url+"/webhook")
		}
		n := relays * seconds * 160 // 8 calls of 50 ms
		sent, err := load{url: urls[0], others: urls[1:], count: n, connections: 16, alerts: 1}.run(ctx)
		if err != nil {
			return 0, err
		}
		if sent.refused > 0 {
			return 0, fmt.Errorf("refused %d of %d", sent.refused, n)
		}
		_, err = b.delivered(ctx, n)
		return float64(n) / time.Since(sent.start).Seconds(), err
	}
	var one, three []float64
	for range b.rounds {
		a, err := perSecond(1)
		if err != nil {
			return "", err
		}
		c, err := perSecond(3)
		if err != nil {
			return "", err
		}
		one, three = append(one, a), append(three, c)
	}
	same := func(f float64) float64 { return f }
	return fmt.Sprintf("%.2f × (%.0f/s against %.0f/s)", median(three, same)/median(one, same), median(three, same),
		median(one, same)), nil
}

// afterRedisKill kills a Redis of its own under load, starts it again at once, and takes the time until something is
// delivered that was posted after the kill.
func (b *bench) afterRedisKill(ctx context.Context) (string, error) {
	addr, err := freeAddress(ctx)
	if err != nil {
		return "", err
	}
	dir, others := filepath.Join(b.dir, "killed"), b.redis
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	own, err := startRedis(ctx, dir, addr)
	if err != nil {
		return "", err
	}
	b.redis = own
	defer func() {
		_ = b.redis.kill()
		b.redis = others
	}()
	r, err := b.startRelay(ctx, 1)
	if err != nil {
		return "", err
	}
	defer r.kill() //nolint:errcheck // measured already
	if err := b.reset(ctx, ""); err != nil {
		return "", err
	}
	const n = 1000
	done := make(chan error, 1)
	var sent posted
	go func() {
		var err error
		sent, err = load{url: r.url + "/webhook", count: n, connections: 16, alerts: 1, every: 5 * time.Millisecond}.run(ctx)
		done <- err
	}()
	pause(ctx, time.Second)
	if err := b.redis.kill(); err != nil {
		return "", err
	}
	killed := time.Now()
	again, err := startRedis(ctx, dir, addr)
	if err != nil {
		return "", err
	}
	b.redis = again
	if err := b.reset(ctx, "since="+strconv.FormatInt(killed.UnixNano(), 10)); err != nil {
		return "", err
	}
	if err := <-done; err != nil {
		return "", err
	}
	var st sinkStats
	for deadline := time.Now().Add(time.Minute); st.First.IsZero(); pause(ctx, 10*time.Millisecond) {
		if err := get(ctx, b.sink.url+"/stats", &st); err != nil {
			return "", err
		}
		if time.Now().After(deadline) {
			return "", errors.New("nothing was delivered after Redis was killed")
		}
	}
	return fmt.Sprintf("%s (%d of 1,000 webhooks refused meanwhile)", ms(st.First.Sub(killed)), sent.refused), nil
}
