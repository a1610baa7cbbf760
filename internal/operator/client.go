// Package operator asks a running relay over its HTTP API, for the commands that look at deliveries and dead letters, and
// shows the answers in a terminal. It promises that what alerts say cannot command the terminal.
package operator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/config"

	"github.com/alertrelay/relay/internal/httpclient"
)

// The bounds of a call.
const (
	callTimeout = time.Minute
	maxAnswer   = 64 << 20
	// maxPage is the most rows of one page, maxOrder the most ids of one order: the relay's own bounds.
	maxPage  = 1000
	maxOrder = 1000
)

// A Client asks one relay. It may be used concurrently.
type Client struct {
	base *url.URL
	http *http.Client
}

// A UsageError says that the caller asked wrongly: a person mends it in the command line.
type UsageError struct{ text string }

// Error returns what is wrong.
func (e *UsageError) Error() string { return e.text }

// New returns a client of the relay at base, with an http_config as in Prometheus for what the relay asks of callers.
func New(base string, c config.HTTPClientConfig) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" {
		return nil, &UsageError{"the relay's URL must be like http://127.0.0.1:8060"}
	}
	client, err := httpclient.New(&c, "operator")
	if err != nil {
		return nil, &UsageError{err.Error()}
	}
	return &Client{u.JoinPath("/api/v1"), client}, nil
}

// A List is one of the relay's.
type List string

// The lists.
const (
	Deliveries  List = "deliveries"
	DeadLetters List = "dead-letters"
)

// field is the name of the rows in an answer.
func (l List) field() string {
	if l == DeadLetters {
		return "deadLetters"
	}
	return string(l)
}

// Rows returns the rows of a list that a query selects, page by page: limit at most, 0 for all.
func (c *Client) Rows(ctx context.Context, l List, query url.Values, limit int) ([]Row, error) {
	q := url.Values{}
	maps.Copy(q, query)
	var rows []Row
	for {
		page := maxPage
		if limit > 0 {
			page = min(page, limit-len(rows))
		}
		q.Set("limit", strconv.Itoa(page))
		var data map[string]json.RawMessage
		if err := c.call(ctx, http.MethodGet, string(l), q, nil, &data); err != nil {
			return nil, err
		}
		var found []Row
		var next string
		if err := errors.Join(decode(data[l.field()], &found), decode(data["nextCursor"], &next)); err != nil {
			return nil, fmt.Errorf("read %s: %w", l, err)
		}
		rows = append(rows, found...)
		if next == "" || limit > 0 && len(rows) >= limit {
			return rows, nil
		}
		q.Set("cursor", next)
	}
}

// An Order is what can be done with dead letters.
type Order string

// The orders.
const (
	Requeue Order = "requeue"
	Drop    Order = "drop"
)

// A Refused dead letter stays as it is.
type Refused struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
	Error  string `json:"error"`
}

// A Result is what became of the ids of an order.
type Result struct {
	Done    []string  `json:"done"`
	Refused []Refused `json:"refused"`
}

// Give gives an order for any number of dead letters. With an error it also returns what was done before.
func (c *Client) Give(ctx context.Context, o Order, ids []string, force bool) (Result, error) {
	result := Result{Done: []string{}, Refused: []Refused{}}
	for len(ids) > 0 {
		n := min(len(ids), maxOrder)
		body, err := json.Marshal(struct {
			IDs   []string `json:"ids"`
			Force bool     `json:"force,omitempty"`
		}{ids[:n], force})
		if err != nil {
			return result, fmt.Errorf("write order: %w", err)
		}
		var data struct {
			Requeued, Dropped []string
			Refused           []Refused
		}
		if err := c.call(ctx, http.MethodPost, string(DeadLetters)+"/"+string(o), nil, body, &data); err != nil {
			return result, err
		}
		result.Done = append(append(result.Done, data.Requeued...), data.Dropped...)
		result.Refused = append(result.Refused, data.Refused...)
		ids = ids[n:]
	}
	return result, nil
}

func (c *Client) call(ctx context.Context, method, path string, q url.Values, body []byte, data any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	u := c.base.JoinPath(path)
	u.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask the relay: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask the relay at %s: %w", c.base.Host, httpclient.Redact(err))
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("ask the relay at %s: %w", c.base.Host, httpclient.Redact(err))
	}
	return judge(resp, answer, data)
}

// judge reads an answer into data, or says what the relay has against the question.
func judge(resp *http.Response, answer []byte, data any) error {
	var envelope struct {
		Data      json.RawMessage `json:"data"`
		ErrorType string          `json:"errorType"`
		Error     string          `json:"error"`
	}
	err := json.Unmarshal(answer, &envelope)
	text := strings.TrimSpace(Printable(envelope.Error))
	switch {
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return fmt.Errorf("the relay asks who calls (%s): give --relay.token-file, --relay.username or --http.config.file",
			resp.Status)
	case err != nil || resp.StatusCode != http.StatusOK && text == "":
		return fmt.Errorf("the answer (%s) is not a relay's: is the URL right?", resp.Status)
	case envelope.ErrorType == "bad_data":
		return &UsageError{text}
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: %s", resp.Status, text)
	}
	return decode(envelope.Data, data)
}

// decode reads JSON; none is nothing.
func decode(text json.RawMessage, v any) error {
	if len(text) == 0 {
		return nil
	}
	return json.Unmarshal(text, v)
}
