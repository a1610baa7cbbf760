package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"github.com/alertrelay/relay/internal/app"
	"github.com/alertrelay/relay/internal/operator"
)

// addDeliveries adds relay deliveries list.
func addDeliveries(root *kingpin.Application, commands map[string]command) {
	group := root.Command("deliveries", "Look at what became of notifications, at a running relay.")
	cmd := group.Command("list", "List deliveries, one line per notification and destination: those that wait first.")
	relay, choice, form := relayFlags(cmd), filterFlags(cmd), outputFlag(cmd)
	known := []string{"pending", "retrying", "sent", "merged", "failed"}
	states := cmd.Flag("state", "Only those in this state, or in these with commas between them: "+
		strings.Join(known, ", ")+".").HintOptions(known...).Strings()
	limit := limitFlag(cmd)

	commands[cmd.FullCommand()] = func(ctx context.Context, stdout, stderr io.Writer) int {
		query, err := choice.query()
		for state := range strings.SplitSeq(strings.Join(*states, ","), ",") {
			if len(*states) > 0 && !slices.Contains(known, state) {
				err = usage(fmt.Sprintf("--state: it is one of %s, not %q", strings.Join(known, ", "), state))
			}
		}
		if len(*states) > 0 {
			query.Set("state", strings.Join(*states, ","))
		}
		if err == nil {
			err = relay.list(ctx, stdout, operator.Deliveries, query, *limit, *form)
		}
		return exitCode(stderr, err)
	}
}

// addDeadLetters adds relay dead-letters list, requeue and drop.
func addDeadLetters(root *kingpin.Application, commands map[string]command) {
	group := root.Command("dead-letters", "Look at what could not be told and decide about it, at a running relay.")
	cmd := group.Command("list", "List dead letters, newest notifications first.")
	relay, choice, form := relayFlags(cmd), filterFlags(cmd), outputFlag(cmd)
	choice.reason = reasonFlag(cmd)
	limit := limitFlag(cmd)
	commands[cmd.FullCommand()] = func(ctx context.Context, stdout, stderr io.Writer) int {
		query, err := choice.query()
		if err == nil {
			err = relay.list(ctx, stdout, operator.DeadLetters, query, *limit, *form)
		}
		return exitCode(stderr, err)
	}

	requeue := group.Command("requeue", "Tell dead letters after all.")
	force := requeue.Flag("force", "Also those whose group was told newer news since.").Bool()
	addOrder(requeue, operator.Requeue, force, commands)
	addOrder(group.Command("drop", "Give up dead letters for good."), operator.Drop, new(bool), commands)
}

// addOrder adds what requeue and drop have in common.
func addOrder(cmd *kingpin.CmdClause, o operator.Order, force *bool, commands map[string]command) {
	relay, choice, form := relayFlags(cmd), filterFlags(cmd), outputFlag(cmd)
	choice.reason = reasonFlag(cmd)
	all := cmd.Flag("all", "All dead letters, or all that the filters select.").Bool()
	ids := cmd.Arg("id", "Ids of dead letters, as dead-letters list shows them.").Strings()
	commands[cmd.FullCommand()] = func(ctx context.Context, stdout, stderr io.Writer) int {
		query, err := choice.query()
		switch {
		case err != nil:
		case *all == (len(*ids) > 0):
			err = usage("name dead letters, or give --all")
		case !*all && len(query) > 0:
			err = usage("filters go with --all")
		default:
			err = relay.order(ctx, stdout, o, *ids, query, *force, *form)
		}
		return exitCode(stderr, err)
	}
}

// errRefused ends a command whose order was not carried out for all; what was refused is told already.
var errRefused = errors.New("not all was done")

// A target is the relay to ask, and who calls.
type target struct {
	url, token, tokenFile, username, passwordFile, httpConfig *string
}

func relayFlags(cmd *kingpin.CmdClause) target {
	return target{
		url: cmd.Flag("relay.url", "Where the relay listens ($RELAY_URL).").Default("http://127.0.0.1:8060").
			Envar("RELAY_URL").String(),
		token: cmd.Flag("relay.token", "Bearer token of api_auth; better in $RELAY_TOKEN or a file.").
			Envar("RELAY_TOKEN").String(),
		tokenFile:    cmd.Flag("relay.token-file", "File with the bearer token of api_auth.").String(),
		username:     cmd.Flag("relay.username", "User of the relay's web configuration file.").String(),
		passwordFile: cmd.Flag("relay.password-file", "File with the password of --relay.username.").String(),
		httpConfig: cmd.Flag("http.config.file", "HTTP client configuration of Prometheus: TLS, client certificates, "+
			"authentication.").String(),
	}
}

func (t target) client() (*operator.Client, error) {
	c := promconfig.DefaultHTTPClientConfig
	if *t.httpConfig != "" {
		read, _, err := promconfig.LoadHTTPConfigFile(*t.httpConfig)
		if err != nil {
			return nil, usage("--http.config.file: " + err.Error())
		}
		c = *read
	}
	if *t.token != "" || *t.tokenFile != "" {
		c.Authorization = &promconfig.Authorization{
			Type: "Bearer", Credentials: promconfig.Secret(*t.token), CredentialsFile: *t.tokenFile,
		}
	}
	if *t.username != "" || *t.passwordFile != "" {
		c.BasicAuth = &promconfig.BasicAuth{Username: *t.username, PasswordFile: *t.passwordFile}
	}
	if err := c.Validate(); err != nil {
		return nil, usage(err.Error())
	}
	return operator.New(*t.url, c)
}

