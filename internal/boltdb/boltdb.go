// Package boltdb opens the one bbolt file of the embedded mode: what the outbox keeps and what applications recorded are
// buckets of the same file. Whoever has it open has it alone, and reads it only if its schema is one it knows.
package boltdb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Schema is the version of the layout of the file. A change that an older relay would misread counts it up.
const Schema = 1

const (
	lockTimeout = time.Second
	// pageSize is that of a new file. A webhook of 2 KB takes a whole page of the usual 4 KB, and a write of its own; seven
	// share one of these.
	pageSize = 16 << 10
	// compactAbove is the size below which free pages are not worth a copy of the file.
	compactAbove = 16 << 20
	compactTx    = 4 << 20
)

// Open opens or creates the file at path, readable for its owner only. It fails after a second when another process has
// it open, and refuses a file of a newer schema. A file that is more than half free is compacted first.
func Open(path string) (*bbolt.DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	db, err := open(path)
	if err != nil {
		return nil, err
	}
	if err := checkSchema(db); err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", path, err), db.Close())
	}
	if !mostlyFree(db) {
		return db, nil
	}
	return compact(db)
}

func open(path string) (*bbolt.DB, error) {
	var file *os.File
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: lockTimeout,
		// The free pages are found by a scan at start, so that a commit after a large backlog stays cheap.
		NoFreelistSync: true,
		FreelistType:   bbolt.FreelistMapType,
		PageSize:       pageSize,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			var err error
			file, err = os.OpenFile(name, flag, mode)
			return file, err
		},
	})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("%s is in use by another process: %w", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	// While this process waited for the lock, another may have put a compacted file in the place of this one.
	if replaced(file, path) {
		return nil, errors.Join(fmt.Errorf("%s is in use by another process: it was replaced while opening", path), db.Close())
	}
	return db, nil
}

func replaced(file *os.File, path string) bool {
	opened, err := file.Stat()
	if err != nil {
		return true
	}
	named, err := os.Stat(path)
	return err != nil || !os.SameFile(opened, named)
}

// checkSchema marks a new file with the schema and refuses a newer one.
func checkSchema(db *bbolt.DB) error {
	bucket, key := []byte("meta"), []byte("schema")
	return db.Update(func(tx *bbolt.Tx) error {
		meta, err := tx.CreateBucketIfNotExists(bucket)
		if err != nil {
			return err
		}
		value := meta.Get(key)
		if value == nil {
			return meta.Put(key, binary.BigEndian.AppendUint64(nil, Schema))
		}
		if len(value) != 8 {
			return errors.New("the file was not written by relay")
		}
		if version := binary.BigEndian.Uint64(value); version > Schema {
			return fmt.Errorf("the file has schema %d, this relay knows up to %d: run the newer relay, or another "+
				"--storage.path", version, Schema)
		}
		return nil
	})
}

func mostlyFree(db *bbolt.DB) bool {
	var size int64
	_ = db.View(func(tx *bbolt.Tx) error {
		size = tx.Size()
		return nil
	})
	free := int64(db.Stats().FreePageN) * int64(db.Info().PageSize)
	return size > compactAbove && free > size/2
}

// compact copies what is live into a new file and puts it in the place of the old one. A crash leaves the old file; the
// copy beside it is overwritten the next time.
func compact(db *bbolt.DB) (*bbolt.DB, error) {
	path := db.Path()
	temporary := path + ".compact"
	if err := os.RemoveAll(temporary); err != nil {
		return nil, errors.Join(fmt.Errorf("compact store: %w", err), db.Close())
	}
	to, err := open(temporary)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("compact store: %w", err), db.Close())
	}
	err = bbolt.Compact(to, db, compactTx)
	if err == nil {
		err = to.Sync()
	}
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("compact store: %w", err), to.Close(), db.Close())
	}
	// to knows itself by the temporary name: open it anew under its own.
	if err := errors.Join(to.Close(), db.Close()); err != nil {
		return nil, fmt.Errorf("compact store: %w", err)
	}
	return open(path)
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
