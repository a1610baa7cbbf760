package sandbox_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/sandbox"
)

// Faults are the same for the three HTTP vendors, so one stands for all.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault     sandbox.Fault
		check     func(t *testing.T, r reply, err error)
		delivered int
	}{
		"fixed answer": {
			fault: sandbox.FaultAnswer(200, "application/json", `{"errcode":45033}`),
			check: func(t *testing.T, r reply, err error) {
				t.Helper()
				require.NoError(t, err)
				require.JSONEq(t, `{"errcode":45033}`, r.body)
			},
		},
		"a proxy's page": {
			fault: sandbox.FaultStatus(502),
			check: func(t *testing.T, r reply, err error) {
				t.Helper()
				require.NoError(t, err)
				require.Equal(t, 502, r.status)
				require.Contains(t, r.body, "<html>")
			},
		},
		"truncated": {
			fault: sandbox.FaultTruncate(), delivered: 1,
			check: func(t *testing.T, r reply, err error) {
				t.Helper()
				require.NoError(t, err)
				require.False(t, json.Valid([]byte(r.body)), r.body)
			},
		},
		"closed": {
			fault: sandbox.FaultClose(),
			check: func(t *testing.T, _ reply, err error) {
				t.Helper()
				require.Error(t, err)
			},
		},
		"delivered, then closed": {
			fault: sandbox.FaultDeliverThenClose(), delivered: 1,
			check: func(t *testing.T, _ reply, err error) {
				t.Helper()
				require.Error(t, err)
			},
		},
		"delayed":  {fault: sandbox.FaultDelay(5 * time.Millisecond), delivered: 1, check: fine},
		"dripping": {fault: sandbox.FaultDrip(time.Microsecond), delivered: 1, check: fine},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sb, _ := start(t)
			url := sb.WeCom.Add(sandbox.WeComRobot{Key: "k"})
			sb.WeCom.Inject("k", c.fault)
			r, err := try(t, url, wecomText)
			c.check(t, r, err)
			require.Len(t, sb.Inbox("wecom"), c.delivered)
			require.Len(t, sb.Requests("wecom"), 1)
			require.NotEmpty(t, sb.Requests("wecom")[0].Fault)

			require.Zero(t, errcode(t, post(t, url, wecomText)), "a fault is consumed")
		})
	}
}

func fine(t *testing.T, r reply, err error) {
	t.Helper()
	require.NoError(t, err)
	require.Zero(t, errcode(t, r))
}

func TestHangingUntilReleased(t *testing.T) {
	t.Parallel()
	sb, _ := start(t)
	url := sb.WeCom.Add(sandbox.WeComRobot{Key: "k"})
	release := make(chan struct{})
	sb.WeCom.Inject("k", sandbox.FaultHang(release))
	done := make(chan error, 1)
	go func() {
		_, err := try(t, url, wecomText) //nolint:testifylint // it asserts only that the test itself is right
		done <- err
	}()
	post(t, sb.WeCom.Add(sandbox.WeComRobot{Key: "other"}), wecomText) // nobody else waits
	close(release)
	require.NoError(t, <-done)
	require.Len(t, sb.Inbox("wecom"), 2)
}

func TestHangingEndsWithTheCaller(t *testing.T) {
	t.Parallel()
	sb, _ := start(t)
	url := sb.WeCom.Add(sandbox.WeComRobot{Key: "k"})
	sb.WeCom.Inject("k", sandbox.FaultHang(make(chan struct{})))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := try(t, url, wecomText, func(r *http.Request) { *r = *r.WithContext(ctx) })
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Empty(t, sb.Inbox("wecom"))
}

func TestFaultsAreConsumedInOrder(t *testing.T) {
	t.Parallel()
	sb, _ := start(t)
	url := sb.WeCom.Add(sandbox.WeComRobot{Key: "k"})
	sb.WeCom.Inject("", sandbox.FaultStatus(500))
	sb.WeCom.Inject("k", sandbox.FaultStatus(501), sandbox.FaultStatus(502))
	sb.WeCom.Break("k", sandbox.FaultStatus(503))
	for _, want := range []int{501, 502, 500, 503, 503, 503} {
		require.Equal(t, want, post(t, url, wecomText).status)
	}
	sb.WeCom.Repair("k")
	require.Equal(t, http.StatusOK, post(t, url, wecomText).status)
}

// None of the forms of DingTalk's throttle may be read as success by somebody who takes a missing errcode for 0.
func TestDingTalkFaults(t *testing.T) {
	t.Parallel()
	sb, _ := start(t)
	url := sb.DingTalk.Add(sandbox.DingTalkRobot{Token: "t"})
	sb.DingTalk.Inject("t", sandbox.FaultDingTalkBusy(), sandbox.FaultDingTalkThrottled("text/html"),
		sandbox.FaultDingTalkThrottled("application/json"), sandbox.FaultDingTalkThrottledMerged())
	require.Equal(t, -1, errcode(t, post(t, url, dingtalkText)))
	for _, kind := range []string{"text/html", "application/json"} {
		r := post(t, url, dingtalkText)
		require.Equal(t, kind, r.contentType)
		require.Contains(t, r.body, `"punish":"deny"`)
		require.NotContains(t, r.body, "errcode")
	}
	require.Equal(t, 130101, errcode(t, post(t, url, dingtalkText)))
	require.Empty(t, sb.Inbox("dingtalk"))
}
