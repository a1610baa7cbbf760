package receiverstest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/alertrelay/relay"
)

// HTTPVendor starts a vendor that answers each call by answer, until the test ends, and returns its URL.
func HTTPVendor(answer http.HandlerFunc) func(t *testing.T) string {
	return func(t *testing.T) string {
		t.Helper()
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			answer(w, r)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
}

// HTTPHang starts a vendor that takes a call and never answers it.
func HTTPHang(t *testing.T, arrived func()) string {
	t.Helper()
	return HTTPVendor(func(_ http.ResponseWriter, r *http.Request) {
		arrived()
		<-r.Context().Done()
	})(t)
}

// Answer answers with a status and a body.
func Answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body) //nolint:gosec // no browser reads the answers of a fake vendor
	}
}

// BehindToken answers calls whose path ends in tokenPath with a token, and every other call by answer.
func BehindToken(tokenPath, token string, answer http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, tokenPath) {
			Answer(http.StatusOK, token)(w, r)
			return
		}
		answer(w, r)
	}
}

// HTTPFaults are the faults of any vendor spoken to by HTTP: each status, by kindOf, then answers that are not the
// vendor's, broken connections and nobody listening, which are transient.
func HTTPFaults(kindOf func(status int) relay.Kind) []Fault {
	var faults []Fault
	for _, status := range []int{
		http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect,
		http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
		http.StatusMethodNotAllowed, http.StatusRequestTimeout, http.StatusGone, http.StatusRequestEntityTooLarge,
		http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout, 599,
	} {
		faults = append(faults, Fault{
			Name: fmt.Sprintf("status %d", status),
			Vendor: HTTPVendor(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", "/elsewhere?"+r.URL.RawQuery)
				Answer(status, "<html><body>"+r.URL.String()+"</body></html>")(w, r)
			}),
			Kind: kindOf(status),
		})
	}
	return append(faults,
		Fault{Name: "HTML page", Vendor: HTTPVendor(Answer(http.StatusOK, "<html>maintenance</html>")), Kind: relay.Transient},
		Fault{Name: "empty answer", Vendor: HTTPVendor(Answer(http.StatusOK, "")), Kind: relay.Transient},
		Fault{Name: "no content", Vendor: HTTPVendor(Answer(http.StatusNoContent, "")), Kind: relay.Transient},
		Fault{Name: "cut off answer", Vendor: HTTPVendor(cutOff), Kind: relay.Transient},
		Fault{Name: "endless answer", Vendor: HTTPVendor(endless), Kind: relay.Transient},
		Fault{Name: "connection reset", Vendor: HTTPVendor(reset), Kind: relay.Transient},
		Fault{Name: "nobody listens", Vendor: nobody, Kind: relay.Transient},
	)
}

// cutOff promises more than it sends.
func cutOff(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "100")
	_, _ = io.WriteString(w, `{"errcode":0,"errm`)
}

// endless sends a megabyte of white space.
func endless(w http.ResponseWriter, _ *http.Request) {
	space := make([]byte, 1<<10)
	for i := range space {
		space[i] = ' '
	}
	for range 1 << 10 {
		_, _ = w.Write(space)
	}
}

// reset closes the connection without an answer.
func reset(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// nobody returns the URL of a server that is closed.
func nobody(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	return s.URL
}
