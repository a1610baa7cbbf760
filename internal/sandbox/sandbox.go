package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// The inboxes of a sandbox, named as the relay's integrations are.
const (
	InboxDingTalk = "dingtalk"
	InboxWeCom    = "wecom"
	InboxSlack    = "slack"
	InboxEmail    = "email"
)

// inboxes are all of them, in the order in which the page shows them.
func inboxes() []string { return []string{InboxDingTalk, InboxWeCom, InboxSlack, InboxEmail} }

// Options say how a sandbox is run. The zero value listens on free loopback ports and keeps the last 1,000 of each.
type Options struct {
	// Now is the clock of rate windows, bans and expiries; default time.Now.
	Now func() time.Time
	// Listen is the address of the HTTP listener; default 127.0.0.1:0.
	Listen string
	// Keep bounds the requests and the messages kept for each vendor; default 1000.
	Keep int
	// CountOnly keeps no request and no message, only Counts: for load tests.
	CountOnly bool
	// Mail is how the mail server behaves.
	Mail MailSettings
	// Zone is the time zone of the page; default time.Local.
	Zone *time.Location
	// Events feeds the page's timeline of what the relay did, newest first; nil leaves the timeline out.
	Events func() []Event
}

// defaultKeep is how many requests and messages of each vendor are kept.
const defaultKeep = 1000

// A Sandbox is the four vendors at once. All methods may be called concurrently.
type Sandbox struct {
	DingTalk *DingTalk
	WeCom    *WeCom
	Slack    *Slack
	SlackAPI *SlackAPI
	Mail     *Mail

	opts     Options
	board    *board
	handler  http.Handler
	server   *http.Server
	listener net.Listener
	serving  sync.WaitGroup
}

// Start listens and serves until Close.
func Start(opts Options) (*Sandbox, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Listen == "" {
		opts.Listen = "127.0.0.1:0"
	}
	if opts.Zone == nil {
		opts.Zone = time.Local
	}
	if opts.Keep == 0 {
		opts.Keep = defaultKeep
	}
	if opts.CountOnly {
		opts.Keep = 0
	}
	listener, err := net.Listen("tcp", opts.Listen) //nolint:noctx // a listener has no deadline
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	b := &board{now: opts.Now, keep: opts.Keep}
	s := &Sandbox{opts: opts, board: b, listener: listener}
	s.DingTalk = newDingTalk(b, s.URL())
	s.WeCom = newWeCom(b, s.URL())
	s.Slack = newSlack(b, s.URL())
	s.SlackAPI = newSlackAPI(b, s.URL())
	if s.Mail, err = startMail(b, opts.Mail); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	mux := s.vendors()
	page, err := newPage(s)
	if err != nil {
		s.Mail.close()
		return nil, errors.Join(fmt.Errorf("sandbox: page: %w", err), listener.Close())
	}
	page.routes(mux)
	s.handler = mux
	s.server = &http.Server{Handler: s.handler, ReadHeaderTimeout: 10 * time.Second}
	s.serving.Go(func() { _ = s.server.Serve(listener) })
	return s, nil
}

// vendors maps the vendors' own paths. They do not overlap, so one listener serves all three.
func (s *Sandbox) vendors() *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("/robot/send", s.DingTalk)
	mux.Handle("/v1.0/", s.DingTalk)
	mux.Handle("/cgi-bin/", s.WeCom)
	mux.Handle("/services/", s.Slack)
	mux.Handle("/api/", s.SlackAPI)
	return mux
}

// URL is where the vendors and the page are served, without a trailing slash.
func (s *Sandbox) URL() string { return "http://" + s.listener.Addr().String() }

// Handler serves what URL serves, for a test that needs no network.
func (s *Sandbox) Handler() http.Handler { return s.handler }

// Close ends every connection, hanging ones too, and waits for the listeners to stop.
func (s *Sandbox) Close() error {
	err := s.server.Close()
	s.Mail.close()
	s.serving.Wait()
	return err
}

// Inbox returns what one inbox holds, oldest first; all of them for an empty name.
func (s *Sandbox) Inbox(name string) []Message { return s.board.inbox(name) }

// Await waits until an inbox (empty: all together) has received n messages since the start, and returns what it holds.
// With CountOnly it waits as well, and returns none.
func (s *Sandbox) Await(ctx context.Context, name string, n int) ([]Message, error) {
	for {
		changed := s.board.changed()
		if got := s.board.counts(name).Delivered; got >= n {
			return s.Inbox(name), nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("sandbox: %d of %d messages in %q: %w",
				s.board.counts(name).Delivered, n, name, ctx.Err())
		}
	}
}

// Requests returns every call kept of one vendor, oldest first; of all of them for an empty name.
func (s *Sandbox) Requests(name string) []Request { return s.board.calls(name) }

// Counts counts since the start, also what is not kept any more; of all vendors for an empty name.
func (s *Sandbox) Counts(name string) Counts { return s.board.counts(name) }
