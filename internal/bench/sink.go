package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// sink plays the vendors: it takes every message, counts it per target, and keeps how long it took since the webhook was
// posted, which the load writes into each alert's summary. Its behaviour per target is set over HTTP.
func sink() error {
	s := &sinkServer{targets: map[string]*target{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /robot/send", s.send)
	mux.HandleFunc("GET /stats", s.stats)
	mux.HandleFunc("POST /reset", s.reset)
	return serve(mux)
}

type sinkServer struct {
	mu      sync.Mutex
	targets map[string]*target
	since   time.Time // what was posted before counts as no target's first
}

type target struct {
	count     int
	first     time.Time
	latencies []time.Duration

	delay time.Duration // before the answer
	down  bool          // answers 500
}

// sinkStats is what GET /stats answers.
type sinkStats struct {
	Count    int           // messages taken by all targets
	First    time.Time     // when the first of them came
	P50, P99 time.Duration // from webhook to vendor, over all targets but those that are delayed or down
}

func (s *sinkServer) target(r *http.Request) *target {
	token := r.URL.Query().Get("access_token")
	t := s.targets[token]
	if t == nil {
		t = &target{}
		s.targets[token] = t
	}
	return t
}

func (s *sinkServer) send(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	now := time.Now()
	s.mu.Lock()
	t := s.target(r)
	delay, down := t.delay, t.down
	if !down {
		t.count++
		at, ok := mark(body)
		if ok {
			t.latencies = append(t.latencies, now.Sub(at))
		}
		if t.first.IsZero() && !at.Before(s.since) {
			t.first = now
		}
	}
	s.mu.Unlock()

	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
			return
		}
	}
	if down {
		http.Error(w, "down", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"errcode":0,"errmsg":"ok"}`)
}

func (s *sinkServer) stats(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var st sinkStats
	var all []time.Duration
	for _, t := range s.targets {
		st.Count += t.count
		if !t.first.IsZero() && (st.First.IsZero() || t.first.Before(st.First)) {
			st.First = t.first
		}
		if t.delay == 0 && !t.down {
			all = append(all, t.latencies...)
		}
	}
	st.P50, st.P99 = percentile(all, 0.5), percentile(all, 0.99)
	_ = json.NewEncoder(w).Encode(st)
}

// reset forgets all counts and sets the behaviour of the targets named: ?delay=200ms&down=true&target=a&target=b. With
// since, in nanoseconds, only what was posted later can be the first.
func (s *sinkServer) reset(_ http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	delay, _ := time.ParseDuration(q.Get("delay"))
	down, _ := strconv.ParseBool(q.Get("down"))
	since, _ := strconv.ParseInt(q.Get("since"), 10, 64)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.targets, s.since = map[string]*target{}, time.Unix(0, since)
	for _, name := range q["target"] {
		s.targets[name] = &target{delay: delay, down: down}
	}
}

// The load writes the time of posting into each summary as markOpen, nanoseconds, markClose.
const markOpen, markClose = "benchT", "Z"

func mark(body []byte) (time.Time, bool) {
	_, rest, ok := bytes.Cut(body, []byte(markOpen))
	if !ok {
		return time.Time{}, false
	}
	digits, _, ok := bytes.Cut(rest, []byte(markClose))
	if !ok {
		return time.Time{}, false
	}
	ns, err := strconv.ParseInt(string(digits), 10, 64)
	return time.Unix(0, ns), err == nil
}

func percentile(ds []time.Duration, p float64) time.Duration {
	if len(ds) == 0 {
		return 0
	}
	slices.Sort(ds)
	return ds[min(len(ds)-1, int(p*float64(len(ds))))]
}
