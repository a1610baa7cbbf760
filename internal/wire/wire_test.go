package wire_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/wire"
)

// TestEveryField: each field that encoding/json writes is written and read, also one that is added tomorrow.
func TestEveryField(t *testing.T) {
	t.Parallel()
	n := &relay.Notification{}
	fill(reflect.ValueOf(n).Elem(), "n")
	n.Data.Alerts = nil // shadowed
	for i := range n.Alerts {
		n.Alerts[i].Change, n.Alerts[i].Duration = "", 0 // not stored
	}
	same(t, n)
}

// TestLeastFields: what is empty is left out, or null, as encoding/json has it.
func TestLeastFields(t *testing.T) {
	t.Parallel()
	same(t, &relay.Notification{Alerts: relay.Alerts{{}, {Snapshot: relay.Snapshot{Extra: map[string]string{"a": ""}}}}})
	same(t, &relay.Notification{
		Data:   template.Data{GroupLabels: template.KV{}},
		Alerts: relay.Alerts{{Snapshot: relay.Snapshot{TraceID: "t", Extra: map[string]string{}, Time: time.Unix(1, 0).UTC()}}},
	})
}

// TestAnyText: whatever text a label holds comes back.
func TestAnyText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String()
		n := &relay.Notification{GroupKey: text.Draw(t, "group key"), Alerts: relay.Alerts{}}
		for range rapid.IntRange(0, 3).Draw(t, "alerts") {
			a := relay.Alert{Room: text.Draw(t, "room")}
			a.Labels = rapid.MapOf(text, text).Draw(t, "labels")
			a.StartsAt = time.Unix(rapid.Int64Range(-1<<35, 1<<36).Draw(t, "second"), rapid.Int64Range(0, 999_999_999).Draw(t, "nano")).
				In(time.FixedZone("", rapid.IntRange(-14, 14).Draw(t, "zone")*3600))
			n.Alerts = append(n.Alerts, a)
		}
		same(t, n)
	})
}

// TestNotUTF8: a text that is not UTF-8 is made so, as encoding/json does.
func TestNotUTF8(t *testing.T) {
	t.Parallel()
	n := &relay.Notification{GroupKey: "a\xff\xc0b\x00\u2028\"\\", Alerts: relay.Alerts{}}
	want, err := json.Marshal(n)
	require.NoError(t, err)
	require.JSONEq(t, string(want), string(wire.Append(nil, n)))
}

// same requires that Append and Read do with n what encoding/json does.
func same(t require.TestingT, n *relay.Notification) {
	written := wire.Append([]byte("before"), n)
	require.True(t, strings.HasPrefix(string(written), "before"))
	written = written[len("before"):]
	want, err := json.Marshal(n)
	require.NoError(t, err)
	require.JSONEq(t, string(want), string(written))

	got, err := new(wire.Reader).Read(written)
	require.NoError(t, err)
	standard := &relay.Notification{}
	require.NoError(t, json.Unmarshal(want, standard))
	rewritten, err := json.Marshal(got)
	require.NoError(t, err)
	require.JSONEq(t, string(want), string(rewritten))
	require.Len(t, got.Alerts, len(standard.Alerts))
	for i := range standard.Alerts {
		require.Equal(t, standard.Alerts[i].Snapshot, got.Alerts[i].Snapshot)
	}
}

// fill sets every exported field below v to something.
func fill(v reflect.Value, name string) {
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2026, 11, 20, 8, 0, 0, len(name), time.UTC)))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.IsExported() {
				fill(v.Field(i), name+"."+field.Name)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), name+strconv.Itoa(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		value := reflect.New(v.Type().Elem()).Elem()
		fill(value, name)
		v.SetMapIndex(reflect.ValueOf("key of "+name).Convert(v.Type().Key()), value)
	case reflect.String:
		v.SetString(name)
	case reflect.Uint64:
		v.SetUint(7)
	case reflect.Int64:
		v.SetInt(7)
	default:
		panic("fill does not know " + v.Type().String())
	}
}

func payload(b *testing.B) *relay.Notification {
	b.Helper()
	body, err := os.ReadFile(filepath.Join("..", "..", "webhook", "testdata", "payloads", "0.34.2", "group-50-firing.json"))
	require.NoError(b, err)
	n, err := new(wire.Reader).ReadBody(body)
	require.NoError(b, err)
	for i := range n.Alerts {
		n.Alerts[i].Snapshot = relay.Snapshot{
			TraceID: "0af7651916cd43dd8448eb211c80319c", Sources: map[string]relay.Source{"trace_id": relay.SourceAlert},
		}
	}
	return n
}

func BenchmarkAppend(b *testing.B) {
	n := payload(b)
	b.Run("wire", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			wire.Append(nil, n)
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err := json.Marshal(n)
			require.NoError(b, err)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	written := wire.Append(nil, payload(b))
	b.Run("wire", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err := new(wire.Reader).Read(written)
			require.NoError(b, err)
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			require.NoError(b, json.Unmarshal(written, &relay.Notification{}))
		}
	})
}
