package sandbox

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// A Fault is something that goes wrong with one request. Its zero value does nothing; the functions below make the rest.
type Fault struct {
	name string

	closeBefore bool
	wait        time.Duration
	release     <-chan struct{}
	answer      *answer
	change      func(answer) answer
	closeAfter  bool
	drip        time.Duration
}

// answer is what goes back over HTTP.
type answer struct {
	status      int
	contentType string
	header      http.Header
	body        []byte
}

// FaultNone lets a request pass: those behind it in the queue are for later ones.
func FaultNone() Fault { return Fault{} }

// FaultAnswer answers with this instead of judging the request. Nothing is delivered.
func FaultAnswer(status int, contentType, body string) Fault {
	return Fault{name: "answer", answer: &answer{status: status, contentType: contentType, body: []byte(body)}}
}

// FaultStatus answers with an HTTP status and a page of HTML, as a proxy in between does. Nothing is delivered.
func FaultStatus(status int) Fault {
	page := "<html><head><title>" + http.StatusText(status) + "</title></head>\r\n<body>" +
		"<center><h1>" + http.StatusText(status) + "</h1></center></body></html>"
	f := FaultAnswer(status, "text/html; charset=utf-8", page)
	f.name = "status"
	return f
}

// FaultDelay waits for d of real time before the request is judged.
func FaultDelay(d time.Duration) Fault { return Fault{name: "delay", wait: d} }

// FaultHang waits until release is closed, the caller has gone or the sandbox is closed; then the request is judged.
func FaultHang(release <-chan struct{}) Fault { return Fault{name: "hang", release: release} }

// FaultTruncate judges and delivers as usual, but the body of the answer ends in the middle.
func FaultTruncate() Fault {
	return Fault{name: "truncate", change: func(a answer) answer {
		a.body = a.body[:len(a.body)/2]
		return a
	}}
}

// FaultClose closes the connection before the request is read. Nothing is delivered.
func FaultClose() Fault { return Fault{name: "close", closeBefore: true} }

// FaultDeliverThenClose takes and delivers the message, then closes the connection without an answer: the caller cannot
// know.
func FaultDeliverThenClose() Fault { return Fault{name: "deliver_then_close", closeAfter: true} }

// FaultDrip judges and delivers as usual, and sends the answer byte by byte, one every d of real time.
func FaultDrip(d time.Duration) Fault { return Fault{name: "drip", drip: d} }

// faults are the faults waiting for each account. The empty account stands for any.
type faults struct {
	mu     sync.Mutex
	queue  map[string][]Fault
	broken map[string]Fault
}

// Inject queues faults for an account, to be consumed in order, one a request; the empty account takes any request.
func (f *faults) Inject(account string, list ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.queue == nil {
		f.queue = map[string][]Fault{}
	}
	f.queue[account] = append(f.queue[account], list...)
}

// Break makes every request of an account (empty: of any) fail like this until Repair.
func (f *faults) Break(account string, fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken == nil {
		f.broken = map[string]Fault{}
	}
	f.broken[account] = fault
}

// Repair ends what Break began and drops the faults still queued.
func (f *faults) Repair(account string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.broken, account)
	delete(f.queue, account)
}

// next returns the fault for a request of account: its own queue first, then the common one, then what is broken.
func (f *faults) next(account string) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, key := range []string{account, ""} {
		if q := f.queue[key]; len(q) > 0 {
			f.queue[key] = q[1:]
			return q[0]
		}
	}
	if b, ok := f.broken[account]; ok {
		return b
	}
	return f.broken[""]
}

// pause does the waiting of a fault. It reports false when the caller has gone.
func (f Fault) pause(ctx context.Context) bool {
	if f.release != nil {
		select {
		case <-f.release:
		case <-ctx.Done():
			return false
		}
	}
	return sleep(ctx, f.wait)
}

func sleep(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
