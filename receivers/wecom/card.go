package wecom

import (
	"errors"
	"fmt"
	"strings"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/robots"
	"github.com/alertrelay/relay/internal/split"
)

// news and cards show a row for each alert when there are several. Rows are what is split: WeCom limits the length of its
// lists and cuts texts that are too long, which are therefore cut visibly here.
// https://developer.work.weixin.qq.com/document/path/91770, in bytes for news, in characters advised for cards.
const (
	maxArticles     = 8
	maxArticleTitle = 128
	maxArticleText  = 512
	maxRows         = 6 // horizontal_content_list
	maxLines        = 4 // vertical_content_list
	maxJumps        = 3
	maxButtons      = 6

	maxCardTitle = 120 // bytes: 26 to 40 characters
	maxCardDesc  = 120
	maxCardText  = 480
	maxCardKey   = 24
	maxCardValue = 120

	// rowRoom is what a row counts for when a notification is split.
	rowRoom = 512
)

type news struct {
	Articles []article `json:"articles"`
}

type article struct {
	Title       string `json:"title"`
	Description string `json:"description,omitempty"`
	URL         string `json:"url"`
	PictureURL  string `json:"picurl,omitempty"`
}

// textcard is for applications alone: a title, some lines, and a link.
type textcard struct {
	Title       string `json:"title"`
	Description string `json:"description"`
	URL         string `json:"url"`
}

type card struct {
	Type     string       `json:"card_type"`
	Source   *cardSource  `json:"source,omitempty"`
	Main     cardLine     `json:"main_title"`
	Picture  *cardPicture `json:"card_image,omitempty"`
	SubTitle string       `json:"sub_title_text,omitempty"`
	Lines    []cardLine   `json:"vertical_content_list,omitempty"`
	Rows     []cardRow    `json:"horizontal_content_list,omitempty"`
	Jumps    []cardJump   `json:"jump_list,omitempty"`
	Action   cardAction   `json:"card_action"`
	// Buttons and TaskID are those of a card that can be updated, which applications alone can send.
	Buttons []cardButton `json:"button_list,omitempty"`
	TaskID  string       `json:"task_id,omitempty"`
}

type cardButton struct {
	Type  int    `json:"type"`
	Text  string `json:"text"`
	Style int    `json:"style"`
	URL   string `json:"url"`
}

type cardSource struct {
	Desc  string `json:"desc"`
	Color int    `json:"desc_color"`
}

type cardLine struct {
	Title string `json:"title"`
	Desc  string `json:"desc,omitempty"`
}

type cardPicture struct {
	URL         string  `json:"url"`
	AspectRatio float64 `json:"aspect_ratio"`
}

// cardRow is a field of a card. Of type 1 its value is a link.
type cardRow struct {
	Type  int    `json:"type"`
	Key   string `json:"keyname"`
	Value string `json:"value"`
	URL   string `json:"url,omitempty"`
}

type cardJump struct {
	Type  int    `json:"type"`
	Title string `json:"title"`
	URL   string `json:"url"`
}

type cardAction struct {
	Type int    `json:"type"`
	URL  string `json:"url"`
}

// What a row, a jump or the whole card does when it is tapped.
const opensURL = 1

// The colours of a card's source.
const (
	colorGrey  = 0
	colorRed   = 2
	colorGreen = 3
)

// aspectRatio of a card's picture: as wide as WeCom allows.
const aspectRatio = 2.25

// A Field is a row of a card about one alert. Its value is a link when it has an address.
type Field struct {
	Title string `yaml:"title"`
	Value string `yaml:"value"`
	URL   string `yaml:"url,omitempty"`
}

// DefaultFields are where and since when, and the request that suffered.
func DefaultFields() []Field {
	return []Field{
		{Title: `{{ word "where" }}`, Value: `{{ template "relay.wecom.card.where" . }}`},
		{Title: `{{ word "when" }}`, Value: `{{ range .Items }}{{ template "relay.since" . }}{{ end }}`},
		{Title: `{{ word "room" }}`, Value: `{{ .Snapshot.RoomID | short 60 | plain }}`},
		{
			Title: `{{ word (origin "trace" .Snapshot) }}`, Value: `{{ .Snapshot.TraceID | short 60 | plain }}`,
			URL: `{{ httpURL .Snapshot.TraceURL }}`,
		},
		{Title: `{{ word (origin "client" .Snapshot) }}`, Value: `{{ client .Snapshot | short 60 | plain }}`},
	}
}

// cards are what news and template cards have beside a title and a text, compiled.
type cards struct {
	cardType                      string
	fields                        []field
	buttons                       robots.Buttons
	alertTitle, linkURL, pictures relay.Template
	name, source, desc, notes     relay.Template
}

type field struct{ title, value, url relay.Template }

