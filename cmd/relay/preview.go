package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/config"
	"github.com/alertrelay/relay/internal/app"
	"github.com/alertrelay/relay/internal/operator"
	"github.com/alertrelay/relay/internal/samples"
)

// addTemplateRender adds relay template render: what would be sent, without sending it.
func addTemplateRender(root *kingpin.Application, commands map[string]command) {
	cmd := root.Command("template", "Work with templates.").
		Command("render", "Show the requests that a notification becomes, without sending anything.")
	b, form := benchFlags(cmd), messageForm(cmd)
	text := cmd.Flag("template.text", "Execute this template instead, and print its result.").String()
	kind := cmd.Flag("template.type", "How --template.text escapes: text or html.").Default("text").Enum("text", "html")
	locale := cmd.Flag("template.locale", "Language of --template.text: zh-CN or en; default: the configuration's.").
		Default("").Enum("", relay.LocaleChinese, relay.LocaleEnglish)

	commands[cmd.FullCommand()] = func(ctx context.Context, stdout, stderr io.Writer) int {
		bench, n, err := b.open(ctx)
		if err != nil {
			return exitCode(stderr, err)
		}
		if *text != "" {
			said, err := bench.Execute(n, *text, *locale, *kind == "html")
			if err == nil {
				_, err = fmt.Fprintln(stdout, said)
			}
			return exitCode(stderr, err)
		}
		return exitCode(stderr, b.try(ctx, stdout, bench, n, *form, false))
	}
}

// addSendTest adds relay send-test: what template render shows, sent, and the vendor's answer.
func addSendTest(root *kingpin.Application, commands map[string]command) {
	cmd := root.Command("send-test", "Send a notification to a receiver, past the store, and show the vendor's answer.")
	b, form := benchFlags(cmd), messageForm(cmd)

	commands[cmd.FullCommand()] = func(ctx context.Context, stdout, stderr io.Writer) int {
		if *b.receiver == "" && *b.integration == "" {
			return exitCode(stderr, usage("name the --receiver or the --integration to send to"))
		}
		bench, n, err := b.open(ctx)
		if err == nil {
			err = b.try(ctx, stdout, bench, n, *form, true)
		}
		return exitCode(stderr, err)
	}
}

// A benchTest is what the commands that try a configuration out have in common.
type benchTest struct {
	file, externalURL, receiver, integration, payload *string

	fixed []byte // instead of a payload
}

func benchFlags(cmd *kingpin.CmdClause) benchTest {
	return benchTest{
		file:        configFileFlag(cmd),
		externalURL: cmd.Flag("web.external-url", "Where people reach the relay, as serve is given it.").Default("").String(),
		receiver:    cmd.Flag("receiver", "Straight to this receiver, past the routing tree.").String(),
		integration: cmd.Flag("integration", "To this integration alone: receiver/type/name, as in logs.").String(),
		payload: cmd.Flag("payload", "Alertmanager's webhook body: a file, - for standard input, or one of the samples "+
			strings.Join(samples.Names(), ", ")+".").Default("firing").String(),
	}
}

func messageForm(cmd *kingpin.CmdClause) *string {
	return cmd.Flag("output", "Form of the output: text or json.").Short('o').Default("text").Enum("text", formJSON)
}

// open builds the configuration and reads the payload.
func (b benchTest) open(ctx context.Context) (*app.Bench, *relay.Notification, error) {
	c, err := config.Load(*b.file)
	if err != nil {
		return nil, nil, &app.ConfigError{Err: err}
	}
	bench, err := app.NewBench(c, *b.externalURL)
	if err != nil {
		return nil, nil, &app.ConfigError{Err: err}
	}
	body, err := b.body()
	if err != nil {
		return nil, nil, err
	}
	n, err := bench.Read(ctx, body)
	if err != nil {
		return nil, nil, usage("--payload: " + err.Error())
	}
	return bench, n, nil
}

// maxPayload bounds what is read, as the way in does.
const maxPayload = 16 << 20

// body reads what --payload names. A file goes before a sample of its name.
func (b benchTest) body() ([]byte, error) {
	name := *b.payload
	switch {
	case b.fixed != nil:
		return b.fixed, nil
	case name == "-":
		return io.ReadAll(io.LimitReader(os.Stdin, maxPayload))
	}
	body, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		if body = samples.Body(name, time.Now()); body != nil {
			return body, nil
		}
		return nil, usage(fmt.Sprintf("--payload: %q is neither a file nor one of the samples %s", name,
			strings.Join(samples.Names(), ", ")))
	}
	return body, err
}

// try tries the notification on every way it goes, and says whether something is wrong.
func (b benchTest) try(
	ctx context.Context, stdout io.Writer, bench *app.Bench, n *relay.Notification, form string, send bool,
) error {
	ways, err := bench.Ways(n, app.Choice{Receiver: *b.receiver, Integration: relay.IntegrationID(*b.integration)})
	if err != nil {
		return usage(err.Error())
	}
	trials, failed := make([]app.Trial, 0, len(ways)), false
	for _, way := range ways {
		trial := bench.Try(ctx, way, send)
		trials, failed = append(trials, trial), failed || trial.Failed()
		if form != formJSON {
			tellTrial(stdout, trial)
		}
	}
	if form == formJSON {
		err = operator.WriteJSON(stdout, trials)
	} else if len(trials) == 0 {
		_, err = fmt.Fprintln(stdout, "Nobody is told: no integration wants these alerts.")
	}
	if err == nil && failed {
		return errRefused
	}
	return err
}
