// Command bench measures the relay against the floor: the least relay there can be, without a store, dedupe, retry or
// history. It builds the relay, runs both in alternation on loopback for several rounds, and prints medians and ratios
// as the table of docs/explanation/performance.md. Figures of different runs do not compare; ratios within one do.
//
// It sends to loopback only, is bounded in count and time, and stops every process it started.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
)

func main() {
	// The measured programs are children of this one: the same binary under another name.
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "floor":
			exit(floor(os.Args[2:]))
		case "sink":
			exit(sink())
		}
	}
	rounds := flag.Int("rounds", 5, "rounds of each measurement")
	count := flag.Int("count", 20000, "notifications per round")
	only := flag.String("only", "", "run only the rows whose name contains this text")
	profile := flag.String("profile", "", "write the relay's CPU profile of the last round to this file")
	redis := flag.Bool("redis", false, "keep what is pending in a redis-server, AOF everysec, instead of a file")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	exit(run(ctx, bench{rounds: *rounds, count: *count, only: *only, profile: *profile, shared: *redis}))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(ctx context.Context, b bench) error {
	dir, err := os.MkdirTemp("", "relay-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b.dir, b.relay = dir, filepath.Join(dir, "relay")
	if err := build(ctx, b.relay); err != nil {
		return err
	}
	if b.shared {
		addr, err := freeAddress(ctx)
		if err != nil {
			return err
		}
		if b.redis, err = startRedis(ctx, dir, addr); err != nil {
			return err
		}
		defer func() { _ = b.redis.kill() }()
	}
	return b.table(ctx, os.Stdout)
}
