package email_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/secret"
	"github.com/alertrelay/relay/receivers/email"
)

func TestConnectionsAreUsedAgain(t *testing.T) {
	t.Parallel()
	s := serve(t, &server{mechanisms: []string{"PLAIN"}, user: "relay", password: "hunter2"}, nil, false)
	c := to(s.address)
	c.AuthUsername, c.AuthPassword = "relay", secret.New("hunter2")
	setup := build(t, c)
	m := render(t, setup, delivery(t, setup, notification(t, "firing")))
	for range 60 {
		_, err := setup.Send(t.Context(), m)
		require.NoError(t, err)
	}
	require.Len(t, s.all(), 60)
	require.Equal(t, 2, s.connections, "50 mails go over one")

	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := setup.Send(t.Context(), m); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	require.Len(t, s.all(), 68)
}

func TestAnOldConnectionThatTheServerDoesNotWantIsReplaced(t *testing.T) {
	t.Parallel()
	for name, last := range map[string]string{
		"closed meanwhile":                "",
		"says so":                         "421 4.4.2 idle for too long",
		"takes so many mails and no more": "450 MI:DMC too many mails",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// The first connection takes one mail; the next connection another, because the script starts anew.
			address := script(t, "220 hi", "250 mail.test", "250 ok", "250 ok", "354 go", "250 queued", last)
			setup := build(t, to(address))
			m := render(t, setup, delivery(t, setup, notification(t, "firing")))
			for range 3 {
				receipt, err := setup.Send(t.Context(), m)
				require.NoError(t, err)
				require.Equal(t, "queued", receipt.Detail)
			}
		})
	}
}

func TestARefusalOverAnOldConnectionCounts(t *testing.T) {
	t.Parallel()
	refuse := false
	s := serve(t, &server{onRcpt: func(string) error {
		if refuse {
			return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "nobody"}
		}
		return nil
	}}, nil, false)
	setup := build(t, to(s.address))
	m := render(t, setup, delivery(t, setup, notification(t, "firing")))
	_, err := setup.Send(t.Context(), m)
	require.NoError(t, err)
	refuse = true
	_, err = setup.Send(t.Context(), m)
	require.Equal(t, relay.Refused, relay.KindOf(err))
	require.Equal(t, 1, s.connections)
}

// An issuer gives access tokens, one after the other.
type issuer struct {
	mu     sync.Mutex
	asked  []url.Values
	tokens []string
	status int
	body   string
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	_ = r.ParseForm()
	i.asked = append(i.asked, r.PostForm)
	if i.status != 0 {
		w.WriteHeader(i.status)
		_, _ = w.Write([]byte(i.body))
		return
	}
	token := i.tokens[min(len(i.asked), len(i.tokens))-1]
	_, _ = w.Write([]byte(`{"access_token":"` + token + `","expires_in":3600,"token_type":"Bearer"}`))
}

func TestXOAUTH2(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		issuer *issuer
		config email.OAuth2
		kinds  []relay.Kind // of each send; empty: it went
		asked  int
		grant  string
	}{
		"the client's own credentials": {
			issuer: &issuer{tokens: []string{"hunter2"}}, config: email.OAuth2{Scopes: []string{"a", "b"}},
			kinds: []relay.Kind{"", ""}, asked: 1, grant: "client_credentials",
		},
		"a refresh token": {
			issuer: &issuer{tokens: []string{"hunter2"}}, config: email.OAuth2{RefreshToken: secret.New("r3fresh")},
			kinds: []relay.Kind{""}, asked: 1, grant: "refresh_token",
		},
		"refused though new": {
			issuer: &issuer{tokens: []string{"wr0ng"}}, kinds: []relay.Kind{relay.Misconfigured, relay.Misconfigured}, asked: 2,
			grant: "client_credentials",
		},
		"no such client": {
			issuer: &issuer{status: 401, body: `{"error":"invalid_client"}`}, kinds: []relay.Kind{relay.Misconfigured}, asked: 1,
			grant: "client_credentials",
		},
		"issuer down": {
			issuer: &issuer{status: 503}, kinds: []relay.Kind{relay.Transient}, asked: 1, grant: "client_credentials",
		},
		"issuer talks HTML": {
			issuer: &issuer{status: 200, body: "<html>"}, kinds: []relay.Kind{relay.Transient}, asked: 1, grant: "client_credentials",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			endpoint := httptest.NewServer(tt.issuer)
			t.Cleanup(endpoint.Close)
			s := serve(t, &server{mechanisms: []string{"XOAUTH2"}, user: "relay", password: "hunter2"}, nil, false)
			setup := build(t, oauth2(s, endpoint.URL, tt.config))
			m := render(t, setup, delivery(t, setup, notification(t, "firing")))
			for _, kind := range tt.kinds {
				_, err := setup.Send(t.Context(), m)
				if kind == "" {
					require.NoError(t, err)
					continue
				}
				require.Equal(t, kind, relay.KindOf(err), "%v", err)
				for _, key := range []string{"hunter2", "wr0ng", "s3cret", "r3fresh"} {
					require.NotContains(t, err.Error(), key)
				}
			}
			require.Len(t, tt.issuer.asked, tt.asked)
			form := tt.issuer.asked[0]
			require.Equal(t, tt.grant, form.Get("grant_type"))
			require.Equal(t, "s3cret", form.Get("client_secret"))
			require.Equal(t, tt.grant == "refresh_token", form.Get("refresh_token") == "r3fresh")
		})
	}
}

func TestARevokedAccessTokenIsReplaced(t *testing.T) {
	t.Parallel()
	i := &issuer{tokens: []string{"first", "second"}}
	endpoint := httptest.NewServer(i)
	t.Cleanup(endpoint.Close)
	s := serve(t, &server{mechanisms: []string{"XOAUTH2"}, user: "relay", password: "first"}, nil, false)
	setup := build(t, oauth2(s, endpoint.URL, email.OAuth2{}))
	m := render(t, setup, delivery(t, setup, notification(t, "firing")))
	for range 50 { // then the connection is closed
		_, err := setup.Send(t.Context(), m)
		require.NoError(t, err)
	}
	s.password = "second"
	_, err := setup.Send(t.Context(), m)
	require.Equal(t, relay.TokenExpired, relay.KindOf(err))
	_, err = setup.Send(t.Context(), m)
	require.NoError(t, err)
	require.Len(t, i.asked, 2)
}

func oauth2(s *server, endpoint string, c email.OAuth2) email.Config {
	c.TokenURL, c.ClientID, c.ClientSecret = endpoint, "relay", secret.New("s3cret")
	config := to(s.address)
	config.AuthUsername, config.AuthOAuth2 = "relay", &c
	return config
}
