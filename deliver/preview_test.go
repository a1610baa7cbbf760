package deliver_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/deliver"
)

func TestPreview(t *testing.T) {
	t.Parallel()
	now := time.Now()
	n := &relay.Notification{ID: "n1", ReceivedAt: now, Alerts: relay.Alerts{alert("a", relay.StatusFiring, now.Add(-time.Hour))}}
	f := new(fake)
	s := setup("a", f)
	s.Concerned = func(*relay.Delivery) []relay.Person { return []relay.Person{{Name: "alice"}} }
	messages, err := deliver.Preview(s, n, now)
	require.NoError(t, err)
	require.Equal(t, "text of n1", messages[0].Text)
	require.Empty(t, messages[0].Fallback)
	d := f.deliveries()[0]
	require.Equal(t, []relay.Person{{Name: "alice"}}, d.People)
	require.Equal(t, relay.ChangeNew, d.Notification().Alerts[0].Change)
	require.Equal(t, time.Hour, d.Notification().Alerts[0].Duration)

	broken := errors.New("index out of range")
	f.render = func(d relay.Delivery) ([]relay.Message, error) {
		if !d.Plain {
			return nil, broken
		}
		return []relay.Message{{Text: "plain"}}, nil
	}
	messages, err = deliver.Preview(s, n, now)
	require.NoError(t, err)
	require.Equal(t, "plain", messages[0].Text)
	require.Equal(t, "index out of range", messages[0].Fallback)
	require.Empty(t, f.sent)

	f.render = func(relay.Delivery) ([]relay.Message, error) { return nil, broken }
	_, err = deliver.Preview(s, n, now)
	require.ErrorIs(t, err, broken)
}
