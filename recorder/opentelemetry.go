package recorder

import (
	"context"
	"fmt"
	"net/http"
)

// OpenTelemetry makes a Config.TraceID of OpenTelemetry's function, without this module having to import it:
//
//	TraceID: recorder.OpenTelemetry(trace.SpanContextFromContext),
//
// The recorder sees the spans of middleware that stands outside of its own.
func OpenTelemetry[S spanContext[ID], ID fmt.Stringer](of func(ctx context.Context) S) func(*http.Request) string {
	return func(r *http.Request) string {
		if span := of(r.Context()); span.HasTraceID() {
			return span.TraceID().String()
		}
		return ""
	}
}

// spanContext is what is needed of OpenTelemetry's trace.SpanContext.
type spanContext[ID fmt.Stringer] interface {
	HasTraceID() bool
	TraceID() ID
}
