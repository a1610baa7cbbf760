package sandbox

import (
	"fmt"
	"slices"
	"time"
)

// totals stand in the page's head.
type totals struct{ Webhooks, Suppressed, Sent, Waiting, Failed int }

// row is one webhook on the timeline, with what became of it in each inbox.
type row struct {
	At        time.Time
	Status    string
	Headline  string
	Why       string // of a duplicate
	Duplicate bool
	Cells     []cell
}

// cell is one webhook in one inbox.
type cell struct {
	Inbox string
	App   string // the inbox in the page's language
	State string // waiting, sent, retrying, failed
	Text  string
	Why   string
}

// timeline groups events, newest first, by the webhook they belong to. The result is newest first, too.
func timeline(events []Event, w words, zone *time.Location) ([]row, totals) {
	var rows []*row
	var sum totals
	accepted := map[string]*row{}
	for _, e := range slices.Backward(events) { // oldest first, so that a copy comes after its original
		switch e.Type {
		case "accepted":
			r := &row{At: e.At, Status: e.Status, Headline: w.headline(e), Cells: newCells(w)}
			accepted[e.Notification] = r
			rows = append(rows, r)
			sum.Webhooks++
		case "duplicate":
			r := &row{At: e.At, Status: e.Status, Headline: w.headline(e), Duplicate: true}
			if first := accepted[e.Notification]; first != nil {
				r.Status, r.Headline = first.Status, first.Headline // it has the same state
				r.Why = fmt.Sprintf(w.SameAs, first.At.In(zone).Format("15:04:05"), w.ago(e.At.Sub(first.At)))
			}
			rows = append(rows, r)
			sum.Webhooks++
			sum.Suppressed++
		default:
			if r := accepted[e.Notification]; r != nil {
				r.set(e, w)
			}
		}
	}
	for _, r := range rows {
		for _, c := range r.Cells {
			switch c.State {
			case "sent":
				sum.Sent++
			case "waiting", "retrying":
				sum.Waiting++
			case "failed":
				sum.Failed++
			}
		}
	}
	out := make([]row, 0, shown)
	for _, r := range slices.Backward(rows) {
		if len(out) == shown {
			break
		}
		out = append(out, *r)
	}
	return out, sum
}

// newCells are the four inboxes before anything has come out. Which of them a webhook is for is not known until then.
func newCells(w words) []cell {
	var cells []cell
	for _, inbox := range inboxes() {
		cells = append(cells, cell{Inbox: inbox, App: w.app(inbox), State: "waiting", Text: w.Waiting})
	}
	return cells
}

// set notes the newest event of a delivery.
func (r *row) set(e Event, w words) {
	for i := range r.Cells {
		c := &r.Cells[i]
		if c.Inbox != e.Inbox {
			continue
		}
		switch e.Type {
		case "sent":
			c.State, c.Text = "sent", w.Sent
			if e.Duration > 0 {
				c.Text += " · " + brief(e.Duration)
			}
			c.Why = ""
			if e.Attempt > 1 {
				c.Why = fmt.Sprintf(w.Attempt, e.Attempt)
			}
		case "retrying":
			c.State, c.Text, c.Why = "retrying", w.Retrying, e.Detail
		case "failed":
			c.State, c.Text, c.Why = "failed", w.Failed, e.Detail
		}
	}
}

// brief prints a duration with two or three digits.
func brief(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
