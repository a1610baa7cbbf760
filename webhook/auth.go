package webhook

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/alertrelay/relay/internal/secret"
)

// Auth are the bearer tokens that callers must show. Where none is configured, nothing is asked for: the web
// configuration file guards the listener then.
type Auth struct {
	// Webhook guards /webhook and /webhook/{receiver}; Receivers replaces it for a receiver's own path.
	Webhook   secret.Value
	Receivers map[string]secret.Value
	// API guards /api/v1, /-/reload and /debug.
	API secret.Value
}

// webhook returns what guards the path of a receiver; an empty one is the routing tree.
func (a Auth) webhook(receiver string) token {
	if own, ok := a.Receivers[receiver]; ok && receiver != "" && !own.IsZero() {
		return token{own}
	}
	return token{a.Webhook}
}

// requireAPI stops a request that does not show the API's token.
func (in *wayIn) requireAPI(c *gin.Context) {
	if err := (token{in.Auth.API}).check(c.Request); err != nil {
		in.refuse(c, err)
	}
}

// A token guards a path; an empty one lets everything pass.
type token struct{ want secret.Value }

// check compares in constant time, whatever the lengths.
func (t token) check(r *http.Request) error {
	if t.want.IsZero() {
		return nil
	}
	scheme, got, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || got == "" {
		return &refusal{
			code: http.StatusUnauthorized, cause: "no token",
			text: "a bearer token is needed (in Alertmanager: http_config: authorization: credentials)",
		}
	}
	want, err := t.want.Reveal()
	if err != nil {
		return unavailable("token not readable", fmt.Errorf("check bearer token: %w", err))
	}
	gotSum, wantSum := sha256.Sum256([]byte(strings.TrimSpace(got))), sha256.Sum256([]byte(want))
	if subtle.ConstantTimeCompare(gotSum[:], wantSum[:]) != 1 {
		return &refusal{code: http.StatusForbidden, cause: "wrong token", text: "the bearer token is not the right one"}
	}
	return nil
}
