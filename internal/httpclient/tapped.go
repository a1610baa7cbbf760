package httpclient

import (
	"bytes"
	"io"
	"net/http"

	"github.com/alertrelay/relay/internal/wiretap"
)

// A tapped transport shows its calls to whom their context says, who may also want that nothing is sent.
type tapped struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t tapped) RoundTrip(req *http.Request) (*http.Response, error) {
	if !wiretap.Listening(req.Context()) {
		return t.RoundTripper.RoundTrip(req)
	}
	call := wiretap.Call{Method: req.Method, URL: req.URL.String(), Header: req.Header}
	var err error
	if call.Body, err = bodyOf(req); err != nil {
		return nil, err
	}
	noted, err := wiretap.Begin(req.Context(), call)
	if err != nil {
		return nil, err
	}
	resp, err := t.RoundTripper.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	shown, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(shown), resp.Body), resp.Body}
	noted.Answered(wiretap.Answer{Status: resp.StatusCode, Header: resp.Header, Body: shown})
	return resp, err
}

// bodyOf reads a request's body, without using it up.
func bodyOf(req *http.Request) ([]byte, error) {
	if req.GetBody == nil {
		return nil, nil
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

// CloseIdleConnections lets http.Client reach the transport below.
func (t tapped) CloseIdleConnections() {
	if below, ok := t.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		below.CloseIdleConnections()
	}
}
