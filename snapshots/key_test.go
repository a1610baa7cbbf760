package snapshots_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/alertrelay/relay/snapshots"
)

// TestKeys holds the layout: the examples are those that every writer has to agree with.
func TestKeys(t *testing.T) {
	t.Parallel()
	file, err := os.ReadFile("testdata/keys.json")
	require.NoError(t, err)
	var examples []struct {
		Labels map[string]string `json:"labels"`
		Set    []string          `json:"set"`
		Key    snapshots.Key     `json:"key"` // empty: none
	}
	require.NoError(t, json.Unmarshal(file, &examples))
	for _, example := range examples {
		key, ok := snapshots.NewSet(example.Set...).Key(example.Labels)
		require.Equal(t, example.Key != "", ok, "%v", example)
		if ok {
			require.Equal(t, example.Key, key)
		}
	}
}

func TestAKeyIsBounded(t *testing.T) {
	t.Parallel()
	set := snapshots.NewSet("a")
	key, ok := set.Key(map[string]string{"a": strings.Repeat("x", snapshots.MaxKey-2)})
	require.True(t, ok)
	require.Len(t, key, snapshots.MaxKey)
	_, ok = set.Key(map[string]string{"a": strings.Repeat("x", snapshots.MaxKey-1)})
	require.False(t, ok)
	_, ok = set.Key(map[string]string{"a": strings.Repeat(",", snapshots.MaxKey-2)})
	require.False(t, ok, "counted as it is written")
	_, ok = snapshots.NewSet().Key(map[string]string{"a": "x"})
	require.False(t, ok, "no labels, no key")
}

// TestNoTwoSetsOfPairsHaveOneKey, whatever is in them.
func TestNoTwoSetsOfPairsHaveOneKey(t *testing.T) {
	t.Parallel()
	pairs := rapid.MapOfN(rapid.StringOfN(rapid.SampledFrom([]rune(`ab,=\`)), 1, 4, -1),
		rapid.StringOfN(rapid.SampledFrom([]rune(`ab,=\`)), 1, 6, -1), 1, 3)
	keyOf := func(labels map[string]string) snapshots.Key {
		var names []string
		for name := range labels {
			names = append(names, name)
		}
		key, ok := snapshots.NewSet(names...).Key(labels)
		require.True(t, ok)
		return key
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := pairs.Draw(t, "a"), pairs.Draw(t, "b")
		if keyOf(a) == keyOf(b) {
			require.Equal(t, a, b)
		}
	})
}
