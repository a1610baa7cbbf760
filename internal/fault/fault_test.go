package fault_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/internal/fault"
)

func TestPaths(t *testing.T) {
	t.Parallel()
	faults := fault.New()
	faults.Addf("whole file")
	item := faults.In("receivers").Item(1)
	item.In("name").Addf("bad %s", "name")
	item.Warnf("odd")
	require.Equal(t, "receivers[1]", item.Path())
	require.Equal(t, []fault.Fault{
		{Message: "whole file"},
		{Path: "receivers[1].name", Message: "bad name"},
		{Path: "receivers[1]", Message: "odd", Warning: true},
	}, faults.All())
}

func TestAddFollowsTheChain(t *testing.T) {
	t.Parallel()
	faults := fault.New()
	list := faults.In("item")
	list.Add(nil)
	list.Add(fault.At("url", nil))
	list.Add(errors.Join(
		fault.At("title", errors.New("unclosed")),
		fault.At("urls[0]", errors.Join(errors.New("one"), fault.At("secret", errors.New("two")))),
		fmt.Errorf("wrapped: %w", errors.New("cause")),
	))
	require.Equal(t, []fault.Fault{
		{Path: "item.title", Message: "unclosed"},
		{Path: "item.urls[0]", Message: "one"},
		{Path: "item.urls[0].secret", Message: "two"},
		{Path: "item", Message: "wrapped: cause"},
	}, faults.All())
	require.EqualError(t, fault.At("url", errors.New("empty")), "url: empty")
}

func TestFailed(t *testing.T) {
	t.Parallel()
	faults := fault.New()
	require.False(t, faults.Failed())
	faults.In("a").Warnf("a warning does not count")
	require.False(t, faults.Failed())
	faults.In("a").Item(1).In("b").Addf("bad")
	for path, failed := range map[string]bool{"a": true, "a[1]": true, "a[1].b": true, "a[1].c": false, "a[0]": false, "aa": false} {
		require.Equal(t, failed, faults.In(path).Failed(), path)
	}
	faults = fault.New()
	faults.In("ab").Addf("bad")
	require.False(t, faults.In("a").Failed(), "another key that begins alike")
	require.True(t, faults.Failed())
}
