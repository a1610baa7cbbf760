package enrich

import (
	"context"

	"github.com/alertrelay/relay"
)

// savedSource is what was saved when an alert was first accepted, so that resolved shows what firing showed.
type savedSource map[relay.AlertKey]relay.Saved

func (savedSource) Name() relay.Source { return relay.SourceSaved }

func (s savedSource) Find(_ context.Context, alerts relay.Alerts) []relay.Snapshot {
	if len(s) == 0 {
		return nil
	}
	known := make([]relay.Snapshot, len(alerts))
	for i := range alerts {
		was := s[alerts[i].Key()]
		known[i] = was.Snapshot
		if known[i].RoomID == "" {
			known[i].RoomID = was.Room // the room that ?room_id= named
		}
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