func (t target) list(
	ctx context.Context, stdout io.Writer, l operator.List, query url.Values, limit int, form string,
) error {
	if limit < 0 {
		return usage("--limit: it is 0 or more")
	}
	client, err := t.client()
	if err != nil {
		return err
	}
	rows, err := client.Rows(ctx, l, query, limit)
	if err != nil {
		return err
	}
	if form == formJSON {
		return operator.WriteJSON(stdout, append([]operator.Row{}, rows...))
	}
	return operator.WriteTable(stdout, l, rows, time.Local)
}

// order gives an order for the dead letters named, or for all that the query selects when none is.
func (t target) order(
	ctx context.Context, stdout io.Writer, o operator.Order, ids []string, query url.Values, force bool, form string,
) error {
	client, err := t.client()
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		rows, err := client.Rows(ctx, operator.DeadLetters, query, 0)
		if err != nil {
			return err
		}
		for _, r := range rows {
			ids = append(ids, r.ID)
		}
	}
	result, err := client.Give(ctx, o, ids, force)
	if form == formJSON {
		err = errors.Join(err, operator.WriteJSON(stdout, result))
	} else {
		tellResult(stdout, o, result)
	}
	if err == nil && len(result.Refused) > 0 {
		return errRefused
	}
	return err
}

func tellResult(stdout io.Writer, o operator.Order, r operator.Result) {
	done := map[operator.Order]string{operator.Requeue: "Requeued", operator.Drop: "Dropped"}[o]
	if len(r.Refused) == 0 {
		fmt.Fprintf(stdout, "%s %d.\n", done, len(r.Done))
		return
	}
	fmt.Fprintf(stdout, "%s %d, refused %d:\n", done, len(r.Done), len(r.Refused))
	for _, refused := range r.Refused {
		fmt.Fprintln(stdout, operator.Printable(refused.ID+" "+refused.Reason+": "+refused.Error))
	}
}

// A choice is what the filter flags say.
type choice struct {
	receiver, integration, destination, groupKey, notification, since, until *string

	reason *string // nil where there is none
}

func filterFlags(cmd *kingpin.CmdClause) choice {
	return choice{
		receiver:     cmd.Flag("receiver", "Only those of this receiver.").String(),
		integration:  cmd.Flag("integration", "Only those of this integration: receiver/type/name.").String(),
		destination:  cmd.Flag("destination", "Only those that go there.").String(),
		groupKey:     cmd.Flag("group-key", "Only those of this alert group.").String(),
		notification: cmd.Flag("notification", "Only those of this notification.").String(),
		since:        cmd.Flag("since", "Only those from then on: 2026-11-20T08:00:00Z, or 3h for three hours ago.").String(),
		until:        cmd.Flag("until", "Only those before then.").String(),
	}
}

func (c choice) query() (url.Values, error) {
	q := url.Values{}
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	set("receiver", *c.receiver)
	set("integration", *c.integration)
	set("destination", *c.destination)
	set("groupKey", *c.groupKey)
	set("notification", *c.notification)
	if c.reason != nil {
		set("reason", *c.reason)
	}
	for name, value := range map[string]string{"since": *c.since, "until": *c.until} {
		at, err := instant(value, time.Now())
		if err != nil {
			return q, usage("--" + name + ": " + err.Error())
		}
		set(name, at)
	}
	return q, nil
}

var errInstant = errors.New("it must be like 2026-11-20T08:00:00Z, or 3h for three hours ago")

// instant reads a time, or how long ago it was.
func instant(text string, now time.Time) (string, error) {
	if text == "" {
		return "", nil
	}
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at.Format(time.RFC3339Nano), nil
	}
	ago, err := model.ParseDuration(text)
	if err != nil {
		return "", errInstant
	}
	return now.Add(-time.Duration(ago)).UTC().Format(time.RFC3339Nano), nil
}

func reasonFlag(cmd *kingpin.CmdClause) *string {
	return cmd.Flag("reason", "Only those that failed for this reason: refused, max_age …").String()
}

func limitFlag(cmd *kingpin.CmdClause) *int {
	return cmd.Flag("limit", "Most lines; 0 for all.").Default("100").Int()
}

// formJSON is the form for programs; the other is a table.
const formJSON = "json"

func outputFlag(cmd *kingpin.CmdClause) *string {
	return cmd.Flag("output", "Form of the output: table or json.").Short('o').Default("table").Enum("table", formJSON)
}

// usage is an error of the command line.
func usage(text string) error { return usageError(text) }

type usageError string

func (e usageError) Error() string { return string(e) }

// exitCode tells an error and which code it ends the program with.
func exitCode(stderr io.Writer, err error) int {
	if err == nil {
		return exitFine
	}
	if errors.Is(err, errRefused) {
		return exitError
	}
	complain(stderr, err)
	var local usageError
	var asked *operator.UsageError
	var unusable *app.ConfigError
	if errors.As(err, &local) || errors.As(err, &asked) || errors.As(err, &unusable) {
		return exitUsage
	}
	return exitError
}
