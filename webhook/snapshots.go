package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/alertrelay/relay"
)

// maxRecords bounds the snapshots of one request.
const maxRecords = 1000

// Snapshots keep what applications record about their requests. They may be called concurrently.
type Snapshots interface {
	// Record keeps records, each a JSON object, and says of each what is wrong with it, for people; nil for one that is
	// kept. A second error means that none is, which a retry may mend.
	Record(ctx context.Context, records []json.RawMessage) ([]error, error)
	// Find returns what lies under labels, in the order in which an alert with them is looked up.
	Find(ctx context.Context, labels map[string]string) ([]FoundSnapshot, error)
}

// A FoundSnapshot is what was recorded under a key.
type FoundSnapshot struct {
	Key      string         `json:"key"`
	Snapshot relay.Snapshot `json:"snapshot"`
}

func (in *wayIn) recordSnapshots(c *gin.Context) { in.answer(c, in.record) }

// A refusedRecord was not kept.
type refusedRecord struct {
	Index int    `json:"index"`
	Error string `json:"error"`
}

func (in *wayIn) record(ctx context.Context, c *gin.Context) (any, []string, error) {
	records, err := in.readRecords(c)
	if err != nil {
		return nil, nil, err
	}
	verdicts, err := in.Snapshots.Record(ctx, records)
	if err != nil {
		return nil, nil, err
	}
	refused := []refusedRecord{}
	for i, verdict := range verdicts {
		if verdict != nil {
			refused = append(refused, refusedRecord{i, verdict.Error()})
		}
	}
	if len(refused) == len(records) {
		return nil, nil, wrong("snapshot 0: %s", refused[0].Error)
	}
	return struct {
		Recorded int             `json:"recorded"`
		Refused  []refusedRecord `json:"refused"`
	}{len(records) - len(refused), refused}, nil, nil
}

// readRecords reads the body: one object, or a list of them. It is bounded as a webhook's is.
func (in *wayIn) readRecords(c *gin.Context) ([]json.RawMessage, error) {
	if c.Request.ContentLength > maxAPIBody {
		return nil, apiBodyTooLong()
	}
	deadline := time.Now().Add(in.ReadTimeout)
	connection := http.NewResponseController(c.Writer)
	_ = connection.SetReadDeadline(deadline)
	release, err := admit(c.Request, in.bigRecords, maxAPIBody, deadline)
	if err != nil {
		return nil, err
	}
	defer release()
	var body json.RawMessage
	if err := readJSON(c, &body, "a snapshot, or a list of them"); err != nil {
		return nil, err
	}
	_ = connection.SetReadDeadline(time.Time{})
	records := []json.RawMessage{body}
	if bytes.HasPrefix(body, []byte("[")) {
		if err := json.Unmarshal(body, &records); err != nil {
			return nil, err // it was read as JSON before
		}
	}
	switch {
	case len(records) == 0:
		return nil, wrong("the list is empty")
	case len(records) > maxRecords:
		return nil, wrong("%d snapshots are more than %d", len(records), maxRecords)
	}
	return records, nil
}

func (in *wayIn) snapshots(c *gin.Context) { in.answer(c, in.findSnapshots) }

func (in *wayIn) findSnapshots(ctx context.Context, c *gin.Context) (any, []string, error) {
	p := readParameters(c.Request.URL)
	labels := p.pairs("label")
	if err := p.end(); err != nil {
		return nil, nil, err
	}
	found, err := in.Snapshots.Find(ctx, labels)
	return struct {
		Snapshots []FoundSnapshot `json:"snapshots"`
	}{orEmpty(found)}, nil, err
}
