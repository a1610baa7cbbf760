package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/alertrelay/relay/config"
	"github.com/alertrelay/relay/internal/app"
	"github.com/alertrelay/relay/internal/sandbox"
	"github.com/alertrelay/relay/outbox"
)

// addDemo adds relay demo: a relay and the four vendors in one process, until ctx ends. It leaves nothing behind.
func addDemo(root *kingpin.Application, commands map[string]command) {
	cmd := root.Command("demo",
		"Show it: a relay, four inboxes and a page to look at, in one process. Nothing is left behind.")
	listen := cmd.Flag("demo.listen-address", "Address of the page.").Default("127.0.0.1:0").String()
	speed := cmd.Flag("demo.speed", "How many times faster the alerts come; at 1 the story takes 20 seconds.").
		Default("1").Float64()

	commands[cmd.FullCommand()] = func(ctx context.Context, stdout, stderr io.Writer) int {
		if *speed <= 0 {
			fmt.Fprintln(stderr, "--demo.speed must be above 0")
			return exitUsage
		}
		d := &demo{listen: *listen, speed: *speed, stdout: stdout, stderr: stderr}
		if err := d.run(ctx); err != nil {
			complain(stderr, err)
			return exitError
		}
		fmt.Fprint(stdout, demoAfterword)
		return exitFine
	}
}

// A demo is a relay whose vendors are a sandbox.
type demo struct {
	listen         string
	speed          float64
	stdout, stderr io.Writer

	relay atomic.Pointer[app.App] // the page asks for its history
}

// run plays the story and goes on serving until ctx ends.
func (d *demo) run(ctx context.Context) (err error) {
	folder, err := os.MkdirTemp("", "relay-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()

	zone := localZone()
	sb, err := sandbox.Start(sandbox.Options{
		Listen: d.listen, Zone: zone, Events: d.events,
		Mail: sandbox.MailSettings{Username: "relay", Password: demoPassword},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sb.Close()) }()
	c, err := config.Parse(filepath.Join(folder, defaultConfigFile), demoConfig(sb, zone))
	if err != nil {
		return err
	}
	relay, err := app.New(ctx, c, app.Options{
		StoragePath:     filepath.Join(folder, "data"),
		ListenAddresses: []string{"127.0.0.1:0"},
		Logger:          slog.New(slog.NewTextHandler(d.stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Grace:           time.Second,
	})
	if err != nil {
		return err
	}
	d.relay.Store(relay)
	webhook := "http://" + relay.Addresses()[0] + "/webhook"
	fmt.Fprintf(d.stdout, demoWelcome, sb.URL(), webhook)
	return d.play(ctx, relay, sandbox.Story{Webhook: webhook, Elsewhere: sb.Elsewhere(), Speed: d.speed})
}

// play runs the relay, the story and the lines on the terminal side by side. Only the relay ends them.
func (d *demo) play(ctx context.Context, relay *app.App, story sandbox.Story) error {
	ctx, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	beside.Go(func() { d.print(ctx) })
	beside.Go(func() {
		if err := story.Tell(ctx); err != nil && ctx.Err() == nil {
			complain(d.stderr, err)
		}
	})
	err := relay.Run(ctx)
	cancel()
	beside.Wait()
	return err
}

// historyShown bounds what the page and the terminal look back at.
const historyShown = 500

// events are what the relay did, newest first.
func (d *demo) events() []sandbox.Event {
	var out []sandbox.Event
	for _, e := range d.history(context.Background()) {
		out = append(out, sandbox.Event{
			At: e.At, Type: string(e.Type), Notification: e.Notification, Status: e.Status, Alerts: e.Alerts,
			Entries: e.Entries, Inbox: integrationType(e), Attempt: e.Attempt, Duration: e.Duration, Detail: e.Detail,
		})
	}
	return out
}

func (d *demo) history(ctx context.Context) []outbox.Event {
	relay := d.relay.Load()
	if relay == nil {
		return nil
	}
	events, _, err := relay.History(ctx, outbox.HistoryQuery{Limit: historyShown})
	if err != nil {
		return nil // it is ending
	}
	return events
}

// integrationType is the middle of receiver/type/name.
func integrationType(e outbox.Event) string {
	if parts := strings.SplitN(string(e.Integration), "/", 3); len(parts) == 3 {
		return parts[1]
	}
	return ""
}

// print writes one line for each event, soon after it happened.
func (d *demo) print(ctx context.Context) {
	seen := map[outbox.Event]bool{}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		events := d.history(ctx)
		current := make(map[outbox.Event]bool, len(events))
		for i := range events {
			e := events[len(events)-1-i]
			if current[e] = true; !seen[e] {
				fmt.Fprintln(d.stdout, demoLine(e))
			}
		}
		seen = current
	}
}

// demoLine tells one event: what came in, or what went out, where to and how long it took.
func demoLine(e outbox.Event) string {
	line := fmt.Sprintf("%s  %-9s  ", e.At.Local().Format("15:04:05"), e.Type)
	switch e.Type {
	case outbox.EventAccepted:
		return line + fmt.Sprintf("%-8s  %s for %d destinations", e.Status, count(e.Alerts, "alert"), e.Entries)
	case outbox.EventDuplicate:
		return line + "the same state again, from the other Alertmanager: nothing is sent"
	case outbox.EventSent:
		took := e.Duration.Round(100 * time.Microsecond)
		return line + fmt.Sprintf("%-8s  %s  (%s)", integrationType(e), firstLine(e.Text), took)
	case outbox.EventMerged:
		return line + fmt.Sprintf("%-8s  told within a newer one", integrationType(e))
	case outbox.EventRetrying, outbox.EventFailed:
		return line + fmt.Sprintf("%-8s  %s: %s", integrationType(e), e.Reason, e.Detail)
	case outbox.EventRequeued, outbox.EventDropped: // by a person, from the dead letters
		return line + integrationType(e)
	}
	return line + e.Detail
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// firstLine is enough to recognise a message. WeCom's colours mean nothing on a terminal.
func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return regexp.MustCompile(`</?font[^>]*>`).ReplaceAllString(strings.TrimLeft(line, "# "), "")
}

// localZone is the zone of this machine under its IANA name, or UTC when the name is not known.
func localZone() *time.Location {
	name := os.Getenv("TZ")
	if target, err := os.Readlink("/etc/localtime"); name == "" && err == nil {
		_, name, _ = strings.Cut(target, "zoneinfo/")
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC
	}
	return zone
}
