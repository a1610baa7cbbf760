package samples_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/samples"
	"github.com/alertrelay/relay/webhook"
)

// TestSamplesAreWebhooks reads every sample as the way in does.
func TestSamplesAreWebhooks(t *testing.T) {
	t.Parallel()
	status := map[string]string{"resolved": "resolved"}
	for _, name := range samples.Names() {
		n, err := webhook.Decode(samples.Body(name, time.Now()))
		require.NoError(t, err, name)
		want := status[name]
		if want == "" {
			want = "firing"
		}
		require.Equal(t, want, n.Status, name)
		require.Contains(t, n.CommonLabels["alertname"], "RelayTest", "a reader must see that it is a test")
	}
	require.Nil(t, samples.Body("nothing", time.Now()))
	n, err := webhook.Decode(samples.Labelled(map[string]string{"team": "pay"}, time.Now()))
	require.NoError(t, err)
	require.Equal(t, "pay", n.Alerts[0].Labels["team"])
}
