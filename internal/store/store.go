package store

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Schema is what this version writes and all that it reads.
const Schema = "countersign-store/2"

// ErrInUse is a data directory that another process has open.
var ErrInUse = errors.New("another hub uses it")

var (
	bucketMeta     = []byte("meta")
	bucketReleases = []byte("releases")
	bucketOrders   = []byte("orders")
	bucketStops    = []byte("stops")
	bucketPolicies = []byte("policies")
	bucketIndex    = []byte("index") // one key
	bucketInputs   = []byte("inputs")
	bucketOperator = []byte("operator")
	bucketVotes    = []byte("votes")
	bucketVerdicts = []byte("verdicts")
	bucketOutputs  = []byte("outputs")
	bucketLanes    = []byte("lanes")
	bucketRevoked  = []byte("revoked")
	bucketSpent    = []byte("spent")
	keySchema      = []byte("schema")
)

// Options of Open; nil is usable.
type Options struct {
	// ReadOnly opens an existing store to look at it, beside no running hub.
	ReadOnly bool
	// LockWait is how long to wait for another process to let go; 0: 1 second.
	LockWait time.Duration
	// CheckpointBytes is how many bytes of checkpoints may be kept; 0: 4 GiB.
	CheckpointBytes int64
}

// Store is an open data directory. It is safe for concurrent use.
type Store struct {
	dir   string
	db    *bolt.DB
	key   ed25519.PrivateKey
	group *group
	blobs *blobs
	files *files // of checkpoints
}

// Open opens a data directory, and makes it if it is not there.
func Open(dir string, opt *Options) (*Store, error) {
	var o Options
	if opt != nil {
		o = *opt
	}
	if o.LockWait == 0 {
		o.LockWait = time.Second
	}
	s := &Store{dir: dir}
	if err := s.open(o); err != nil {
		return nil, errors.Join(fmt.Errorf("opening data directory %s: %w", dir, err), s.Close())
	}
	return s, nil
}

func (s *Store) open(o Options) (err error) {
	if !o.ReadOnly {
		if err := os.MkdirAll(filepath.Join(s.dir, blobDir), 0o700); err != nil {
			return err
		}
	}
	if err := private(s.dir); err != nil {
		return err
	}
	s.db, err = bolt.Open(filepath.Join(s.dir, "facts.db"), 0o600, &bolt.Options{
		Timeout:         o.LockWait,
		ReadOnly:        o.ReadOnly,
		FreelistType:    bolt.FreelistMapType,
		NoFreelistSync:  true,
		InitialMmapSize: 1 << 28, // growing the map stops all readers
		NoStatistics:    true,
	})
	if errors.Is(err, berrors.ErrTimeout) {
		return ErrInUse
	}
	if err != nil {
		return err
	}
	if err := s.schema(o.ReadOnly); err != nil {
		return err
	}
	if s.key, err = loadKey(s.dir, o.ReadOnly); err != nil {
		return err
	}
	if s.blobs, err = openBlobs(s.dir, o.ReadOnly); err != nil {
		return err
	}
	if o.ReadOnly {
		s.files = &files{dir: filepath.Join(s.dir, fileDir)}
		return nil
	}
	if err := s.openLog(); err != nil {
		return fmt.Errorf("appending to the transparency log: %w", err)
	}
	if s.files, err = s.openFiles(o.CheckpointBytes); err != nil {
		return err
	}
	s.group = startGroup(s.db)
	return nil
}

// private refuses a directory that others can write to or look into.
func private(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return errors.New("not a directory")
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("others may enter it (mode %v): run chmod 700", info.Mode().Perm())
	}
	return nil
}

// schema makes the buckets of a new store, and refuses one of another version.
func (s *Store) schema(readOnly bool) error {
	check := func(tx *bolt.Tx) error {
		if b := tx.Bucket(bucketMeta); b != nil {
			if got := string(b.Get(keySchema)); got != Schema {
				return fmt.Errorf("its schema is %q, this program knows %q", got, Schema)
			}
			return addBuckets(tx, readOnly)
		}
		if readOnly {
			return errors.New("no hub was started on it")
		}
		for _, name := range [][]byte{bucketMeta, bucketReleases, bucketOrders, bucketStops, bucketPolicies, bucketIndex, bucketInputs, bucketOperator, bucketVotes, bucketVerdicts, bucketOutputs, bucketLanes, bucketRevoked, bucketSpent} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return tx.Bucket(bucketMeta).Put(keySchema, []byte(Schema))
	}
	if readOnly {
		return s.db.View(check)
	}
	return s.db.Update(check)
}

// addBuckets makes those that stores of version 0.1.0 do not have.
func addBuckets(tx *bolt.Tx, readOnly bool) error {
	if readOnly {
		return nil
	}
	for _, name := range [][]byte{bucketPolicies, bucketIndex, bucketRevoked, bucketSpent} {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	return nil
}

// Key is the hub's own key.
func (s *Store) Key() ed25519.PrivateKey { return s.key }

// Sync returns when everything that was submitted before is durable.
func (s *Store) Sync() error {
	return s.group.wait(write{apply: func(*bolt.Tx) error { return nil }})
}

// Close waits until everything that was submitted is durable, and closes.
func (s *Store) Close() error {
	var err error
	if s.group != nil {
		err = s.group.stop()
	}
	if s.db != nil {
		err = errors.Join(err, s.db.Close())
	}
	return err
}
