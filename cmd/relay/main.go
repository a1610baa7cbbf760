// Command relay takes Alertmanager's webhooks and delivers them to DingTalk, WeCom, Slack and mail.
//
// Here are its commands, flags and exit codes and nothing else: 0 is fine, 1 is an error while running, 2 is wrong use or
// a bad configuration.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // the image has no time zones of its own

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"
)

// The exit codes.
const (
	exitFine  = 0
	exitError = 1
	exitUsage = 2
)

func main() {
	signalled, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, end := context.WithCancel(context.Background())
	context.AfterFunc(signalled, func() {
		stop() // before anything shows that the first was taken: a second signal ends the program at once
		end()
	})
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program: it parses args, runs one command until it ends or ctx does, and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (code int) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case terminated:
			code = int(r)
		default:
			panic(r)
		}
	}()
	root, commands := newProgram(stdout, stderr)
	name, err := root.Parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "relay: %s, try relay --help\n", err)
		return exitUsage
	}
	return commands[name](ctx, stdout, stderr)
}

// newProgram declares the commands with their flags.
func newProgram(stdout, stderr io.Writer) (*kingpin.Application, map[string]command) {
	root := kingpin.New("relay", "Delivers Alertmanager's notifications to DingTalk, WeCom, Slack and mail: each once, in "+
		"order, with the context of the request behind the alert.")
	root.UsageWriter(stdout).ErrorWriter(stderr).Version(version.Print("relay"))
	root.Terminate(func(code int) { panic(terminated(code)) })
	root.HelpFlag.Short('h')

	commands := map[string]command{}
	addServe(root, commands)
	addDemo(root, commands)
	addCheckConfig(root, commands)
	addConfig(root, commands)
	addTemplateRender(root, commands)
	addSendTest(root, commands)
	addRoutesTest(root, commands)
	addDeliveries(root, commands)
	addDeadLetters(root, commands)
	return root, commands
}

// A command runs until it has ended or ctx has, and returns the exit code.
type command func(ctx context.Context, stdout, stderr io.Writer) int

// terminated is how kingpin ends the program: --help, --version and their like.
type terminated int
