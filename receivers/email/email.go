// Package email sends notifications as mail. On the path of a notification it is a way out: an integration of the
// catalogue in receivers.
//
// It promises that one refused recipient keeps nobody else from the mail, that text from an alert never becomes a header
// or a recipient, that a password is never sent in the clear, and that a repeated send has the same Message-ID.
package email

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/config"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/secret"
	"github.com/alertrelay/relay/internal/wiretap"
)

// An Integration sends to one list of addresses through one mail server.
type Integration struct {
	cfg       Config
	templates templates
	renderer  relay.Renderer
	relayURL  string // where people reach the relay; may be empty
	zone      *time.Location
	password  secret.Value
	secret    secret.Value
	tokens    *tokens // nil without auth_oauth2
	pool      pool
}

var _ relay.Integration = (*Integration)(nil)

// New compiles the templates of c and returns the integration. The errors of all templates come together, each marked
// with its key.
func New(c Config, env relay.Env) (relay.Setup, error) {
	t, err := compile(c, env.Templates)
	if _, tlsErr := config.NewTLSConfig(c.TLSConfig); tlsErr != nil {
		err = errors.Join(err, fault.At("tls_config", tlsErr))
	}
	if err != nil {
		return relay.Setup{}, err
	}
	setup := c.Setup(relay.Limit{}) // providers publish no limits: see the reference page
	i := &Integration{
		cfg:       c,
		templates: t,
		renderer:  env.Templates,
		relayURL:  env.ExternalURL,
		zone:      or(env.Zone, time.UTC),
		password:  secret.Of(c.AuthPassword, c.AuthPasswordFile),
		secret:    secret.Of(c.AuthSecret, c.AuthSecretFile),
	}
	if c.AuthOAuth2 != nil {
		i.tokens = &tokens{config: *c.AuthOAuth2, client: env.HTTPClient, now: env.Now}
	}
	setup.Integration = i
	setup.ByRoom = relay.SpeakOfRooms(c.To, c.Cc, c.Bcc)
	setup.Limiters = []relay.LimiterID{relay.LimiterID("email/" + digest(c.Smarthost, c.AuthUsername)[:16])}
	return setup, nil
}

// Destination is the list of addresses. Its key does not depend on their order or on the names beside them.
func (i *Integration) Destination(n *relay.Notification) (relay.Destination, error) {
	d := relay.Delivery{Tellings: []relay.Telling{{Notification: n}}, Now: n.ReceivedAt}
	to, err := i.templates.to(relay.View{Delivery: &d})
	if err != nil {
		return relay.Destination{}, fmt.Errorf("to: %w", err)
	}
	addresses, err := parseAddresses(to)
	if err != nil {
		return relay.Destination{}, fmt.Errorf("to: %w", err)
	}
	var keys []string
	for _, a := range addresses {
		keys = append(keys, strings.ToLower(a.Address))
	}
	slices.Sort(keys)
	return relay.Destination{Key: strings.Join(slices.Compact(keys), ","), Address: format(addresses)}, nil
}

// Send hands one mail to the server. It succeeds when the server took the mail for at least one recipient; the Receipt
// names the others, and has the mail for those of them that the server may take later.
func (i *Integration) Send(ctx context.Context, m relay.Message) (relay.Receipt, error) {
	var e envelope
	if err := json.Unmarshal(m.Body, &e); err != nil {
		return relay.Receipt{}, relay.AsRefused(fmt.Errorf("read message: %w", err))
	}
	if err := i.note(ctx, e); err != nil {
		return relay.Receipt{}, err
	}
	receipt, later, err := i.hand(ctx, e)
	if err == nil && len(later) > 0 {
		e.To = later
		if m.Body, err = json.Marshal(e); err != nil {
			return relay.Receipt{}, relay.AsRefused(fmt.Errorf("write message: %w", err))
		}
		receipt.Again = &m
	}
	return receipt, err
}

// note shows a mail to whom it may concern.
func (i *Integration) note(ctx context.Context, e envelope) error {
	_, err := wiretap.Begin(ctx, wiretap.Call{
		Method: "SMTP", URL: "smtp://" + i.cfg.Smarthost,
		Header: http.Header{"MAIL FROM": {e.From}, "RCPT TO": e.To}, Body: []byte(e.Mail),
	})
	return err
}

// hand makes one mail transaction, over a connection that is left from before or a new one. What the server does not want
// to begin over an old one, it may over a new: it has closed it meanwhile, or takes only so many mails over one.
func (i *Integration) hand(ctx context.Context, e envelope) (receipt relay.Receipt, later []string, err error) {
	if s := i.pool.take(ctx); s != nil {
		receipt, later, err = s.send(e)
		if err == nil {
			i.pool.give(s)
			return receipt, later, nil
		}
		s.close()
		if s.begun || ctx.Err() != nil {
			return receipt, nil, err
		}
	}
	s, err := i.open(ctx)
	if err != nil {
		return relay.Receipt{}, nil, err
	}
	if receipt, later, err = s.send(e); err != nil {
		s.close()
		return receipt, nil, err
	}
	i.pool.give(s)
	return receipt, later, nil
}

// host is the mail server without its port.
func (i *Integration) host() string {
	host, _, _ := net.SplitHostPort(i.cfg.Smarthost)
	return host
}

// implicitTLS reports whether TLS starts with the first byte, as on port 465 (RFC 8314 §3.3).
func (i *Integration) implicitTLS() bool {
	if i.cfg.ForceImplicitTLS != nil {
		return *i.cfg.ForceImplicitTLS
	}
	return strings.HasSuffix(i.cfg.Smarthost, ":465")
}
