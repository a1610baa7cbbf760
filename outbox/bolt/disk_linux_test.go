package bolt_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay/outbox"
)

// TestFullDisk fills a small disk to its last byte: nothing accepted is lost, and with room all goes on.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
		t.Skip("only root may mount: ", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	s := newStore(t)
	require.NoError(t, s.Close())
	s.path = filepath.Join(dir, "relay.db")
	s.options.SweepEvery = time.Millisecond
	s.start()
	s.accept(s.webhook(1, "g"))
	ballast, err := os.Create(filepath.Join(dir, "ballast"))
	require.NoError(t, err)
	for chunk := make([]byte, 1<<20); err == nil; {
		_, err = ballast.Write(chunk)
	}
	require.ErrorIs(t, err, syscall.ENOSPC)

	large := s.webhook(2, "h")
	large.Entries[0].Notification = make([]byte, 4<<20)
	for range 3 {
		_, err = s.Accept(t.Context(), large)
		require.Error(t, err)
	}
	require.Eventually(t, func() bool {
		_, err = s.Accept(t.Context(), large)
		return errors.Is(err, outbox.ErrFull)
	}, 20*time.Second, time.Millisecond)

	require.NoError(t, ballast.Truncate(0))
	require.NoError(t, ballast.Close())
	require.Eventually(t, func() bool {
		_, err = s.Accept(t.Context(), large)
		return err == nil
	}, 20*time.Second, time.Millisecond)
	s.restart()
	for range 2 {
		s.settle(s.claimOne(), outbox.Outcome{Result: outbox.Sent})
	}
}
