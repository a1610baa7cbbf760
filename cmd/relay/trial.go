package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/alertrelay/relay/internal/app"
	"github.com/alertrelay/relay/internal/operator"
	"github.com/alertrelay/relay/internal/wiretap"
)

// tellTrial writes a trial for a person.
func tellTrial(w io.Writer, t app.Trial) {
	name := string(t.Integration)
	if name == "" {
		name = t.Receiver + ": no integration"
	}
	if t.Destination != "" {
		name += " to " + t.Destination
	}
	fmt.Fprintf(w, "# %s, %s\n", operator.Printable(name), count(t.Alerts, "alert"))
	if t.Error != "" {
		fmt.Fprintf(w, "# cannot be told: %s\n", operator.Printable(t.Error))
	}
	for _, m := range t.Messages {
		tellMessage(w, m)
	}
	fmt.Fprintln(w)
}

func tellMessage(w io.Writer, m app.TriedMessage) {
	fmt.Fprintf(w, "# message %d of %d", m.Part, m.Parts)
	if m.Omitted > 0 {
		fmt.Fprintf(w, ", %s only counted", count(m.Omitted, "alert"))
	}
	if m.Limiter != "" {
		fmt.Fprintf(w, ", through %s", m.Limiter)
	}
	fmt.Fprintln(w)
	if m.Fallback != "" {
		fmt.Fprintf(w, "# the plain text stands in: %s\n", operator.Printable(m.Fallback))
	}
	shown := false
	for _, c := range m.Calls {
		fmt.Fprintf(w, "%s %s\n", c.Method, c.URL)
		tellHeader(w, c.Header)
		tellBody(w, readable(c.Body))
		path, _, _ := strings.Cut(c.URL, "?")
		shown = shown || len(c.Body) > 0 && !strings.Contains(strings.ToLower(path), "token")
		if a := c.Answer; a != nil {
			fmt.Fprintf(w, "# answer: %d %s\n", a.Status, http.StatusText(a.Status))
			tellBody(w, a.Body)
		}
	}
	if !shown { // what came before the message in earnest, a token for example, cannot be had without sending
		tellBody(w, m.Body)
	}
	tellAnswer(w, m.Result)
}

func tellHeader(w io.Writer, h http.Header) {
	for _, name := range slices.Sorted(maps.Keys(h)) {
		fmt.Fprintf(w, "%s: %s\n", name, operator.Printable(strings.Join(h[name], ", ")))
	}
}

// tellBody writes a body: JSON in lines, whatever else as it is. What a terminal would obey is shown as a dot.
func tellBody(w io.Writer, body wiretap.Text) {
	text := string(body)
	var pretty bytes.Buffer
	if json.Indent(&pretty, body, "", "  ") == nil {
		text = strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(pretty.String())
	}
	if text == "" {
		return
	}
	fmt.Fprintln(w)
	for line := range strings.Lines(text) {
		fmt.Fprintln(w, operator.Printable(strings.TrimRight(line, "\r\n")))
	}
	fmt.Fprintln(w)
}

func tellAnswer(w io.Writer, r *app.Result) {
	switch {
	case r == nil:
	case r.Taken:
		fmt.Fprintf(w, "# sent in %s: %s\n", r.Took.Round(time.Millisecond), operator.Printable(r.Detail))
	default:
		fmt.Fprintf(w, "# not sent, %s: %s\n", r.Kind, operator.Printable(r.Error))
		if r.RetryAfter > 0 {
			fmt.Fprintf(w, "# the vendor wants a pause of %s\n", r.RetryAfter)
		}
	}
	if r != nil {
		for _, who := range slices.Sorted(maps.Keys(r.Refused)) {
			fmt.Fprintf(w, "# not to %s: %s\n", operator.Printable(who), operator.Printable(r.Refused[who]))
		}
	}
}
