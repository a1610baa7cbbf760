package email

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/httpclient"
	"github.com/alertrelay/relay/internal/secret"
)

// OAuth2 says where access tokens for XOAUTH2 come from: by a refresh token (Gmail), or, without one, by the credentials
// of the client alone (Microsoft 365).
type OAuth2 struct {
	TokenURL         string        `yaml:"token_url,omitempty"`
	ClientID         string        `yaml:"client_id,omitempty"`
	ClientSecret     secret.String `yaml:"client_secret,omitempty"`
	ClientSecretFile secret.File   `yaml:"client_secret_file,omitempty"`
	RefreshToken     secret.String `yaml:"refresh_token,omitempty"`
	RefreshTokenFile secret.File   `yaml:"refresh_token_file,omitempty"`
	Scopes           []string      `yaml:"scopes,omitempty"`
}

func (o *OAuth2) validate(f *fault.List) {
	if u, err := url.Parse(o.TokenURL); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		f.In("token_url").Addf("must be the http or https URL that gives access tokens")
	}
	if o.ClientID == "" {
		f.Addf("client_id is required")
	}
	if !o.ClientSecret.IsZero() && o.ClientSecretFile != "" {
		f.Addf("at most one of client_secret & client_secret_file must be configured")
	}
	if !o.RefreshToken.IsZero() && o.RefreshTokenFile != "" {
		f.Addf("at most one of refresh_token & refresh_token_file must be configured")
	}
}

// earlier is how long before its end a token is given up, so that it does not end on the way.
const earlier = time.Minute

// tokens are the access tokens of one integration. It is safe for concurrent use; one caller at a time asks for a new one.
type tokens struct {
	config OAuth2
	client *http.Client
	now    func() time.Time

	mu    sync.Mutex
	token string
	until time.Time
}

// get returns a token, and whether it is new: asked for by this call.
func (t *tokens) get(ctx context.Context) (token string, fresh bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token != "" && t.now().Before(t.until) {
		return t.token, false, nil
	}
	t.token, t.until, err = t.ask(ctx)
	if err != nil {
		return "", false, fmt.Errorf("ask for an access token: %w", err)
	}
	return t.token, true, nil
}

// drop forgets a token that the server refused.
func (t *tokens) drop(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token == token {
		t.token = ""
	}
}

// ask makes the call (RFC 6749 §4.4.2, §6).
func (t *tokens) ask(ctx context.Context) (string, time.Time, error) {
	form, err := t.form()
	if err != nil {
		return "", time.Time{}, relay.AsMisconfigured(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.config.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", time.Time{}, relay.AsMisconfigured(httpclient.Redact(err))
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := httpclient.Do(t.client, req)
	if err != nil {
		return "", time.Time{}, err
	}
	var body struct {
		AccessToken string  `json:"access_token"`
		ExpiresIn   float64 `json:"expires_in"` // seconds
		Error       string  `json:"error"`
	}
	wrong := json.Unmarshal(answer.Body, &body)
	switch {
	case wrong == nil && answer.Status == http.StatusOK && body.AccessToken != "":
		life := time.Duration(body.ExpiresIn * float64(time.Second))
		return body.AccessToken, t.now().Add(max(earlier, life-earlier)), nil
	case wrong == nil && body.Error != "" && answer.Status/100 == 4 && answer.Status != http.StatusTooManyRequests:
		return "", time.Time{}, relay.AsMisconfigured(fmt.Errorf("%d: %s", answer.Status, oneLine(body.Error, maxReplyRunes)))
	}
	return "", time.Time{}, relay.AsTransient(fmt.Errorf("%d %s", answer.Status, http.StatusText(answer.Status)))
}

func (t *tokens) form() (url.Values, error) {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {t.config.ClientID}}
	for _, part := range []struct {
		key   string
		value secret.Value
	}{
		{"client_secret", secret.Of(t.config.ClientSecret, t.config.ClientSecretFile)},
		{"refresh_token", secret.Of(t.config.RefreshToken, t.config.RefreshTokenFile)},
	} {
		if part.value.IsZero() {
			continue
		}
		value, err := part.value.Reveal()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", part.key, err)
		}
		form.Set(part.key, value)
	}
	if form.Has("refresh_token") {
		form.Set("grant_type", "refresh_token")
	}
	if len(t.config.Scopes) > 0 {
		form.Set("scope", strings.Join(t.config.Scopes, " "))
	}
	return form, nil
}
