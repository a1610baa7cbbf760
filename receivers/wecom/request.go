package wecom

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/alertrelay/relay"
)

// appRequest is a request of an application: message/send, or appchat/send when it is for a chat.
// https://developer.work.weixin.qq.com/document/path/90236, https://developer.work.weixin.qq.com/document/path/90248
type appRequest struct {
	addressees

	AgentID *agentID `json:"agentid,omitempty"`

	body

	Safe              string `json:"safe,omitempty"`
	DuplicateCheck    int    `json:"enable_duplicate_check,omitempty"`
	DuplicateInterval int    `json:"duplicate_check_interval,omitempty"`

	// Life is the relay's own, of what is told where cards can be updated. It is taken out before the request is sent.
	Life *life `json:"relay_life,omitempty"`
}

// life is what a message means for the cards of its group before it.
type life struct {
	// Final says that the incident is over.
	Final bool `json:"final,omitempty"`
	// Update are the cards to update instead of sending another.
	Update []string `json:"update,omitempty"`
	// Beyond says that the group is told more than its cards show: this is sent as well.
	Beyond bool `json:"beyond,omitempty"`
}

const lifeKey = `"relay_life"`

// addressees are who gets a message: members, parties and tags, each list joined by |, or a chat. ChatID stands first.
type addressees struct {
	ChatID  string `json:"chatid,omitempty"`
	ToUser  string `json:"touser,omitempty"`
	ToParty string `json:"toparty,omitempty"`
	ToTag   string `json:"totag,omitempty"`
}

// key tells destinations apart.
func (a addressees) key() string {
	var parts []string
	for _, list := range []struct{ name, ids string }{
		{"chat", a.ChatID}, {"user", a.ToUser}, {"party", a.ToParty}, {"tag", a.ToTag},
	} {
		if list.ids != "" {
			parts = append(parts, list.name+":"+list.ids)
		}
	}
	return strings.Join(parts, " ")
}

// agentID is the number of an application, which Alertmanager puts in quotes.
type agentID struct {
	text   string
	quoted bool
}

// MarshalJSON implements json.Marshaler.
func (a agentID) MarshalJSON() ([]byte, error) {
	if _, err := strconv.Atoi(a.text); err == nil && !a.quoted {
		return []byte(a.text), nil
	}
	return json.Marshal(a.text)
}

// UnmarshalJSON implements json.Unmarshaler.
func (a *agentID) UnmarshalJSON(b []byte) error {
	a.quoted = len(b) > 0 && b[0] == '"'
	a.text = strings.Trim(string(b), `"`)
	return nil
}

// appAnswer is what WeCom answers to a request of an application, beside errcode. Some may have been left out, although
// it is a success.
type appAnswer struct {
	InvalidUser    string `json:"invaliduser"`
	InvalidParty   string `json:"invalidparty"`
	InvalidTag     string `json:"invalidtag"`
	UnlicensedUser string `json:"unlicenseduser"`
	ResponseCode   string `json:"response_code"`
}

// receipt tells who did not get the message.
func (a appAnswer) receipt() relay.Receipt {
	r := relay.Receipt{Detail: "errcode 0"}
	for _, list := range []struct{ kind, ids, why string }{
		{"user", a.InvalidUser, "invaliduser"},
		{"party", a.InvalidParty, "invalidparty"},
		{"tag", a.InvalidTag, "invalidtag"},
		{"user", a.UnlicensedUser, "unlicenseduser"},
	} {
		for id := range strings.SplitSeq(list.ids, "|") {
			if id == "" {
				continue
			}
			if r.Refused == nil {
				r.Refused = map[string]string{}
			}
			r.Refused[list.kind+" "+id] = list.why
		}
	}
	return r
}
