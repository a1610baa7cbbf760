package sandbox

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// A Request is one call to a vendor, whatever became of it. For mail it is one attempt to hand over a mail.
type Request struct {
	Seq     int // over all vendors, from 1
	At      time.Time
	Inbox   string
	Account string // DingTalk's token, WeCom's key, Slack's T/B, the mail's envelope sender

	Method string
	Path   string
	Query  url.Values
	Header http.Header
	Body   []byte // of what was refused the first 64 KiB

	Verdict Verdict
	// Fault names the fault that took part; empty when there was none.
	Fault string
}

// A Verdict is what a vendor decided about a request.
type Verdict struct {
	// Code is errcode for DingTalk and WeCom, the HTTP status for Slack, the reply code for mail.
	Code int
	// Text is errmsg, Slack's word, or the reply.
	Text string
	// Delivered says that a reader sees the message.
	Delivered bool
}

// A Message is what a reader sees.
type Message struct {
	Seq     int // that of its request
	Changed int // that of the request which changed it last; zero when none did
	At      time.Time
	Inbox   string
	Account string
	Group   string // the chat's name, the channel, the mailbox
	Robot   string // who says it

	// Type is the vendor's msgtype; "attachments" or "text" for Slack; "mail".
	Type  string
	Title string // the title or subject
	Text  string // what was written, in the vendor's dialect; for mail the text part
	Body  []byte // the request body or the mail as they came

	// Links are what a card opens: its buttons, or its entries.
	Links []Link
	// Card is a template card of WeCom; nil elsewhere.
	Card *WeComCard
	// Picture is the picture of a message that is one; nil elsewhere.
	Picture []byte
	// Params are the variables of an interactive card of DingTalk; nil elsewhere.
	Params map[string]string

	// Mentioned are those who are notified: ids asked for that also stand in the text. MentionAll notifies everyone.
	Mentioned  []string
	MentionAll bool
	// Updates counts how often the message was changed after it came.
	Updates int
	// Flags are oddities that the vendor would swallow but a sender should not do.
	Flags []string

	handle string // by which it is edited

	// Slack has the message's parts, Mail the parsed mail; nil elsewhere.
	Slack *SlackMessage
	Mail  *MailMessage
}

// A Link is something to tap: a button, or an entry with a picture.
type Link struct{ Title, URL, Picture string }

// Counts are totals since the start.
type Counts struct {
	Requests  int
	Delivered int
	Refused   int // answered, but not with success
}

// board is what all vendors write to and the tests and the page read from.
type board struct {
	now  func() time.Time
	keep int

	mu       sync.Mutex
	seq      int
	requests map[string]*ring[Request]
	messages map[string]*ring[Message]
	totals   map[string]*Counts
	notify   chan struct{} // closed at the next change; nil when nobody waits
}

// record keeps a request, and the message when it was delivered. Edits change messages that are there.
func (b *board) record(r Request, m *Message, edits ...func(*Message) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seq++
	r.Seq = b.seq
	total := b.total(r.Inbox)
	total.Requests++
	if r.Verdict.Delivered {
		total.Delivered++
	} else {
		total.Refused++
	}
	if b.keep > 0 {
		put(&b.requests, r.Inbox, b.keep, r)
		if m != nil {
			m.Seq = b.seq
			put(&b.messages, r.Inbox, b.keep, *m)
		}
		for _, edit := range edits {
			b.change(r.Inbox, edit)
		}
	}
	b.tell()
}

// edit changes the message of an inbox that change reports true for.
func (b *board) edit(inbox string, change func(*Message) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seq++
	b.change(inbox, change)
	b.tell()
}

func (b *board) change(inbox string, change func(*Message) bool) {
	r := b.messages[inbox]
	if r == nil {
		return
	}
	for i := range r.items {
		if change(&r.items[i]) {
			r.items[i].Changed = b.seq
			return
		}
	}
}

// tell wakes who waits for a change.
func (b *board) tell() {
	if b.notify != nil {
		close(b.notify)
		b.notify = nil
	}
}

func (b *board) total(inbox string) *Counts {
	if b.totals == nil {
		b.totals = map[string]*Counts{}
	}
	if b.totals[inbox] == nil {
		b.totals[inbox] = &Counts{}
	}
	return b.totals[inbox]
}

func put[T any](rings *map[string]*ring[T], inbox string, limit int, item T) {
	if *rings == nil {
		*rings = map[string]*ring[T]{}
	}
	if (*rings)[inbox] == nil {
		(*rings)[inbox] = &ring[T]{limit: limit}
	}
	(*rings)[inbox].add(item)
}

// changed returns a channel that is closed at the next record.
func (b *board) changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.notify == nil {
		b.notify = make(chan struct{})
	}
	return b.notify
}

func (b *board) inbox(name string) []Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return list(b.messages, name, func(m Message) int { return m.Seq })
}

func (b *board) calls(name string) []Request {
	b.mu.Lock()
	defer b.mu.Unlock()
	return list(b.requests, name, func(r Request) int { return r.Seq })
}

func list[T any](rings map[string]*ring[T], name string, seq func(T) int) []T {
	var out []T
	for inbox, r := range rings {
		if name == "" || inbox == name {
			out = append(out, r.last()...)
		}
	}
	slices.SortFunc(out, func(x, y T) int { return cmp.Compare(seq(x), seq(y)) })
	return out
}

func (b *board) counts(name string) Counts {
	b.mu.Lock()
	defer b.mu.Unlock()
	var sum Counts
	for inbox, c := range b.totals {
		if name == "" || inbox == name {
			sum.Requests += c.Requests
			sum.Delivered += c.Delivered
			sum.Refused += c.Refused
		}
	}
	return sum
}

// ring keeps the last limit items. It lets the slice grow to twice that before it moves them, so adding is cheap.
type ring[T any] struct {
	limit int
	items []T
}

func (r *ring[T]) add(item T) {
	if len(r.items) >= 2*r.limit {
		n := copy(r.items, r.items[len(r.items)-r.limit:])
		clear(r.items[n:])
		r.items = r.items[:n]
	}
	r.items = append(r.items, item)
}

func (r *ring[T]) last() []T { return r.items[max(0, len(r.items)-r.limit):] }
