package operator

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// A Row is a delivery or a dead letter.
type Row struct {
	ID          string    `json:"id"`
	State       string    `json:"state"`
	Integration string    `json:"integration"`
	Destination string    `json:"destination"`
	Room        string    `json:"room"`
	GroupKey    string    `json:"groupKey"`
	Status      string    `json:"status"`
	Alerts      int       `json:"alerts"`
	At          time.Time `json:"at"`
	FailedAt    time.Time `json:"failedAt"`
	Attempts    int       `json:"attempts"`
	Reason      string    `json:"reason"`
	Detail      string    `json:"detail"`
	NextTry     time.Time `json:"nextTry"`

	raw json.RawMessage
}

// UnmarshalJSON keeps the whole row, so that JSON shows it as the relay wrote it.
func (r *Row) UnmarshalJSON(text []byte) error {
	type plain Row
	if err := json.Unmarshal(text, (*plain)(r)); err != nil {
		return err
	}
	r.raw = append(json.RawMessage{}, text...)
	return nil
}

// MarshalJSON implements json.Marshaler.
func (r Row) MarshalJSON() ([]byte, error) { return r.raw, nil }

// WriteJSON writes v for a program.
func WriteJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// Widths beyond which a cell is cut: what does not fit is in the JSON.
const (
	maxDetailCells = 60
	maxGroupCells  = 80
	maxNameCells   = 40
)

// WriteTable writes rows of a list for a person, times in the zone of zone.
func WriteTable(w io.Writer, l List, rows []Row, zone *time.Location) error {
	if len(rows) == 0 {
		_, err := fmt.Fprintln(w, "None.")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(cells ...string) { fmt.Fprintln(t, strings.TrimRight(strings.Join(cells, "\t"), "\t ")) }
	clock := func(at time.Time) string {
		if at.IsZero() {
			return ""
		}
		return at.In(zone).Format("2006-01-02 15:04:05")
	}
	if l == DeadLetters {
		line("ID", "FAILED", "INTEGRATION", "DESTINATION", "ALERTS", "REASON", "DETAIL", "GROUP")
	} else {
		line("ID", "STATE", "AT", "INTEGRATION", "DESTINATION", "ALERTS", "TRIES", "NEXT TRY", "REASON", "DETAIL", "GROUP")
	}
	for _, r := range rows {
		id, integration := cell(r.ID, maxNameCells), cell(r.Integration, maxNameCells)
		destination, alerts := cell(r.Destination, maxNameCells), strconv.Itoa(r.Alerts)+" "+cell(r.Status, maxNameCells)
		reason, detail, group := cell(r.Reason, maxNameCells), cell(r.Detail, maxDetailCells), cell(r.GroupKey, maxGroupCells)
		if l == DeadLetters {
			line(id, clock(r.FailedAt), integration, destination, alerts, reason, detail, group)
		} else {
			line(id, cell(r.State, maxNameCells), clock(r.At), integration, destination, alerts, strconv.Itoa(r.Attempts),
				clock(r.NextTry), reason, detail, group)
		}
	}
	return t.Flush()
}

// WriteCells writes rows of a table for a person, the first of them its head.
func WriteCells(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, text := range row {
			cells[i] = cell(text, maxGroupCells)
		}
		fmt.Fprintln(t, strings.TrimRight(strings.Join(cells, "\t"), "\t "))
	}
	return t.Flush()
}

// cell is a text that keeps to its cell.
func cell(text string, most int) string {
	text = Printable(text)
	if text == "" {
		return "-"
	}
	runes := []rune(text)
	if len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

// Printable leaves out of a text what a terminal would obey instead of showing.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsPrint(r):
			return r
		default:
			return '·'
		}
	}, text)
}
