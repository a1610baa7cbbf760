package enrich

import "github.com/alertrelay/relay"

// The routing room decides where an alert is sent, so it comes only from what is at hand with the webhook: labels,
// annotations, ?room_id=, or what was pinned by them. What look-ups found is evidence, shown but not routed on unless
// route_by_evidence says so: a late or missing look-up would send one alert to two rooms.

// roomOfAlert is the routing room of a firing not seen before. found is what sources say about it.
func (e *Enricher) roomOfAlert(found relay.Snapshot, requestRoom string) string {
	switch {
	case found.Sources[RoomID] == relay.SourceAlert:
		return found.RoomID
	case requestRoom == "" && e.routeByEvidence:
		return found.RoomID
	default:
		return requestRoom
	}
}

// roomOfSaved is the routing room of a firing seen before: the pinned one, also when empty. Only a ?room_id= replaces a
// pin that does not come from the alert itself: it belongs to the URL, is there for firing and resolved alike, and two
// URLs with two rooms must not end in the room of the first.
func roomOfSaved(pinned relay.Saved, requestRoom string) string {
	if requestRoom != "" && pinned.Snapshot.Sources[RoomID] != relay.SourceAlert {
		return requestRoom
	}
	return pinned.Room
}
