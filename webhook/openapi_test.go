package webhook_test

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/webhook"
)

// object is a part of docs/reference/openapi.yaml, or of an answer.
type object = map[string]any

func readOpenAPI(t *testing.T) object {
	t.Helper()
	text, err := os.ReadFile("../docs/reference/openapi.yaml")
	require.NoError(t, err)
	var doc object
	require.NoError(t, yaml.Unmarshal(text, &doc))
	return doc
}

// TestOpenAPIIsQuoted: a comma in a description without quotes would make a key of what follows it.
func TestOpenAPIIsQuoted(t *testing.T) {
	t.Parallel()
	var walk func(part any)
	walk = func(part any) {
		switch part := part.(type) {
		case object:
			for key, value := range part {
				require.NotContains(t, key, " ")
				walk(value)
			}
		case []any:
			for _, item := range part {
				walk(item)
			}
		}
	}
	walk(readOpenAPI(t))
}

// operations are the documented ones, by method and path.
func operations(doc object) map[string]object {
	all := map[string]object{}
	for path, item := range doc["paths"].(object) {
		for method, operation := range item.(object) {
			all[strings.ToUpper(method)+" "+path] = operation.(object)
		}
	}
	return all
}

// whole is a handler with every path, whose answers have all their fields.
func whole(t *testing.T) http.Handler {
	t.Helper()
	return newHandler(t, webhook.Options{
		Operations: full{}, Snapshots: full{}, Gatherer: prometheus.NewRegistry(), Reload: func(context.Context) error { return nil },
	})
}

// full are Operations and Snapshots that answer something in every field.
type full struct{}

func (full) Notifications(context.Context, webhook.NotificationQuery) ([]webhook.Notification, string, error) {
	return filled[[]webhook.Notification](), "next", nil
}

func (full) Notification(context.Context, string) (webhook.NotificationDetail, error) {
	n := filled[webhook.NotificationDetail]()
	n.Stored = []json.RawMessage{[]byte(wholeWebhook)}
	return n, nil
}

const wholeWebhook = `{"version":"4","groupKey":"g","receiver":"r","status":"firing","truncatedAlerts":1,
	"groupLabels":{"a":"b"},"commonLabels":{"a":"b"},"commonAnnotations":{"a":"b"},"externalURL":"http://am",
	"alerts":[{"status":"firing","labels":{"a":"b"},"annotations":{"a":"b"},"startsAt":"2026-11-20T08:00:00Z",
	"endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://p","fingerprint":"f"}]}`

func (full) Deliveries(context.Context, webhook.DeliveryQuery) ([]webhook.Delivery, string, error) {
	return filled[[]webhook.Delivery](), "next", nil
}

func (full) DeadLetters(context.Context, webhook.DeadLetterQuery) ([]webhook.DeadLetter, string, error) {
	return filled[[]webhook.DeadLetter](), "next", nil
}

func (full) Requeue(context.Context, []string, bool) ([]webhook.Decision, error) {
	return []webhook.Decision{{ID: "a"}, {ID: "b", Reason: "newer_sent", Text: "newer news"}}, nil
}

func (f full) Drop(ctx context.Context, ids []string) ([]webhook.Decision, error) {
	return f.Requeue(ctx, ids, false)
}

func (full) Record(_ context.Context, all []json.RawMessage) ([]error, error) {
	return append(make([]error, len(all)-1), webhook.ErrNotFound), nil
}

func (full) Find(context.Context, map[string]string) ([]webhook.FoundSnapshot, error) {
	return []webhook.FoundSnapshot{{Key: "service=pay", Snapshot: relay.Snapshot{
		TraceID: "t", RoomID: "7", UserAgent: "App/1", Extra: map[string]string{"tenant": "shop"}, Time: time.Unix(1, 0),
	}}}, nil
}

// filled is a T with something in every field.
func filled[T any]() T {
	var v T
	fill(reflect.ValueOf(&v).Elem())
	return v
}

func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Int:
		v.SetInt(1)
	case reflect.Float64:
		v.SetFloat(1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1, 0)))
			return
		}
		for _, field := range v.Fields() {
			fill(field)
		}
	default: // what is stored of a notification, which is filled in by hand
	}
}

func TestOpenAPIHasEveryPath(t *testing.T) {
	t.Parallel()
	parameter := regexp.MustCompile(`[:*](\w+)`)
	var routes []string
	for _, route := range whole(t).(*gin.Engine).Routes() {
		routes = append(routes, route.Method+" "+parameter.ReplaceAllString(route.Path, "{$1}"))
	}
	slices.Sort(routes)
	require.Equal(t, routes, slices.Sorted(maps.Keys(operations(readOpenAPI(t)))))
}

