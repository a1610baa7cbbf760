// Package httpclient makes the calls to the vendors: bounded, without redirects, and with errors that carry a kind and
// never a URL, because a webhook's URL is its secret.
package httpclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/prometheus/common/config"

	"github.com/alertrelay/relay"
)

// maxAnswer bounds how much of an answer is read. The vendors' answers are below a kilobyte.
const maxAnswer = 64 << 10

// New returns a client for an http_config; nil means the defaults: proxy from the environment, HTTP/2, keep-alive. The
// name shows in the client's metrics. It never follows a redirect: a vendor that redirects a POST has not taken it.
func New(cfg *config.HTTPClientConfig, name string) (*http.Client, error) {
	if cfg == nil {
		c := config.DefaultHTTPClientConfig
		c.ProxyFromEnvironment = true
		cfg = &c
	}
	client, err := config.NewClientFromConfig(*cfg, name)
	if err != nil {
		return nil, fmt.Errorf("make HTTP client: %w", err)
	}
	client.Transport = tapped{client.Transport}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client, nil
}

// A Response is a vendor's whole answer.
type Response struct {
	Status int
	Header http.Header
	Body   []byte // at most 64 KiB
}

// PostJSON posts body as UTF-8 JSON and reads the answer. An error means that no whole answer came: it is transient, and
// the vendor may have taken the message.
func PostJSON(ctx context.Context, client *http.Client, target string, body []byte) (*Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return nil, relay.AsMisconfigured(fmt.Errorf("build request: %w", Redact(err)))
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	return Do(client, req)
}

// Do sends req and reads the answer, as PostJSON does.
func Do(client *http.Client, req *http.Request) (*Response, error) {
	resp, err := client.Do(req)
	if err != nil {
		return nil, relay.AsTransient(Redact(err))
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, relay.AsTransient(fmt.Errorf("read answer: %w", Redact(err)))
	}
	return &Response{Status: resp.StatusCode, Header: resp.Header, Body: b}, nil
}

// RetryAfter reads the header Retry-After, in seconds or as a date (RFC 9110 §10.2.3); zero when it is absent or odd.
func (r *Response) RetryAfter() time.Duration {
	v := r.Header.Get("Retry-After")
	if s, err := strconv.Atoi(v); err == nil && s > 0 {
		return time.Duration(s) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, time.Until(t))
	}
	return 0
}

// Redact takes the URL out of a *url.Error, and keeps the rest of the chain. There may be one within another: a transport
// that fetches a token first reports that call in its own error.
func Redact(err error) error {
	timeout := false
	for {
		var u *url.Error
		if !errors.As(err, &u) {
			break
		}
		timeout = timeout || u.Timeout()
		err = u.Err
	}
	if timeout {
		return fmt.Errorf("timeout: %w", err)
	}
	return err
}
