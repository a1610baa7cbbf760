package enrich

import "github.com/alertrelay/relay"

// fromSaved is what was saved when an alert was first accepted, so that resolved shows what firing showed.
func fromSaved(was relay.Saved) relay.Snapshot {
	known := was.Snapshot
	if known.RoomID == "" {
		known.RoomID = was.Room // the room that ?room_id= named
	}
	return known
}

// toSave is what is kept with a firing that was not saved before. found must not have the request's own fields: saved,
// they would lose the mark that they are not a customer's. Of the sources only that of a room from the alert itself is
// kept, for roomOfSaved.
func toSave(found relay.Snapshot, room string) relay.Saved {
	s := relay.Saved{Snapshot: found, Room: room}
	s.Snapshot.Sources = nil
	if found.Sources[RoomID] == relay.SourceAlert {
		s.Snapshot.Sources = map[string]relay.Source{RoomID: relay.SourceAlert}
	}
	return s
}