func newCards(c Config, r relay.Renderer) (cards, error) {
	made := cards{cardType: c.CardType}
	var errs [9]error
	made.fields, errs[0] = compileFields(c, r)
	made.buttons, errs[1] = robots.CompileButtons(r, c.Locale, "buttons", c.Buttons)
	made.alertTitle, errs[2] = r.Text(c.Locale, c.AlertTitle)
	made.linkURL, errs[3] = r.Text(c.Locale, c.LinkURL)
	made.pictures, errs[4] = r.Text(c.Locale, c.PictureURL)
	made.name, errs[5] = r.Text(c.Locale, `{{ template "relay.wecom.card.name" . }}`)
	made.source, errs[6] = r.Text(c.Locale, `{{ template "relay.wecom.card.source" . }}`)
	made.desc, errs[7] = r.Text(c.Locale, `{{ template "relay.wecom.card.desc" . }}`)
	made.notes, errs[8] = r.Text(c.Locale, `{{ template "relay.notes" . }}`)
	return made, errors.Join(errs[0], errs[1], fault.At("alert_title", errs[2]), fault.At("link_url", errs[3]),
		fault.At("picture_url", errs[4]), errs[5], errs[6], errs[7], errs[8])
}

func compileFields(c Config, r relay.Renderer) ([]field, error) {
	fields := make([]field, len(c.Fields))
	var errs []error
	for n, f := range c.Fields {
		var err [3]error
		fields[n].title, err[0] = r.Text(c.Locale, f.Title)
		fields[n].value, err[1] = r.Text(c.Locale, f.Value)
		fields[n].url, err[2] = r.Text(c.Locale, f.URL)
		for i, key := range []string{"title", "value", "url"} {
			errs = append(errs, fault.At(fmt.Sprintf("fields[%d].%s", n, key), err[i]))
		}
	}
	return fields, errors.Join(errs...)
}

// rows is how many alerts one message shows.
func (c *cards) rows() int {
	switch c.cardType {
	case CardText, CardButtons:
		return maxRows
	case CardNews:
		return maxLines
	}
	return maxArticles - 2 // the title has a row of its own, and so may the notes
}

// asCard makes news or a card. One that would lead nowhere becomes a text.
func (f form) asCard(p split.Part, m relay.Message) (relay.Message, int, error) {
	spare := (f.cards.rows() - len(robots.Shown(p.View))) * rowRoom
	title, err := f.title.Execute(p.View)
	if err != nil {
		return m, 0, err
	}
	content, err := f.text.Execute(p.View)
	if err != nil {
		return m, 0, err
	}
	content = strings.TrimSpace(content)
	address, err := robots.Address(f.cards.linkURL, p.View)
	if err != nil {
		return m, 0, err
	}
	if address == "" {
		return m, f.asText(title+"\n"+content, &m), nil
	}
	b := body{Type: f.messageType}
	switch f.messageType {
	case TypeNews:
		b.News, err = f.cards.news(p, title, content, address)
	case TypeTemplateCard:
		b.Card, err = f.cards.card(p, title, content, address)
	default:
		b.Textcard = &textcard{robots.OneLine(title, maxArticleTitle), content, address}
		spare = maxArticleText - len(content)
	}
	if err != nil {
		return m, 0, err
	}
	m.Body, m.Text = robots.Encode(b), shown(b)
	return m, spare, nil
}

// news makes an article: of several alerts one for each, below one with the title.
func (c *cards) news(p split.Part, title, content, address string) (*news, error) {
	picture, err := robots.Address(c.pictures, p.View)
	if err != nil {
		return nil, err
	}
	n := &news{Articles: []article{{
		robots.OneLine(title, maxArticleTitle), split.Text(content, maxArticleText), address, picture,
	}}}
	alerts := robots.Shown(p.View)
	if len(alerts) == 1 && p.Parts == 0 {
		return n, nil
	}
	for _, a := range alerts {
		v := robots.Alone(p.View, a)
		line, link, err := c.alert(v, address)
		if err != nil {
			return nil, err
		}
		if picture, err = robots.Address(c.pictures, v); err != nil {
			return nil, err
		}
		n.Articles = append(n.Articles, article{Title: robots.OneLine(line, maxArticleTitle), URL: link, PictureURL: picture})
	}
	// WeCom shows no descriptions when there are several articles.
	notes, err := c.notes.Execute(p.Head())
	if notes = robots.OneLine(notes, maxArticleTitle); err == nil && notes != "" {
		n.Articles = append(n.Articles, article{Title: notes, URL: address})
	}
	return n, err
}

// alert is the row of one alert: its line and where it leads, which is where all of the message leads when it has no
// address of its own.
func (c *cards) alert(v relay.View, address string) (line, link string, err error) {
	if line, err = c.alertTitle.Execute(v); err != nil {
		return "", "", err
	}
	if link, err = robots.Address(c.linkURL, v); err != nil {
		return "", "", err
	}
	if link == "" {
		link = address
	}
	return line, link, nil
}

