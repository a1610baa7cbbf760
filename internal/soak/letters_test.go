package soak_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/soak"
)

// deadLetters are those that the relay shows, with the facts of the notification that each of them kept.
func (r *relay) deadLetters(t *testing.T, v *vendors) []soak.Dead {
	t.Helper()
	var dead []soak.Dead
	for cursor := ""; ; {
		var page struct {
			DeadLetters []struct{ ID, Notification, Integration string }
			NextCursor  string
		}
		r.ask(t, http.MethodGet, "/api/v1/dead-letters?limit=1000&cursor="+url.QueryEscape(cursor), nil, &page)
		for _, letter := range page.DeadLetters {
			var kept json.RawMessage
			r.ask(t, http.MethodGet, "/api/v1/notifications/"+letter.Notification, nil, &kept)
			var notification struct{ Stored json.RawMessage }
			require.NoError(t, json.Unmarshal(kept, &notification))
			dead = append(dead, soak.Dead{
				ID: letter.ID, Destination: v.destination(letter.Integration), Marks: soak.Marks(string(notification.Stored)),
			})
		}
		if cursor = page.NextCursor; cursor == "" {
			return dead
		}
	}
}

// revive sends all dead letters again, and requires that what they say is told once more, even by a vendor that shows no
// message twice and took one without an answer before it was given up.
func (r *relay) revive(t *testing.T, v *vendors, dead []soak.Dead, patience time.Duration) {
	t.Helper()
	if len(dead) == 0 {
		return
	}
	before := len(v.tellings)
	ids := make([]string, len(dead))
	for i, d := range dead {
		ids[i] = d.ID
	}
	var done struct {
		Requeued []string
		Refused  []json.RawMessage
	}
	r.ask(t, http.MethodPost, "/api/v1/dead-letters/requeue", map[string]any{"ids": ids, "force": true}, &done)
	require.Empty(t, done.Refused)
	require.ElementsMatch(t, ids, done.Requeued)
	watching := v.start(t.Context())
	r.drain(t, patience)
	watching.end()
	told := map[string]map[soak.Mark]bool{}
	v.all(t)
	for _, telling := range v.tellings[before:] {
		for _, mark := range telling.Marks {
			if told[telling.Destination] == nil {
				told[telling.Destination] = map[soak.Mark]bool{}
			}
			told[telling.Destination][mark] = true
		}
	}
	for _, d := range dead {
		for _, mark := range d.Marks {
			require.Truef(t, told[d.Destination][mark], "%s was not told %s: %s, which was requeued", d.Destination, mark.Fact, mark.Post)
		}
	}
}

// ask puts a question to the API and reads the data of its answer.
func (r *relay) ask(t *testing.T, method, path string, body, data any) {
	t.Helper()
	var content io.Reader = http.NoBody
	if body != nil {
		text, err := json.Marshal(body)
		require.NoError(t, err)
		content = bytes.NewReader(text)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, r.url+path, content)
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equalf(t, http.StatusOK, resp.StatusCode, "%s: %s", path, text)
	var answer struct{ Data json.RawMessage }
	require.NoError(t, json.Unmarshal(text, &answer))
	require.NoErrorf(t, json.Unmarshal(answer.Data, data), "%s: %s", path, text)
}
