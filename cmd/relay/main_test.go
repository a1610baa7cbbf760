package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/sandbox"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"relay": main})
}

// TestScript runs the program as people do: testdata/script has a configuration, a command and its exact output each.
func TestScript(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Values[boxKey{}] = new(*sandbox.Sandbox)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    exits,
			"freeport": freePort,
			"http":     request,
			"retry":    retry,
			"sandbox":  vendors,
		},
	})
}

// exits runs a program that must end with the code given: exits 2 relay check-config bad.yaml.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARG...]")
	}
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var ended *exec.ExitError
		if !errors.As(err, &ended) {
			ts.Fatalf("%s: %s", args[1], err)
		}
		code = ended.ExitCode()
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// freePort sets a variable to the address of a free port on loopback: freeport ADDRESS.
func freePort(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: freeport VARIABLE")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[0], l.Addr().String())
	ts.Check(l.Close())
}

// request sends a request, prints the answer's body, and wants a status: http GET URL 200, http POST URL 200 FILE. It
// waits up to ten seconds for somebody to listen, and for a relay that is still starting.
func request(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: http METHOD URL STATUS [BODY-FILE]")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	body := ""
	if len(args) > 3 {
		body = ts.ReadFile(args[3])
	}
	for {
		req, err := http.NewRequestWithContext(ctx, args[0], args[1], strings.NewReader(body))
		ts.Check(err)
		resp, err := http.DefaultClient.Do(req)
		if err != nil && ctx.Err() == nil {
			pause(ctx)
			continue
		}
		ts.Check(err)
		answer, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		ts.Check(err)
		if resp.StatusCode == http.StatusServiceUnavailable && args[2] != "503" && ctx.Err() == nil {
			pause(ctx)
			continue
		}
		ts.Logf("%s\n%s", resp.Status, answer)
		if strconv.Itoa(resp.StatusCode) != args[2] {
			ts.Fatalf("status %d, want %s", resp.StatusCode, args[2])
		}
		_, err = ts.Stdout().Write(answer)
		ts.Check(err)
		return
	}
}

// pause leaves a starting program the processor for a moment.
func pause(ctx context.Context) {
	select {
	case <-time.After(10 * time.Millisecond):
	case <-ctx.Done():
	}
}

// retry runs a program until what it prints matches, for twenty seconds at most: retry REGEXP PROGRAM [ARG...].
func retry(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: retry REGEXP PROGRAM [ARG...]")
	}
	wanted := regexp.MustCompile("(?m)" + args[0])
	for deadline := time.Now().Add(20 * time.Second); ; {
		err := ts.Exec(args[1], args[2:]...)
		if out := ts.ReadFile("stdout"); err == nil && wanted.MatchString(out) {
			return
		} else if time.Now().After(deadline) {
			ts.Fatalf("%s never printed %q, but at last:\n%s%s", args[1], args[0], out, ts.ReadFile("stderr"))
		}
	}
}

type boxKey struct{}

// vendors plays the vendors: sandbox start VARIABLE sets it to the URL of a Slack hook, VARIABLE_ROBOT to that of
// a DingTalk robot and VARIABLE_DISABLED to that of one that is disabled; sandbox break makes Slack refuse
// every message, sandbox repair ends that, and sandbox await N TEXT waits until it has N messages, the last with the text.
func vendors(ts *testscript.TestScript, neg bool, args []string) {
	box := ts.Value(boxKey{}).(**sandbox.Sandbox)
	switch {
	case !neg && len(args) == 2 && args[0] == "start":
		var err error
		*box, err = sandbox.Start(sandbox.Options{})
		ts.Check(err)
		ts.Defer(func() { ts.Check((*box).Close()) })
		ts.Setenv(args[1], (*box).Slack.Add(sandbox.SlackHook{
			Team: "T1", Bot: "B1", Channel: "ops", Token: "hook-token", Limit: sandbox.NoLimit(),
		}))
		ts.Setenv(args[1]+"_ROBOT", (*box).DingTalk.Add(sandbox.DingTalkRobot{Token: "robot-token-1"}))
		ts.Setenv(args[1]+"_DISABLED", (*box).DingTalk.Add(sandbox.DingTalkRobot{Token: "robot-token-2", Disabled: true}))
	case !neg && len(args) == 1 && args[0] == "break":
		(*box).Slack.Break("", sandbox.FaultAnswer(http.StatusBadRequest, "text/plain", "invalid_payload"))
	case !neg && len(args) == 1 && args[0] == "repair":
		(*box).Slack.Repair("")
	case !neg && len(args) == 3 && args[0] == "await":
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		messages, err := (*box).Await(ctx, sandbox.InboxSlack, n)
		ts.Check(err)
		if last := messages[len(messages)-1]; !strings.Contains(last.Title+last.Text, args[2]) {
			ts.Fatalf("%q is not in:\n%s", args[2], last.Text)
		}
	default:
		ts.Fatalf("usage: sandbox start VARIABLE | break | repair | await N TEXT")
	}
}

// TestReferenceHasEveryFlag keeps the reference page in step with the commands.
func TestReferenceHasEveryFlag(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/reference/command-line.md")
	require.NoError(t, err)
	root, commands := newProgram(io.Discard, io.Discard)
	model := root.Model()
	for name := range commands {
		_, page, found := strings.Cut(string(text), "\n## `relay "+name)
		require.True(t, found, "no heading for relay %s", name)
		page, _, _ = strings.Cut(page, "\n## ")
		require.Equal(t, name != "config schema", len(flagsOf(model.CmdGroupModel, name)) > 0, "relay %s", name)
		for _, flag := range flagsOf(model.CmdGroupModel, name) {
			require.Contains(t, page, "`--"+flag.Name+"`", "relay %s", name)
			for _, value := range flag.Default {
				require.True(t, value == "" || strings.Contains(page, "`--"+flag.Name+"` | `"+value+"` |"),
					"the default of --%s is %s", flag.Name, value)
			}
		}
	}
	for _, flag := range model.Flags {
		require.True(t, flag.Hidden || strings.Contains(string(text), "--"+flag.Name), "--%s", flag.Name)
	}
}

// flagsOf are the flags of a command, given with those it is part of.
func flagsOf(group *kingpin.CmdGroupModel, name string) []*kingpin.FlagModel {
	for _, cmd := range group.FlattenedCommands() {
		if cmd.FullCommand == name {
			return cmd.Flags
		}
	}
	return nil
}
