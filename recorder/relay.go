package recorder

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Relay is a Sink that posts to the relay: PUT /api/v1/snapshots.
type Relay struct {
	// URL is where the relay listens: http://relay:8060.
	URL string
	// Token is the relay's global.api_auth; empty when it has none.
	Token string
	// Client makes the call; nil means one with a timeout of 5 s that follows no redirect.
	Client *http.Client
}

// Put implements Sink, with as many calls as the relay's bounds ask for.
func (s Relay) Put(ctx context.Context, snapshots []Snapshot) error {
	for part := range slices.Chunk(snapshots, maxCall) {
		if err := s.put(ctx, part); err != nil {
			return fmt.Errorf("put snapshots: %w", err)
		}
	}
	return nil
}

// maxCall bounds the snapshots of one call: the relay takes 1000, and a body of 1 MiB.
const maxCall = 200

func (s Relay) put(ctx context.Context, snapshots []Snapshot) error {
	body, err := json.Marshal(snapshots)
	if err != nil {
		return fmt.Errorf("%w: encode: %w", ErrRefused, err)
	}
	target := strings.TrimSuffix(s.URL, "/") + "/api/v1/snapshots"
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, target, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if s.Token != "" {
		req.Header.Set("Authorization", "Bearer "+s.Token)
	}
	resp, err := s.client().Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	return verdict(resp, answer)
}

func (s Relay) client() *http.Client {
	if s.Client != nil {
		return s.Client
	}
	return &http.Client{ // its connections are those of http.DefaultTransport
		Timeout:       5 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// check implements checker.
func (s Relay) check(map[string]string) error {
	u, err := url.Parse(s.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return errors.New("recorder: Relay.URL: expected a link such as http://relay:8060")
	}
	return nil
}

// verdict makes an error of an answer. What the relay will not take the next time either is refused; a wrong token is
// not, because it is mended at the relay's side as often as here.
func verdict(resp *http.Response, answer []byte) error {
	err := fmt.Errorf("the relay answers %s: %s", resp.Status, bytes.TrimSpace(answer))
	switch {
	case resp.StatusCode/100 == 2:
		return nil
	case resp.StatusCode == http.StatusBadRequest, resp.StatusCode == http.StatusRequestEntityTooLarge:
		return fmt.Errorf("%w: %w", ErrRefused, err)
	default:
		return err
	}
}
