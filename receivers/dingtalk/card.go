package dingtalk

import (
	"errors"
	"net/url"
	"strings"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/robots"
	"github.com/alertrelay/relay/internal/split"
)

// link, actionCard and feedCard are the messages that lead somewhere when they are tapped. The capitals of their fields
// differ, and DingTalk minds. https://open.dingtalk.com/document/development/robot-message-type
type link struct {
	Title      string `json:"title"`
	Text       string `json:"text"`
	MessageURL string `json:"messageUrl"`
	PictureURL string `json:"picUrl,omitempty"`
}

type actionCard struct {
	Title string `json:"title"`
	Text  string `json:"text"`
	// One button has fields of its own, which make all of the card a link.
	SingleTitle string       `json:"singleTitle,omitempty"`
	SingleURL   string       `json:"singleURL,omitempty"`
	Buttons     []cardButton `json:"btns,omitempty"`
	// Orientation is 0 for buttons below each other, 1 for beside.
	Orientation string `json:"btnOrientation,omitempty"`
}

type cardButton struct {
	Title string `json:"title"`
	URL   string `json:"actionURL"`
}

type feedCard struct {
	Links []feedLink `json:"links"`
}

type feedLink struct {
	Title      string `json:"title"`
	MessageURL string `json:"messageURL"`
	PictureURL string `json:"picURL"`
}

// card is what these messages have beside a title and a text, compiled.
type card struct {
	buttons                       robots.Buttons
	horizontal, inBrowser         bool
	alertTitle, linkURL, pictures relay.Template
	notes                         relay.Template
}

func newCard(c Config, r relay.Renderer) (card, error) {
	made := card{horizontal: c.ButtonLayout == LayoutHorizontal, inBrowser: c.OpenInBrowser}
	var errs [5]error
	made.buttons, errs[0] = robots.CompileButtons(r, c.Locale, "buttons", c.Buttons)
	made.alertTitle, errs[1] = r.Text(c.Locale, c.AlertTitle)
	made.linkURL, errs[2] = r.Text(c.Locale, c.LinkURL)
	made.pictures, errs[3] = r.Text(c.Locale, c.PictureURL)
	made.notes, errs[4] = r.Text(c.Locale, `{{ template "relay.notes" . }}`)
	return made, errors.Join(errs[0], fault.At("alert_title", errs[1]), fault.At("link_url", errs[2]),
		fault.At("picture_url", errs[3]), errs[4])
}

// action makes an actionCard; nil when there is no button, without which DingTalk takes none.
func (c *card) action(v relay.View, title, text string) (*actionCard, error) {
	links, err := c.buttons.Links(v)
	if err != nil || len(links) == 0 {
		return nil, err
	}
	a := &actionCard{Title: title, Text: text}
	if len(links) == 1 {
		a.SingleTitle, a.SingleURL = links[0].Title, c.opened(links[0].URL)
		return a, nil
	}
	a.Orientation = "0"
	if c.horizontal {
		a.Orientation = "1"
	}
	for _, l := range links {
		a.Buttons = append(a.Buttons, cardButton{l.Title, c.opened(l.URL)})
	}
	return a, nil
}

// link makes a link; nil when it leads nowhere.
func (c *card) link(v relay.View, title, text string) (*link, error) {
	address, err := robots.Address(c.linkURL, v)
	if err != nil || address == "" {
		return nil, err
	}
	picture, err := c.picture(v)
	return &link{title, text, c.opened(address), picture}, err
}

// feed makes a feedCard: an entry for each alert, with the title of all above them when there are several, and the notes
// below. nil when one of them leads nowhere or has no picture.
func (c *card) feed(p split.Part, title string) (*feedCard, error) {
	alerts := robots.Shown(p.View)
	f := &feedCard{}
	add := func(v relay.View, title string) (bool, error) {
		address, err := robots.Address(c.linkURL, v)
		if err != nil {
			return false, err
		}
		picture, err := c.picture(v)
		if err != nil || address == "" || picture == "" {
			return false, err
		}
		f.Links = append(f.Links, feedLink{title, c.opened(address), picture})
		return true, nil
	}
	if len(alerts) != 1 || p.Parts > 0 {
		if ok, err := add(p.View, title); !ok {
			return nil, err
		}
	}
	for _, a := range alerts {
		v := robots.Alone(p.View, a)
		line, err := c.alertTitle.Execute(v)
		if err != nil {
			return nil, err
		}
		if ok, err := add(v, oneLine(line)); !ok {
			return nil, err
		}
	}
	notes, err := c.notes.Execute(p.Head())
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(notes) != "" {
		if ok, err := add(p.View, oneLine(notes)); !ok {
			return nil, err
		}
	}
	return f, nil
}

// text is what a reader sees of a feedCard.
func (f *feedCard) text() string {
	lines := make([]string, len(f.Links))
	for n, l := range f.Links {
		lines[n] = l.Title
	}
	return strings.Join(lines, "\n")
}

// picture is an address, or the id of a picture that DingTalk keeps, which begins with @; empty without one.
func (c *card) picture(v relay.View) (string, error) {
	text, err := c.pictures.Execute(v)
	if text = strings.TrimSpace(text); strings.HasPrefix(text, "@") {
		return text, err
	}
	return robots.Address(c.pictures, v)
}

// opened is a link as DingTalk shall open it.
// https://open.dingtalk.com/document/development/message-link-description
func (c *card) opened(address string) string {
	if !c.inBrowser {
		return address
	}
	return "dingtalk://dingtalkclient/page/link?url=" + url.QueryEscape(address) + "&pc_slide=false"
}