// card makes a card: of one alert with its fields, of several with a row for each.
func (c *cards) card(p split.Part, title, content, address string) (*card, error) {
	made := &card{
		Type: c.cardType, Main: cardLine{Title: robots.OneLine(title, maxCardTitle)},
		SubTitle: split.Text(content, maxCardText), Action: cardAction{opensURL, address},
	}
	source, err := c.source.Execute(p.View)
	if err != nil {
		return nil, err
	}
	made.Source = &cardSource{robots.OneLine(source, maxCardDesc), sourceColor(p.Notification())}
	if made.Main.Desc, err = c.desc.Execute(p.View); err != nil {
		return nil, err
	}
	made.Main.Desc = robots.OneLine(made.Main.Desc, maxCardDesc)
	if err := c.fill(made, p, address); err != nil {
		return nil, err
	}
	links, err := c.buttons.Links(p.View)
	if err != nil {
		return nil, err
	}
	switch {
	case c.cardType == CardButtons && len(links) > 0:
		for _, l := range links[:min(len(links), maxButtons)] {
			made.Buttons = append(made.Buttons, cardButton{opensURL, l.Title, plainButton, l.URL})
		}
		return made, nil
	case c.cardType == CardButtons: // WeCom takes no such card without a button
		made.Type = CardText
	}
	for _, l := range links[:min(len(links), maxJumps)] {
		made.Jumps = append(made.Jumps, cardJump{opensURL, l.Title, l.URL})
	}
	if c.cardType == CardNews {
		return made, c.picture(made, p.View)
	}
	return made, nil
}

// plainButton is the style of the buttons.
const plainButton = 1

// fill adds the rows.
func (c *cards) fill(made *card, p split.Part, address string) (err error) {
	alerts := robots.Shown(p.View)
	if len(alerts) == 1 && p.Parts == 0 {
		made.Rows, err = c.about(p.View)
		return err
	}
	for _, a := range alerts {
		v := robots.Alone(p.View, a)
		line, link, err := c.alert(v, address)
		if err != nil {
			return err
		}
		if c.cardType == CardNews {
			made.Lines = append(made.Lines, cardLine{Title: robots.OneLine(line, maxCardValue)})
			continue
		}
		name, err := c.name.Execute(v)
		if err != nil {
			return err
		}
		made.Rows = append(made.Rows, cardRow{
			opensURL, robots.OneLine(name, maxCardKey), robots.OneLine(line, maxCardValue), link,
		})
	}
	return nil
}

// about are the fields of a card about one alert, without those that have no value.
func (c *cards) about(v relay.View) ([]cardRow, error) {
	var rows []cardRow
	for _, f := range c.fields {
		title, err := f.title.Execute(v)
		if err != nil {
			return nil, err
		}
		value, err := f.value.Execute(v)
		if err != nil {
			return nil, err
		}
		row := cardRow{Key: robots.OneLine(title, maxCardKey), Value: robots.OneLine(value, maxCardValue)}
		if row.URL, err = robots.Address(f.url, v); err != nil {
			return nil, err
		}
		if row.URL != "" {
			row.Type = opensURL
		}
		if row.Key != "" && row.Value != "" && len(rows) < maxRows {
			rows = append(rows, row)
		}
	}
	return rows, nil
}

func (c *cards) picture(made *card, v relay.View) error {
	address, err := robots.Address(c.pictures, v)
	if address == "" { // WeCom takes no such card without one
		made.Type = CardText
		return err
	}
	made.Picture = &cardPicture{address, aspectRatio}
	return nil
}

func sourceColor(n *relay.Notification) int {
	switch n.Status {
	case relay.StatusFiring:
		return colorRed
	case relay.StatusResolved:
		return colorGreen
	}
	return colorGrey
}

// shown is what a reader sees of news or a card, for the history.
func shown(b body) string {
	var lines []string
	if b.Textcard != nil {
		lines = append(lines, b.Textcard.Title, b.Textcard.Description)
	} else if b.News != nil {
		for _, a := range b.News.Articles {
			lines = append(lines, a.Title, a.Description)
		}
	} else {
		c := b.Card
		lines = append(lines, c.Main.Title, c.Main.Desc, c.SubTitle)
		for _, l := range c.Lines {
			lines = append(lines, l.Title, l.Desc)
		}
		for _, r := range c.Rows {
			lines = append(lines, r.Key+" "+r.Value)
		}
	}
	var text strings.Builder
	for _, line := range lines {
		if line != "" {
			text.WriteString(line + "\n")
		}
	}
	return strings.TrimSuffix(text.String(), "\n")
}
