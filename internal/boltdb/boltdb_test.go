package boltdb_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/alertrelay/relay/internal/boltdb"
)

func TestOpenKeepsOthersOut(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data", "relay.db")
	db, err := boltdb.Open(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()

	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	_, err = boltdb.Open(path)
	require.ErrorContains(t, err, path+" is in use by another process")
}

func TestOpenRefusesANewerSchema(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "relay.db")
	db, err := boltdb.Open(path)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("meta")).Put([]byte("schema"), binary.BigEndian.AppendUint64(nil, boltdb.Schema+1))
	}))
	require.NoError(t, db.Close())

	_, err = boltdb.Open(path)
	require.EqualError(t, err, "open store "+path+": the file has schema 2, this relay knows up to 1: "+
		"run the newer relay, or another --storage.path")
}

func TestOpenRefusesAnotherFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "relay.db")
	require.NoError(t, os.WriteFile(path, []byte("not a database, but long enough to be looked at as one"), 0o600))
	_, err := boltdb.Open(path)
	require.ErrorContains(t, err, path)
}

func TestOpenCompactsWhatIsMostlyFree(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "relay.db")
	db, err := boltdb.Open(path)
	require.NoError(t, err)
	key := func(i int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i)) }
	const records = 8_000
	require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("b"))
		for i := range records {
			require.NoError(t, b.Put(key(i), make([]byte, 4096)))
		}
		return err
	}))
	require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
		for i := range records - 10 {
			require.NoError(t, tx.Bucket([]byte("b")).Delete(key(i)))
		}
		return nil
	}))
	require.NoError(t, db.Close())
	before, err := os.Stat(path)
	require.NoError(t, err)
	// What a crash in the middle of an earlier compaction left behind is no hindrance.
	require.NoError(t, os.WriteFile(path+".compact", []byte("half"), 0o600))

	db, err = boltdb.Open(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	after, err := os.Stat(path)
	require.NoError(t, err)
	require.Less(t, after.Size(), before.Size()/2)
	require.Equal(t, os.FileMode(0o600), after.Mode().Perm())
	require.NoFileExists(t, path+".compact")
	require.NoError(t, db.View(func(tx *bbolt.Tx) error {
		require.Equal(t, 10, tx.Bucket([]byte("b")).Stats().KeyN)
		return nil
	}))
	_, err = boltdb.Open(path)
	require.ErrorContains(t, err, "in use by another process", "the compacted file is locked as well")
}
