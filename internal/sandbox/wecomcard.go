package sandbox

import (
	"fmt"
	"net/url"
)

// The lists of a template card. https://developer.work.weixin.qq.com/document/path/91770
const (
	wecomMaxRows    = 6
	wecomMaxLines   = 4
	wecomMaxJumps   = 3
	wecomMinAspect  = 1.3
	wecomMaxAspect  = 2.25
	wecomNewsTitle  = 128 // bytes, cut silently
	wecomNewsText   = 512
	wecomCardOpens  = 1 // a URL
	wecomCardApplet = 2 // a mini program
)

// wecomFields are those of a robot's message.
func wecomFields() fields {
	content := fields{"content": nil}
	return fields{
		"msgtype": nil, "text": {"content": nil, "mentioned_list": nil, "mentioned_mobile_list": nil},
		"markdown": content, "markdown_v2": content, "image": {"base64": nil, "md5": nil},
		"news": {"articles": {"title": nil, "description": nil, "url": nil, "picurl": nil}},
		"file": {"media_id": nil}, "voice": {"media_id": nil}, "template_card": wecomCardFields(),
	}
}

func wecomCardFields() fields {
	line := fields{"title": nil, "desc": nil}
	link := fields{"type": nil, "url": nil, "appid": nil, "pagepath": nil}
	with := func(more ...string) fields {
		all := fields{}
		for name := range link {
			all[name] = nil
		}
		for _, name := range more {
			all[name] = nil
		}
		return all
	}
	return fields{
		"card_type": nil, "source": {"icon_url": nil, "desc": nil, "desc_color": nil}, "main_title": line,
		"emphasis_content": line, "quote_area": with("title", "quote_text"), "sub_title_text": nil,
		"horizontal_content_list": {
			"type": nil, "keyname": nil, "value": nil, "url": nil, "media_id": nil, "userid": nil,
		},
		"vertical_content_list": line, "jump_list": with("title"), "card_action": link,
		"card_image":      {"url": nil, "aspect_ratio": nil},
		"image_text_area": with("title", "desc", "image_url"),
	}
}

// WeComCard is a template card as its readers see it.
type WeComCard struct {
	Type   string `json:"card_type"`
	Source struct {
		Desc  string `json:"desc"`
		Color int    `json:"desc_color"`
	} `json:"source"`
	MainTitle WeComLine `json:"main_title"`
	SubTitle  string    `json:"sub_title_text"`
	Rows      []struct {
		Type  int    `json:"type"`
		Key   string `json:"keyname"`
		Value string `json:"value"`
		URL   string `json:"url"`
	} `json:"horizontal_content_list"`
	Lines []WeComLine `json:"vertical_content_list"`
	Jumps []struct {
		Type  int    `json:"type"`
		Title string `json:"title"`
		URL   string `json:"url"`
	} `json:"jump_list"`
	Action *struct {
		Type int    `json:"type"`
		URL  string `json:"url"`
	} `json:"card_action"`
	Buttons []struct {
		Type int    `json:"type"`
		Text string `json:"text"`
		Key  string `json:"key"`
		URL  string `json:"url"`
	} `json:"button_list"`
	TaskID string `json:"task_id"`
	Image  *struct {
		URL         string  `json:"url"`
		AspectRatio float64 `json:"aspect_ratio"`
	} `json:"card_image"`
}

// WeComLine is a line of a card with what stands below it.
type WeComLine struct {
	Title string `json:"title"`
	Desc  string `json:"desc"`
}

// fault names what the vendor refuses about a card; empty when that is nothing.
func (c *WeComCard) fault() string {
	switch {
	case c.Type != "text_notice" && c.Type != "news_notice":
		return "card_type"
	case c.Action == nil || !c.opens(c.Action.Type, c.Action.URL):
		return "card_action"
	case len(c.Rows) > wecomMaxRows:
		return "horizontal_content_list"
	case len(c.Jumps) > wecomMaxJumps:
		return "jump_list"
	case len(c.Lines) > wecomMaxLines:
		return "vertical_content_list"
	case c.MainTitle.Title == "" && (c.SubTitle == "" || c.Type == "news_notice"):
		return "main_title"
	case c.Type == "news_notice" && (c.Image == nil || !hasScheme(c.Image.URL)):
		return "card_image"
	}
	return c.listFault()
}

func (c *WeComCard) listFault() string {
	for i, r := range c.Rows {
		if r.Key == "" || r.Type == wecomCardOpens && !hasScheme(r.URL) {
			return fmt.Sprintf("horizontal_content_list[%d]", i)
		}
	}
	for i, j := range c.Jumps {
		if j.Title == "" || j.Type != 0 && !c.opens(j.Type, j.URL) {
			return fmt.Sprintf("jump_list[%d]", i)
		}
	}
	for i, l := range c.Lines {
		if l.Title == "" {
			return fmt.Sprintf("vertical_content_list[%d]", i)
		}
	}
	if c.Image != nil && c.Image.AspectRatio != 0 &&
		(c.Image.AspectRatio < wecomMinAspect || c.Image.AspectRatio > wecomMaxAspect) {
		return "card_image.aspect_ratio"
	}
	return ""
}

// opens reports whether something to tap leads somewhere.
func (*WeComCard) opens(kind int, address string) bool {
	return kind == wecomCardOpens && hasScheme(address) || kind == wecomCardApplet
}

func hasScheme(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme != "" && u.Host != ""
}
