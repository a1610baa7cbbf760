package config

import (
	"maps"
	"net/mail"
	"slices"
	"strings"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/strictyaml"
	"github.com/alertrelay/relay/route"
)

// People is the directory of those whom messages mention, by name.
type People map[string]Person

// A Person is somebody in the directory, under what each channel calls them. A channel without a name for them does not
// mention them.
type Person struct {
	// Mobile is the number under which DingTalk and WeCom know them, where there is no user id.
	Mobile         string `yaml:"mobile,omitempty"`
	DingTalkUserID string `yaml:"dingtalk_user_id,omitempty"`
	WeComUserID    string `yaml:"wecom_user_id,omitempty"`
	// SlackID is a member's id: U01ABCDEF.
	SlackID string `yaml:"slack_id,omitempty"`
	Email   string `yaml:"email,omitempty"`
	// Match are matchers, as in a route: alerts that all of them match are theirs.
	Match []string `yaml:"match,omitempty"`
}

func (p People) validate(f *fault.List) {
	for _, name := range p.names() {
		person, f := p[name], f.In(strictyaml.Key(name))
		if name == "" || strings.ContainsAny(name, separators) {
			f.Addf("a name must be one word: labels name several people with spaces or commas between them")
		}
		word(f.In("mobile"), person.Mobile)
		word(f.In("dingtalk_user_id"), person.DingTalkUserID)
		word(f.In("wecom_user_id"), person.WeComUserID)
		word(f.In("slack_id"), person.SlackID)
		if person.Email != "" {
			if a, err := mail.ParseAddress(person.Email); err != nil || a.Address != person.Email {
				f.In("email").Addf("must be one address, without a name")
			}
		}
		if person.Mobile+person.DingTalkUserID+person.WeComUserID+person.SlackID+person.Email == "" {
			f.Addf("no channel knows them: set mobile, dingtalk_user_id, wecom_user_id, slack_id or email")
		}
		route.ValidateMatchers(person.Match, f.In("match"))
	}
}

// separators stand between the people that a label names.
const separators = ",;，；、 \t\r\n"

func word(f *fault.List, id string) {
	if strings.ContainsAny(id, separators+"@<>") {
		f.Addf("must be one word without @, < and >")
	}
}

func (p People) names() []string { return slices.Sorted(maps.Keys(p)) }

// directory makes the directory of people that validate found no fault with.
func (p People) directory() relay.People {
	var all relay.People
	for _, name := range p.names() {
		person := p[name]
		listed := relay.Listed{Person: relay.Person{
			Name: name, Mobile: person.Mobile, DingTalkUserID: person.DingTalkUserID,
			WeComUserID: person.WeComUserID, SlackID: person.SlackID, Email: person.Email,
		}}
		if match, err := route.NewMatchers(person.Match); err == nil && len(person.Match) > 0 {
			listed.Match = match
		}
		all = append(all, listed)
	}
	return all
}
