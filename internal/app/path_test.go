package app_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestReloadKeepsTheOldConfigurationWhenTheNewOneIsBad(t *testing.T) {
	t.Parallel()
	received := make(chan string, 10)
	vendor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		received <- r.URL.Query().Get("access_token")
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"errcode":0,"errmsg":"ok"}`))
	}))
	defer vendor.Close()
	text := func(token string) string {
		return fmt.Sprintf(`
route: {receiver: ops}
receivers:
  - name: ops
    dingtalk_configs: [{name: robot, url: %q}]
`, vendor.URL+"/robot/send?access_token="+token)
	}
	p := start(t, t.TempDir(), text("one"), nil)
	require.Equal(t, "1", p.metric(t, "relay_config_last_reload_successful"))

	p.configure(t, "receivers: [{name: ops, dingtalk_configs: [{urll: x}]}]")
	code, answer := p.do(t, http.MethodPost, "/-/reload", nil)
	require.Equal(t, http.StatusInternalServerError, code)
	require.Contains(t, string(answer), "urll")
	require.Equal(t, "0", p.metric(t, "relay_config_last_reload_successful"))
	p.accept(t, "accepted", notification("A", firing("a")))
	require.Equal(t, "one", receive(t, received))

	p.configure(t, text("two"))
	code, _ = p.do(t, http.MethodPost, "/-/reload", nil)
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, "1", p.metric(t, "relay_config_last_reload_successful"))
	p.accept(t, "accepted", notification("B", firing("b")))
	require.Equal(t, "two", receive(t, received))
	p.stop()
	require.NotContains(t, p.logs.String(), "access_token=")
}

// receive waits for what comes next.
func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(10 * time.Second):
		require.FailNow(t, "nothing came")
		panic("unreachable")
	}
}
