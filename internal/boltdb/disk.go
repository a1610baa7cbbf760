//go:build linux || darwin || freebsd

package boltdb

import (
	"fmt"
	"syscall"
)

// Disk tells how many bytes of the file system that holds path are free for this process, and how many it has.
func Disk(path string) (free, total uint64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return 0, 0, fmt.Errorf("look at the disk of %s: %w", path, err)
	}
	size := uint64(s.Bsize)
	return uint64(max(0, s.Bavail)) * size, s.Blocks * size, nil //nolint:unconvert // signed on some systems
}
