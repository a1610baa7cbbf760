package deliver

import (
	"fmt"
	"slices"
	"sync"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/wire"
	"github.com/alertrelay/relay/outbox"
)

// A reading reads what the store handed out. What it handed out once for several destinations, as the same bytes, is read
// once. It is safe for concurrent use.
type reading struct {
	readers *sync.Pool // of *wire.Reader
	shared  map[*byte]*sharedBody
}

// A sharedBody is what several batches of one claim are to tell.
type sharedBody struct {
	once sync.Once
	n    *relay.Notification
	err  error
}

// newReading returns what reads the batches of one claim.
func (d *Deliverer) newReading(batches []outbox.Batch) reading {
	r := reading{readers: &d.readers}
	if len(batches) < 2 {
		return r
	}
	seen := make(map[*byte]bool, len(batches))
	for i := range batches {
		for _, lane := range batches[i].Lanes {
			for _, item := range lane.Items {
				if len(item.Notification) == 0 {
					continue
				}
				at := &item.Notification[0]
				if seen[at] && r.shared == nil {
					r.shared = map[*byte]*sharedBody{}
				}
				if seen[at] && r.shared[at] == nil {
					r.shared[at] = new(sharedBody)
				}
				seen[at] = true
			}
		}
	}
	return r
}

// merged reads the entries of a lane, oldest first, as one notification, which the caller may change.
func (r reading) merged(items []outbox.Item) (*relay.Notification, error) {
	read := make([]*relay.Notification, len(items))
	for i, item := range items {
		var err error
		if read[i], err = r.one(item.Notification); err != nil {
			return nil, fmt.Errorf("decode entry %s: %w", item.ID, err)
		}
	}
	return merge(read), nil
}

func (r reading) one(body []byte) (*relay.Notification, error) {
	if len(body) == 0 || r.shared[&body[0]] == nil {
		return r.read(body)
	}
	shared := r.shared[&body[0]]
	shared.once.Do(func() { shared.n, shared.err = r.read(body) })
	if shared.err != nil {
		return nil, shared.err
	}
	n := *shared.n
	n.Alerts = slices.Clone(n.Alerts)
	return &n, nil
}

func (r reading) read(body []byte) (*relay.Notification, error) {
	reader := r.readers.Get().(*wire.Reader)
	defer r.readers.Put(reader)
	return reader.Read(body)
}
