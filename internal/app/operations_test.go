package app_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/sandbox"
	"github.com/alertrelay/relay/webhook"
)

// An answer of /api/v1.
type answer[T any] struct {
	Status, ErrorType, Error string
	Data                     T
	Warnings                 []string
}

// get asks the API.
func get[T any](t *testing.T, p *process, path string) T {
	t.Helper()
	code, text := p.do(t, http.MethodGet, "/api/v1"+path, nil)
	require.Equal(t, http.StatusOK, code, "%s", text)
	require.NotContains(t, string(text), "slack-token")
	require.NotContains(t, string(text), "wecom-key")
	var a answer[T]
	require.NoError(t, json.Unmarshal(text, &a))
	require.Equal(t, "success", a.Status)
	return a.Data
}

// order gives an order about dead letters.
func (p *process) order(t *testing.T, what, body string) (done, refused string, warnings []string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/api/v1/dead-letters/"+what,
		bytes.NewReader([]byte(body)))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	var a answer[struct {
		Requeued, Dropped []string
		Refused           []struct{ ID, Reason, Error string }
	}]
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&a))
	require.Equal(t, http.StatusOK, resp.StatusCode, a.Error)
	var reasons []string
	for _, r := range a.Data.Refused {
		require.NotEmpty(t, r.Error)
		reasons = append(reasons, r.ID+" "+r.Reason)
	}
	return strings.Join(append(a.Data.Requeued, a.Data.Dropped...), ","), strings.Join(reasons, ","), a.Warnings
}

type deadLetters struct{ DeadLetters []webhook.DeadLetter }

type deliveries struct{ Deliveries []webhook.Delivery }

func TestADeadLetterIsToldAfterAll(t *testing.T) {
	t.Parallel()
	box, text := vendors(t)
	p := start(t, t.TempDir(), text, nil)
	box.Slack.Break("", sandbox.FaultAnswer(http.StatusBadRequest, "text/plain", "invalid_payload"))
	id := p.accept(t, "accepted", notification("Lag", firing("checkout")))
	dead := p.accept(t, "accepted", notification("Other", firing("login")))
	require.Eventually(t, func() bool {
		return len(get[deliveries](t, p, "/deliveries?state=failed").Deliveries) == 2 &&
			len(get[deliveries](t, p, "/deliveries?state=sent").Deliveries) == 6
	}, wait, tick)

	letters := get[deadLetters](t, p, "/dead-letters?notification="+id).DeadLetters
	require.Len(t, letters, 1)
	require.Equal(t, "ops/slack/hook", letters[0].Integration)
	require.Equal(t, "refused", string(letters[0].Reason))
	require.Contains(t, letters[0].Detail, "invalid_payload")
	detail := get[webhook.NotificationDetail](t, p, "/notifications/"+id)
	require.Len(t, detail.Deliveries, 4)
	require.Len(t, detail.Stored, 1)
	require.Contains(t, string(detail.Stored[0]), "checkout is too slow")
	require.Equal(t, "accepted", detail.Events[0].Type)

	box.Slack.Repair("")
	done, refused, warnings := p.order(t, "requeue", `{"ids":["`+letters[0].ID+`","nothing-0"]}`)
	require.Equal(t, letters[0].ID, done)
	require.Equal(t, "nothing-0 not_found", refused)
	require.NotEmpty(t, warnings)
	late := await(t, box, sandbox.InboxSlack, 1)
	require.Contains(t, late, "checkout is too slow")
	require.Contains(t, late, "Sent late: this is from ")
	require.Eventually(t, func() bool {
		rows := get[deliveries](t, p, "/deliveries?notification="+id+"&integration=ops/slack/hook").Deliveries
		return len(rows) == 1 && rows[0].State == "sent"
	}, wait, tick)

	// Newer news of the group is told, so the older must not follow it unasked.
	p.accept(t, "accepted", notification("Other", resolved("login")))
	await(t, box, sandbox.InboxSlack, 2)
	other := get[deadLetters](t, p, "/dead-letters").DeadLetters[0].ID
	require.Equal(t, dead, other[:26])
	require.Eventually(t, func() bool {
		_, refused, _ = p.order(t, "requeue", `{"ids":["`+other+`"]}`)
		return refused == other+" newer_sent"
	}, wait, tick)
	done, _, _ = p.order(t, "drop", `{"ids":["`+other+`"]}`)
	require.Equal(t, other, done)
	require.Empty(t, get[deadLetters](t, p, "/dead-letters").DeadLetters)
	require.Equal(t, "0", p.metric(t, "relay_dead_letters"))

	code, _ := p.do(t, http.MethodGet, "/api/v1/notifications/01ARZ3NDEKTSV4RRFFQ69G0000", nil)
	require.Equal(t, http.StatusNotFound, code)
	code, body := p.do(t, http.MethodGet, "/api/v1/deliveries?cursor=x", nil)
	require.Equal(t, http.StatusBadRequest, code)
	require.Contains(t, string(body), `parameter \"cursor\"`)
}
