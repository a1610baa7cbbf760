package relay

// A Message is one vendor call, rendered: what Render makes and Send takes. It is stored between the two when a delivery
// has several parts, so it holds all that Send needs and no secret.
type Message struct {
	// ID is stable over retries of the same part: DingTalk's msgUuid, the mail's Message-ID.
	ID string `json:"id"`
	// Part counts from 1 to Parts.
	Part  int `json:"part"`
	Parts int `json:"parts"`
	// Address is the destination's, for integrations that send to several.
	Address string `json:"address,omitempty"`
	// Body is what the integration sends, in a form of its own.
	Body []byte `json:"body"`
	// Text is what a reader sees, without markup where that is easy, for history and previews.
	Text string `json:"text,omitempty"`
	// Omitted counts the alerts that this message only counts, without a line of their own.
	Omitted int `json:"omitted,omitempty"`
	// Fallback says that the built-in plain text stands in for the configured template, and why.
	Fallback string `json:"fallback,omitempty"`
	// Again says that some recipients have got it already: this is for those who refused it for now.
	Again bool `json:"again,omitempty"`
	// OwnRate says that the vendor counts this call apart from the others to its destination. The integration is a Pacer and
	// is asked when it may go.
	OwnRate bool `json:"own_rate,omitempty"`
	// Limiter is the credential to send with. Deliver sets it to the one whose slot was claimed.
	Limiter LimiterID `json:"-"`
	// Previous is the handle the last delivery of this lane left behind. Deliver sets it.
	Previous Ref `json:"-"`
}

// A Ref is a handle on a message at the vendor (Slack's ts, a mail's thread id). It goes from one delivery of a lane to
// the next. Only the integration that made it reads it.
type Ref string

// A Receipt is what a vendor answered to a message it took.
type Receipt struct {
	// Ref is the handle on the message, when the vendor gives one.
	Ref Ref
	// Refused names recipients that did not get the message although others did, each with the vendor's reason.
	Refused map[string]string
	// Again is the message for those of the Refused who may take it later; nil when there are none. It is sent until
	// they take it, refuse it for good, or it is too old. Without any Refused, nobody got it and it takes this form next.
	Again *Message
	// NoSlot says that the call was one with OwnRate after all: the destination's limiter does not count it.
	NoSlot bool
	// Detail is the vendor's answer in a few words, for the history. No secret in it.
	Detail string
}
