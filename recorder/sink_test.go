//go:build go1.25

package recorder_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alertrelay/relay/recorder"
)

func TestRelay(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		status  int
		ok      bool
		refused bool
	}{
		{200, true, false},
		{204, true, false},
		{400, false, true},
		{413, false, true},
		{401, false, false},
		{307, false, false},
		{503, false, false},
	} {
		t.Run(strconv.Itoa(tc.status), func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				equal(t, "PUT /api/v1/snapshots", r.Method+" "+r.URL.Path, "request")
				equal(t, "Bearer s3cret", r.Header.Get("Authorization"), "token")
				equal(t, "application/json", r.Header.Get("Content-Type"), "type")
				body, _ := io.ReadAll(r.Body)
				equal(t, `[{"labels":{"service":"pay"},"trace_id":"a","time":"2026-11-20T08:00:00Z"}]`,
					string(body), "body")
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(tc.status)
			}))
			defer server.Close()
			put := recorder.Relay{URL: server.URL + "/", Token: "s3cret"}.Put
			err := put(t.Context(), []recorder.Snapshot{{Labels: labels, TraceID: "a", Time: at}})
			equal(t, tc.ok, err == nil, fmt.Sprintf("taken: %v", err))
			equal(t, tc.refused, errors.Is(err, recorder.ErrRefused), "refused")
			equal(t, false, err != nil && strings.Contains(err.Error(), "s3cret"), "the token is told")
		})
	}
}

func TestRelayIsAskedInParts(t *testing.T) {
	t.Parallel()
	var sizes []int
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var part []recorder.Snapshot
		equal(t, nil, json.NewDecoder(r.Body).Decode(&part), "body")
		sizes = append(sizes, len(part))
	}))
	defer server.Close()
	equal(t, nil, recorder.Relay{URL: server.URL}.Put(t.Context(), make([]recorder.Snapshot, 450)), "put")
	equal(t, []int{200, 200, 50}, sizes, "sizes")
}

// reply is go-redis' *Cmd, as far as it counts.
type reply struct{ err error }

func (r reply) Err() error { return r.err }

// do is go-redis' Client.Do, and writes what it is asked for to out.
func do(out *[]string, errs ...error) func(ctx context.Context, args ...any) reply {
	return func(_ context.Context, args ...any) reply {
		*out = append(*out, strings.TrimSuffix(fmt.Sprintf(strings.Repeat("%s ", len(args)), args...), " "))
		return reply{errors.Join(errs...)}
	}
}

func TestRedis(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	var commands []string
	put := recorder.Redis(do(&commands), recorder.RedisOptions{Namespace: "shop", TTL: time.Hour}).Put
	own := map[string]string{"service": "pay", "instance": "10.0.0.7:8080", "zone": "a"}
	err := put(t.Context(), []recorder.Snapshot{
		{Labels: own, TraceID: "t1", Time: at},
		{Labels: own, TraceID: "t2", RoomID: "10086", UserAgent: `a "<b>"`, Time: at},
	})
	equal(t, nil, err, "put")
	newest := `{"trace_id":"t2","room_id":"10086","user_agent":"a \"<b>\"","time":"2026-11-20T08:00:00Z"}`
	equal(t, []string{
		"SET shop:snapshot:instance=10.0.0.7:8080,service=pay " + newest + " EX %!s(int64=3600)",
		"SET shop:snapshot:service=pay " + newest + " EX %!s(int64=3600)",
		`SET shop:snapshot:trace_id=t1 {"trace_id":"t1","time":"2026-11-20T08:00:00Z"} EX %!s(int64=3600)`,
		"SET shop:snapshot:trace_id=t2 " + newest + " EX %!s(int64=3600)",
	}, commands, "commands")
}

func TestRedisFails(t *testing.T) {
	t.Parallel()
	var commands []string
	put := recorder.Redis(do(&commands, errors.New("READONLY")), recorder.RedisOptions{}).Put
	err := put(t.Context(), []recorder.Snapshot{{Labels: labels, TraceID: "t1"}})
	equal(t, "put snapshots: SET: READONLY", err.Error(), "error")
	equal(t, 1, len(commands), "commands")
}

func TestRedisValueIsBounded(t *testing.T) {
	t.Parallel()
	var commands []string
	put := recorder.Redis(do(&commands), recorder.RedisOptions{}).Put
	long := strings.Repeat(`"`, 512)
	extra := map[string]string{"a": long, "b": long, "c": long, "d": long, "e": long}
	err := put(t.Context(), []recorder.Snapshot{{Labels: labels, RoomID: long, UserAgent: long, Extra: extra}})
	equal(t, nil, err, "put")
	equal(t, false, strings.Contains(commands[0], "extra"), "extra is kept")
	equal(t, true, strings.Contains(commands[0], "room_id"), "the room is kept")
}

// TestRedisKeys holds the layout by the examples that the relay itself is held by.
func TestRedisKeys(t *testing.T) {
	t.Parallel()
	file, err := os.ReadFile("../snapshots/testdata/keys.json")
	if err != nil {
		t.Skip("the relay's examples are in its repository only")
	}
	var examples []struct {
		Labels map[string]string
		Set    []string
		Key    string
	}
	equal(t, nil, json.Unmarshal(file, &examples), "examples")
	for _, example := range examples {
		var commands []string
		sink := recorder.Redis(do(&commands), recorder.RedisOptions{Lookup: [][]string{example.Set}})
		equal(t, nil, sink.Put(t.Context(), []recorder.Snapshot{{Labels: example.Labels, RoomID: "1"}}), "put")
		if example.Key == "" {
			equal(t, 0, len(commands), "commands")
			continue
		}
		equal(t, true, strings.HasPrefix(commands[0], "SET relay:snapshot:"+example.Key+" {"), example.Key+": "+commands[0])
	}
}
