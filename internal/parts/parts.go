// Package parts starts the real programs that tests talk to: Alertmanager, Redis, the relay itself. Everything listens on free
// loopback ports, keeps its files in the test's own folder, and is ended by its process id when the test ends.
package parts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds how long a program may take to start or to end.
const patience = 2 * time.Minute

// Binary finds a program by its name, or takes the path that it has found before. When there is none the test is skipped
// with the reason; in CI it fails, because there `make test` has installed it.
func Binary(tb testing.TB, name string) string {
	tb.Helper()
	if filepath.IsAbs(name) {
		return name
	}
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin", filepath.Join(Root(), "build/bin")) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 && !info.IsDir() {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		tb.Fatalf("%s is missing; make test installs it", name)
	}
	tb.Skipf("%s is missing; make test installs it where it may", name)
	return ""
}

// Root is the project's folder.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// FreeAddress is a loopback address that nobody listens on. Another process could take it before it is used, so programs
// that can choose a port themselves should.
func FreeAddress(tb testing.TB) string {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A Process is a program that a test started.
type Process struct {
	cmd  *exec.Cmd
	log  *buffer
	done chan struct{}
}

// Start starts a program; it ends with the test at the latest.
func Start(tb testing.TB, name string, args ...string) *Process {
	tb.Helper()
	return StartWith(tb, &syscall.SysProcAttr{}, name, args...)
}

// StartWith is Start with attributes of the process: its root, its user.
func StartWith(tb testing.TB, attributes *syscall.SysProcAttr, name string, args ...string) *Process {
	tb.Helper()
	cmd := exec.CommandContext(context.Background(), name, args...)
	cmd.SysProcAttr = attributes
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	log := &buffer{}
	cmd.Stdout, cmd.Stderr = log, log
	// The kernel sends the death signal when the thread that started the process ends: keep to one that stays.
	if err := onMainThread(cmd.Start); err != nil {
		tb.Fatal(err)
	}
	p := &Process{cmd: cmd, log: log, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait()
	}()
	tb.Cleanup(func() {
		p.Kill()
		if tb.Failed() {
			tb.Logf("%s:\n%s", filepath.Base(name), p.Log())
		}
	})
	return p
}

// Log is what the program has printed so far.
func (p *Process) Log() string { return p.log.String() }

// PID is the program's process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal.
func (p *Process) Signal(s os.Signal) { _ = p.cmd.Process.Signal(s) }

// Freeze stops the program where it stands, until a SIGCONT, and returns once none of its threads runs any more: one may go
// on for a while after the signal was sent.
func (p *Process) Freeze() {
	p.Signal(syscall.SIGSTOP)
	threads := fmt.Sprintf("/proc/%d/task/*/stat", p.cmd.Process.Pid)
	for began := time.Now(); time.Since(began) < patience; time.Sleep(time.Millisecond) {
		stats, _ := filepath.Glob(threads)
		if !slices.ContainsFunc(stats, runs) {
			return
		}
	}
}

// runs tells whether the thread with this stat file, as proc(5) has it, is neither stopped (T) nor dead (Z, X).
func runs(stat string) bool {
	text, err := os.ReadFile(stat)
	_, state, _ := strings.Cut(string(text), ") ")
	return err == nil && strings.IndexAny(state, "TZX") != 0
}

// Kill ends the program at once, as a crash would, and waits for its end.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Stop asks the program to end, waits for it, and returns its exit code.
func (p *Process) Stop(tb testing.TB) int {
	tb.Helper()
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(patience):
		tb.Fatalf("%s did not end in %s", p.cmd.Path, patience)
	}
	return p.cmd.ProcessState.ExitCode()
}

// Ready waits until url answers 200.
func (p *Process) Ready(tb testing.TB, url string) {
	tb.Helper()
	WaitFor(tb, p.cmd.Path+" to get ready", func() error {
		select {
		case <-p.done:
			tb.Fatalf("%s ended:\n%s", p.cmd.Path, p.Log())
		default:
		}
		resp, err := http.Get(url) //nolint:noctx // bounded by WaitFor
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
}

// WaitFor asks again and again until ask returns nil, and fails the test with its last error after half a minute.
func WaitFor(tb testing.TB, what string, ask func() error) {
	tb.Helper()
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if err = ask(); err == nil {
			return
		}
	}
	tb.Fatalf("waited %s for %s: %v", patience, what, err)
}

// buffer is a bytes.Buffer for a writing process and a reading test.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// onMainThread runs f on a thread that lives as long as the test program.
func onMainThread(f func() error) error {
	starter.Do(func() {
		go func() {
			runtime.LockOSThread()
			for job := range jobs {
				job()
			}
		}()
	})
	result := make(chan error)
	jobs <- func() { result <- f() }
	return <-result
}

//nolint:gochecknoglobals // one thread per test program is the point
var (
	starter sync.Once
	jobs    = make(chan func())
)

// RelayBinary builds the relay once per test program, with the race detector if the test has it.
func RelayBinary(tb testing.TB) string {
	tb.Helper()
	args := []string{"-tags", "nomsgpack"}
	if raceEnabled {
		args = append(args, "-race")
	}
	return relay.build(tb, "cmd/relay", args...)
}

// ServiceBinary builds recorder/example, a service that records the context of its requests, once per test program.
func ServiceBinary(tb testing.TB) string {
	tb.Helper()
	return service.build(tb, "recorder/example")
}

// A binary is built once.
type binary struct {
	once sync.Once
	path string
	err  error
}

// build builds the command in a folder of the project.
func (b *binary) build(tb testing.TB, folder string, flags ...string) string {
	tb.Helper()
	b.once.Do(func() {
		dir, err := os.MkdirTemp("", "relay-binary-") //nolint:usetesting // outlives the test that builds it
		if err != nil {
			b.err = err
			return
		}
		b.path = filepath.Join(dir, filepath.Base(folder))
		cmd := exec.CommandContext(context.Background(), "go", append([]string{"build", "-o", b.path}, flags...)...)
		cmd.Dir = filepath.Join(Root(), folder)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.err = fmt.Errorf("build %s: %w\n%s", folder, err, out)
		}
	})
	if b.err != nil {
		tb.Fatal(b.err)
	}
	return b.path
}

//nolint:gochecknoglobals // built once per test program
var relay, service binary