// TestOpenAPIHasEveryParameter asks each list what it takes.
func TestOpenAPIHasEveryParameter(t *testing.T) {
	t.Parallel()
	takes := regexp.MustCompile(`this path takes ([^"]*)`)
	for name, operation := range operations(readOpenAPI(t)) {
		target, ok := strings.CutPrefix(name, "GET /api/v1")
		if !ok {
			continue
		}
		w := send(whole(t), http.MethodGet, "/api/v1"+strings.ReplaceAll(target, "{id}", "a")+"?label=a=b&nonsense=1", "")
		said := takes.FindStringSubmatch(w.Body.String())
		if said == nil {
			// A path that takes no label refuses it first.
			w = send(whole(t), http.MethodGet, "/api/v1"+strings.ReplaceAll(target, "{id}", "a")+"?nonsense=1", "")
			said = takes.FindStringSubmatch(w.Body.String())
		}
		require.NotNil(t, said, "%s: %s", name, w.Body)
		want := []string{}
		parameters, _ := operation["parameters"].([]any)
		for _, p := range parameters {
			if p.(object)["in"] == "query" {
				want = append(want, p.(object)["name"].(string))
			}
		}
		slices.Sort(want)
		if len(want) == 0 {
			want = []string{"none"}
		}
		require.Equal(t, strings.Join(want, ", "), said[1], name)
	}
}

// TestOpenAPIHasEveryField compares answers that have all their fields with what is documented of them.
func TestOpenAPIHasEveryField(t *testing.T) {
	t.Parallel()
	doc := readOpenAPI(t)
	for name, body := range map[string]string{
		"POST /webhook":                     least,
		"POST /webhook/{receiver}":          least,
		"GET /api/v1/notifications":         "",
		"GET /api/v1/notifications/{id}":    "",
		"GET /api/v1/deliveries":            "",
		"GET /api/v1/dead-letters":          "",
		"POST /api/v1/dead-letters/requeue": `{"ids":["a","b"],"force":true}`,
		"POST /api/v1/dead-letters/drop":    `{"ids":["a","b"]}`,
		"PUT /api/v1/snapshots":             `[{"trace_id":"t"},{}]`,
		"GET /api/v1/snapshots":             "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			method, path, _ := strings.Cut(name, " ")
			path = strings.NewReplacer("{id}", "a", "{receiver}", "ops").Replace(path)
			if name == "GET /api/v1/snapshots" {
				path += "?label=service=pay"
			}
			w := send(whole(t), method, path, body, "Content-Type: application/json")
			require.Equal(t, http.StatusOK, w.Code, w.Body)
			reader{t, doc}.compare(name, schemaOf(doc, name, "200"), decoded(t, w.Body.Bytes()))
		})
	}
	for name, target := range map[string]string{"POST /webhook": "/webhook/", "GET /api/v1/deliveries": "/api/v1/deliveries?x=1"} {
		method, _, _ := strings.Cut(name, " ")
		w := send(whole(t), method, target, "")
		require.NotEqual(t, http.StatusOK, w.Code)
		reader{t, doc}.compare(name, schemaOf(doc, name, "default"), decoded(t, w.Body.Bytes()))
	}
}

func schemaOf(doc object, operation, code string) object {
	response := operations(doc)[operation]["responses"].(object)[code].(object)
	return response["content"].(object)["application/json"].(object)["schema"].(object)
}

func decoded(t *testing.T, body []byte) (answer any) {
	t.Helper()
	require.NoError(t, json.Unmarshal(body, &answer))
	return answer
}

// A reader compares answers with the schemas of a document.
type reader struct {
	t   *testing.T
	doc object
}

// compare fails when an answer has a field that is not documented, or lacks one that always has to be there.
func (r reader) compare(path string, schema object, answer any) {
	r.t.Helper()
	schema = r.resolve(schema)
	switch answer := answer.(type) {
	case object:
		properties, _ := schema["properties"].(object)
		for name, value := range answer {
			property, ok := properties[name].(object)
			if !ok {
				property, ok = schema["additionalProperties"].(object)
			}
			require.True(r.t, ok, "%s.%s is not documented", path, name)
			r.compare(path+"."+name, property, value)
		}
		required, _ := schema["required"].([]any)
		for _, name := range required {
			require.Contains(r.t, answer, name, path)
		}
	case []any:
		require.Equal(r.t, "array", schema["type"], path)
		for _, item := range answer {
			r.compare(path+"[]", schema["items"].(object), item)
		}
	case string:
		require.True(r.t, schema["type"] == "string" || schema["const"] == answer, path)
	case float64:
		require.Contains(r.t, []any{"integer", "number"}, schema["type"], path)
	default:
		r.t.Errorf("%s is %v", path, answer)
	}
}

// resolve returns a schema with what it refers to.
func (r reader) resolve(schema object) object {
	if ref, ok := schema["$ref"].(string); ok {
		name, _ := strings.CutPrefix(ref, "#/components/schemas/")
		found, ok := r.doc["components"].(object)["schemas"].(object)[name].(object)
		require.True(r.t, ok, "there is no schema %s", ref)
		return r.resolve(found)
	}
	parts, _ := schema["allOf"].([]any)
	for _, part := range parts {
		part := r.resolve(part.(object))
		properties := maps.Clone(part["properties"].(object))
		own, _ := schema["properties"].(object)
		maps.Copy(properties, own)
		required, _ := part["required"].([]any)
		also, _ := schema["required"].([]any)
		schema = object{"type": "object", "properties": properties, "required": append(slices.Clone(required), also...)}
	}
	return schema
}
