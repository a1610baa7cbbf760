package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/alertrelay/relay/internal/app"
	"github.com/alertrelay/relay/internal/operator"
	"github.com/alertrelay/relay/internal/samples"
)

// addRoutesTest adds relay routes test: which receivers labels or a notification reach.
func addRoutesTest(root *kingpin.Application, commands map[string]command) {
	cmd := root.Command("routes", "Work with the routing tree.").
		Command("test", "Show which receivers and destinations labels, or a notification, reach.")
	file := configFileFlag(cmd)
	from := cmd.Flag("payload", "Alertmanager's webhook body, as for template render.").String()
	want := cmd.Flag("verify.receivers", "Fail unless exactly these are reached, with commas between them.").String()
	form := outputFlag(cmd)
	pairs := cmd.Arg("label", "Labels of an alert: team=pay.").Strings()

	commands[cmd.FullCommand()] = func(ctx context.Context, stdout, stderr io.Writer) int {
		if (*from == "") == (len(*pairs) == 0) {
			return exitCode(stderr, usage("give labels, or a --payload"))
		}
		b := benchTest{file: file, externalURL: new(""), payload: from}
		if len(*pairs) > 0 {
			labels, err := labelsOf(*pairs)
			if err != nil {
				return exitCode(stderr, err)
			}
			b.fixed = samples.Labelled(labels, time.Now())
		}
		bench, n, err := b.open(ctx)
		if err != nil {
			return exitCode(stderr, err)
		}
		ways, err := bench.Ways(n, app.Choice{})
		if err == nil {
			err = tellWays(stdout, ways, *form)
		}
		if err == nil && *want != "" {
			err = verify(ways, *want)
		}
		return exitCode(stderr, err)
	}
}

// labelsOf reads name=value, with or without quotes round the value.
func labelsOf(pairs []string) (map[string]string, error) {
	labels := map[string]string{}
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, usage(fmt.Sprintf("%q is no label: team=pay is expected", pair))
		}
		if unquoted, err := strconv.Unquote(value); err == nil {
			value = unquoted
		}
		labels[name] = value
	}
	return labels, nil
}

func tellWays(w io.Writer, ways []app.Way, form string) error {
	if form == formJSON {
		return operator.WriteJSON(w, append([]app.Way{}, ways...))
	}
	rows := [][]string{{"RECEIVER", "INTEGRATION", "DESTINATION", "ROOM", "ALERTS"}}
	for _, way := range ways {
		to := way.Destination
		if way.Error != "" {
			to = "error: " + way.Error
		}
		rows = append(rows, []string{way.Receiver, string(way.Integration), to, way.Room, strconv.Itoa(way.Alerts)})
	}
	return operator.WriteCells(w, rows)
}

// verify compares the receivers reached with those wanted.
func verify(ways []app.Way, want string) error {
	var got []string
	for _, way := range ways {
		got = append(got, way.Receiver)
	}
	slices.Sort(got)
	wanted := strings.Split(want, ",")
	slices.Sort(wanted)
	if got = slices.Compact(got); !slices.Equal(got, wanted) {
		return fmt.Errorf("reached are %s", strings.Join(got, ","))
	}
	return nil
}
