package enrich

import "github.com/alertrelay/relay"

// requestContext is what the webhook request itself says: its trace, its client, its ?room_id=. These are Alertmanager's
// own, "Alertmanager/0.34.2" and the trace of its notification, and tell nothing about the request that suffered.
// They are kept all the same, marked as relay.SourceRequest: they help to find out how a notification came here, and a
// sender other than Alertmanager may be the client itself. Who shows a snapshot must not show a field with that mark as
// a customer's.
func requestContext(request relay.Snapshot, room string) relay.Snapshot {
	request.RoomID = room
	return request
}
