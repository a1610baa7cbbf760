package outbox

import (
	"context"
	"fmt"
	"strings"
)

// A Listing gathers one page of deliveries for a store, which reads them in three parts, one after another: those that
// wait, the dead letters, and those that the history says have ended.
type Listing struct {
	Query DeliveryQuery
	Rows  []Delivery
}

// A ListingPart adds its rows to a Listing from a place on; an empty one is the beginning. It returns the place to go on
// from, when there is, or may be, more.
type ListingPart func(ctx context.Context, place string) (next string, more bool, err error)

// Add adds a row when it is asked for, and returns false when the page is full instead.
func (l *Listing) Add(d Delivery) bool {
	if !l.Query.Wants(d.State) || !l.Query.Matches(d.Lane, d.Notification, d.At) {
		return true
	}
	if len(l.Rows) == l.Query.Length() {
		return false
	}
	l.Rows = append(l.Rows, d)
	return true
}

// Read reads the parts from the query's cursor on until the page is full. It returns the cursor of the next page, empty
// when there is none; ErrCursor when the query's is none.
func (l *Listing) Read(ctx context.Context, waiting, dead, ended ListingPart) (string, error) {
	const letters = "wde" // a cursor is the letter of a part, a dot and a place in it
	letter, place, found := strings.Cut(l.Query.Cursor, ".")
	if l.Query.Cursor == "" {
		letter, found = letters[:1], true
	}
	first := strings.Index(letters, letter)
	if len(letter) != 1 || first < 0 || !found {
		return "", fmt.Errorf("%w: %q", ErrCursor, l.Query.Cursor)
	}
	for i, read := range []ListingPart{waiting, dead, ended} {
		if i < first {
			continue
		}
		next, more, err := read(ctx, place)
		if err != nil {
			return "", err
		}
		if more {
			return letters[i:i+1] + "." + next, nil
		}
		place = ""
	}
	return "", nil
}
