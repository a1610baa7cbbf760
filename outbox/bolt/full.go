package bolt

import (
	"fmt"

	"github.com/alertrelay/relay/outbox"
)

// How much of the disk is left to others: a twentieth, and of a large one no more than 1 GB. What is pending is settled
// also when there is less, as long as there is any.
const (
	freeShare = 20
	freeBytes = 1 << 30
)

// full says why so many more bytes and entries cannot be accepted; nil when they can.
func (s *Store) full(bytes, entries int) error {
	switch {
	case s.schedule.Pending()+entries > s.options.MaxPending:
		return fmt.Errorf("%w: %d entries are pending", outbox.ErrFull, s.schedule.Pending())
	case s.bytes+bytes >= s.options.MaxBytes:
		return fmt.Errorf("%w: %d bytes are pending", outbox.ErrFull, s.bytes)
	case s.diskLow:
		return fmt.Errorf("%w: the disk is nearly full", outbox.ErrFull)
	default:
		return nil
	}
}

// checkDisk looks whether the disk is nearly full. Pages of the file that are free count: what is written next goes there.
func (s *Store) checkDisk() {
	free, total, err := s.options.Disk(s.db.Path())
	if err != nil {
		return
	}
	free += uint64(s.db.Stats().FreePageN) * uint64(s.db.Info().PageSize)
	low := free < min(total/freeShare, freeBytes)
	s.mu.Lock()
	changed := low != s.diskLow
	s.diskLow = low
	s.mu.Unlock()
	log := s.options.Logger.With("component", "outbox", "file", s.db.Path(), "free_bytes", free)
	switch {
	case changed && low:
		log.Error("The disk is nearly full: webhooks are refused with 503 until there is room")
	case changed:
		log.Info("The disk has room again: webhooks are taken")
	}
}
