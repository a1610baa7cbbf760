package robots

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/split"
)

// A Button is a link of a card, each half a template.
type Button struct {
	Title string `yaml:"title"`
	URL   string `yaml:"url"`
}

// DefaultButtons open the expression behind the alerts, a new silence, the runbook, and the trace of the request.
func DefaultButtons() []Button {
	return []Button{
		{`{{ word "source" }}`, `{{ .Source }}`},
		{`{{ word "silence" }}`, `{{ .Silence }}`},
		{`{{ word "runbook" }}`, `{{ .Runbook }}`},
		{`{{ word "trace" }}`, `{{ httpURL .Snapshot.TraceURL }}`},
	}
}

// ValidateButtons adds what is wrong with the list of that key to f.
func ValidateButtons(list []Button, f *fault.List) {
	for n, b := range list {
		if b.Title == "" || b.URL == "" {
			f.Item(n).Addf("title and url are required")
		}
	}
}

// Buttons are compiled. They may be used concurrently.
type Buttons []button

type button struct{ title, url relay.Template }

// CompileButtons compiles the list that stands at key. Its error names the templates at fault.
func CompileButtons(r relay.Renderer, locale, key string, list []Button) (Buttons, error) {
	compiled := make(Buttons, len(list))
	var errs []error
	for n, b := range list {
		var errTitle, errURL error
		compiled[n].title, errTitle = r.Text(locale, b.Title)
		compiled[n].url, errURL = r.Text(locale, b.URL)
		at := fmt.Sprintf("%s[%d]", key, n)
		errs = append(errs, fault.At(at+".title", errTitle), fault.At(at+".url", errURL))
	}
	return compiled, errors.Join(errs...)
}

// A Link is a button of one message.
type Link struct{ Title, URL string }

// Links are the buttons that a message has: those whose title is not empty and whose address may be followed.
func (bs Buttons) Links(v relay.View) ([]Link, error) {
	var links []Link
	for _, b := range bs {
		title, err := b.title.Execute(v)
		if err != nil {
			return nil, err
		}
		address, err := Address(b.url, v)
		if err != nil {
			return nil, err
		}
		if title = OneLine(title, maxButton); title != "" && address != "" {
			links = append(links, Link{title, address})
		}
	}
	return links, nil
}

// maxButton bounds the title of a button, in bytes: more than fits on a phone.
const maxButton = 60

// Address is what a template says where a link leads: an http or https address, or nothing.
func Address(t relay.Template, v relay.View) (string, error) {
	text, err := t.Execute(v)
	if err != nil {
		return "", err
	}
	if text = strings.TrimSpace(text); !follows(text) {
		return "", nil
	}
	return text, nil
}

func follows(address string) bool {
	u, err := url.Parse(address)
	return err == nil && isHTTP(u) && len(address) <= maxAddress
}

// maxAddress bounds a link, in bytes: what WeCom takes in a card.
// https://developer.work.weixin.qq.com/document/path/90236
const maxAddress = 2048

// OneLine makes a title of what a template gave: one line of at most limit bytes.
func OneLine(text string, limit int) string {
	return split.Text(strings.Join(strings.Fields(text), " "), limit)
}

// Shown are the alerts that a part shows.
func Shown(v relay.View) relay.Alerts {
	if v.Alerts == nil {
		return v.Notification().Alerts
	}
	return v.Alerts
}

// Alone is v for one of its alerts, as if the notification told of nothing else: for the title and the link that a list
// has for each alert.
func Alone(v relay.View, a relay.Alert) relay.View {
	n := *v.Notification()
	n.Alerts, n.Status, n.TruncatedAlerts = relay.Alerts{a}, a.Status, 0
	d := *v.Delivery
	d.Tellings = []relay.Telling{{Notification: &n, Since: v.Delivery.Tellings[v.Telling].Since}}
	return relay.View{Delivery: &d}
}
