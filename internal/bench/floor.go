package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"text/template"
	"time"
)

// text is what both programs make of a notification, so that they are compared over the same words.
const text = `{{ range .Alerts }}- {{ .Labels.severity }} {{ .Labels.alertname }} {{ .Annotations.summary }}
{{ end }}`

// floor is the least relay there can be: decode, render, one keep-alive POST per target, synchronous.
func floor(targets []string) error {
	type alert struct {
		Status              string
		Labels, Annotations map[string]string
		StartsAt, EndsAt    time.Time
		GeneratorURL        string
		Fingerprint         string
	}
	type notification struct {
		Receiver, Status, Version, GroupKey          string
		GroupLabels, CommonLabels, CommonAnnotations map[string]string
		ExternalURL                                  string
		Alerts                                       []alert
	}
	words := template.Must(template.New("").Parse(text))
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 10 * time.Second}

	handler := func(w http.ResponseWriter, r *http.Request) {
		var n notification
		if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
			http.Error(w, "not JSON", http.StatusBadRequest)
			return
		}
		var rendered bytes.Buffer
		if err := words.Execute(&rendered, n); err != nil {
			http.Error(w, "template", http.StatusInternalServerError)
			return
		}
		body, _ := json.Marshal(map[string]any{
			"msgtype":  "markdown",
			"markdown": map[string]string{"title": n.Status, "text": rendered.String()},
		})
		for _, target := range targets {
			req, _ := http.NewRequestWithContext(r.Context(), http.MethodPost, target, bytes.NewReader(body))
			req.Header.Set("Content-Type", "application/json")
			resp, err := client.Do(req)
			if err != nil {
				http.Error(w, "target", http.StatusServiceUnavailable)
				return
			}
			var answer struct{ Errcode int }
			err = json.NewDecoder(resp.Body).Decode(&answer)
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if err != nil || answer.Errcode != 0 {
				http.Error(w, "target", http.StatusServiceUnavailable)
				return
			}
		}
	}
	return serve(http.HandlerFunc(handler))
}

// serve listens on a free loopback port, says which on the first line of its output, and serves until it is ended.
func serve(h http.Handler) error {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, l.Addr())
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	return server.Serve(l)
}
