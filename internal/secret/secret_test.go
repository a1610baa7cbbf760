package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/secret"
)

const hidden = "hunter2"

func TestNothingPrintsASecret(t *testing.T) {
	t.Parallel()
	s := secret.New(hidden)
	v := secret.Of(s, "")
	holder := struct {
		S secret.String
		V secret.Value
		P *secret.String
	}{s, v, &s}

	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb, s, v, holder)
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("Holds", "s", s, "v", v, "holder", holder)
	}
	for _, marshal := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal} {
		b, err := marshal(holder)
		require.NoError(t, err)
		out.Write(b)
	}
	require.NotContains(t, out.String(), hidden)
	require.NotContains(t, out.String(), fmt.Sprintf("%x", hidden))
	require.Contains(t, out.String(), "<secret>")
	require.Equal(t, hidden, s.Reveal())
	require.Empty(t, secret.New("").String(), "no value is no secret")
}

func TestAFileIsReadAtEachUse(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	v := secret.Of(secret.String{}, secret.File(file))
	_, err := v.Reveal()
	require.ErrorContains(t, err, file)
	for _, content := range []string{"one\n", "  two\r\n"} {
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
		got, err := v.Reveal()
		require.NoError(t, err)
		require.Equal(t, string(bytes.TrimSpace([]byte(content))), got)
	}
	require.NoError(t, os.WriteFile(file, []byte(" \n"), 0o600))
	_, err = v.Reveal()
	require.ErrorContains(t, err, "is empty")
}

func TestYAMLTakesTheWholeValueFromTheEnvironment(t *testing.T) {
	t.Setenv("RELAY_TEST_SECRET", hidden)
	var got struct{ A, B, C secret.String }
	require.NoError(t, yaml.Unmarshal([]byte("a: ${RELAY_TEST_SECRET}\nb: x${RELAY_TEST_SECRET}\nc: plain\n"), &got))
	require.Equal(t, hidden, got.A.Reveal())
	require.Equal(t, "x${RELAY_TEST_SECRET}", got.B.Reveal(), "within a longer value it is text")
	require.Equal(t, "plain", got.C.Reveal())

	err := yaml.Unmarshal([]byte("a: ${RELAY_TEST_UNSET}\n"), &got)
	require.ErrorContains(t, err, "RELAY_TEST_UNSET is not set")
}
