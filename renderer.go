package relay

// A Renderer compiles templates. One is made per configuration; it is safe for concurrent use.
type Renderer interface {
	// Text compiles a text template for a locale (zh-CN or en; empty: the global one). Templates of the set may be
	// called by name. The error names line and column.
	Text(locale, src string) (Template, error)
	// HTML is Text with HTML escaping.
	HTML(locale, src string) (Template, error)
	// Plain is the built-in text that stands in when a template fails or a vendor refuses its result. No template of a
	// user takes part in it. It cannot fail.
	Plain(locale string, v View) string
	// Compact tells alerts of v's notification in plain text of at most limit bytes: a line for each, and for those that no
	// longer fit their number by alert name and severity. counted is how many alerts have no line of their own. When v
	// shows no alert in full, what there is to know of the notification as a whole stands below, as far as there is room:
	// that Alertmanager left alerts out, that it stands for earlier ones, is late, or could not be told elsewhere. No
	// template of a user takes part in it. It cannot fail.
	Compact(locale string, v View, alerts Alerts, limit int) (text string, counted int)
}

// A Template is compiled once and executed for each message, concurrently.
type Template interface {
	// Execute is bounded in time and in the size of its result.
	Execute(v View) (string, error)
}

// A View is what one message shows of a delivery: the dot of a template is made from it.
type View struct {
	Delivery *Delivery
	// Telling is the notification shown; an index into Delivery.Tellings.
	Telling int
	// Alerts are the alerts that this part shows; nil means all of the notification.
	Alerts Alerts
	// Part counts from 1 to Parts; both zero when the delivery fits into one message.
	Part, Parts int
	// Omitted are alerts that are only counted in this part.
	Omitted Alerts
	// Mentions are the people to mention, in the form the channel writes them in its text.
	Mentions []string
}

// Notification is the notification shown.
func (v View) Notification() *Notification { return v.Delivery.Tellings[v.Telling].Notification }
