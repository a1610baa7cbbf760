//go:build !(linux || darwin || freebsd)

package boltdb

import "errors"

// Disk is not known on this system.
func Disk(string) (free, total uint64, err error) { return 0, 0, errors.ErrUnsupported }
