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

	"github.com/countersign/countersign/internal/canon"
)

// Schema is what this version writes, and all that it reads. Opening a store of
// an older schema that migrations knows makes it one of this.
const Schema = "countersign-store/5"

// ErrInUse is a data directory that another process has open.
var ErrInUse = errors.New("another hub uses it")

var (
	bucketMeta      = []byte("meta")
	bucketReleases  = []byte("releases")
	bucketOrders    = []byte("orders")
	bucketStops     = []byte("stops")
	bucketPolicies  = []byte("policies")
	bucketPauses    = []byte("pauses")
	bucketIndex     = []byte("index") // one key
	bucketInputs    = []byte("inputs")
	bucketOperator  = []byte("operator")
	bucketVotes     = []byte("votes")
	bucketVerdicts  = []byte("verdicts")
	bucketDecided   = []byte("decided")  // the order of decision, a bucket for each order
	bucketTimeline  = []byte("timeline") // what happened to orders, likewise
	bucketOutputs   = []byte("outputs")
	bucketLanes     = []byte("lanes")
	bucketRevoked   = []byte("revoked")
	bucketSpent     = []byte("spent")
	bucketEnded     = []byte("ended")     // orders that have ended, and when
	bucketBehind    = []byte("behind")    // tasks whose verdicts can be withdrawn, by worker
	bucketWithdrawn = []byte("withdrawn") // how many verdicts on a task were
	bucketCredit    = []byte("credit")    // of votes that were removed, by worker
	bucketLinks     = []byte("links")     // of transcripts, of tasks that are open or disputed
	bucketStates    = []byte("states")    // checkpoints that lanes have passed, for auditors
	bucketRefuted   = []byte("refuted")   // transcripts that auditors found wrong
	keySchema       = []byte("schema")
)

// buckets are those of the schema, beside the log's.
var buckets = [][]byte{bucketMeta, bucketReleases, bucketOrders, bucketStops, bucketPolicies, bucketPauses, bucketIndex, bucketInputs, bucketOperator,
	bucketVotes, bucketVerdicts, bucketDecided, bucketTimeline, bucketOutputs, bucketLanes, bucketRevoked, bucketSpent, bucketEnded, bucketBehind, bucketWithdrawn, bucketCredit, bucketLinks, bucketStates, bucketRefuted}

// migrations bring a store one schema further. What takes long is done before the
// transaction that says so, and may be done again after a crash.
var migrations = map[string]struct {
	to     string
	before func(*bolt.DB) error
}{
	"countersign-store/2": {to: "countersign-store/3"},                         // it has fewer buckets
	"countersign-store/3": {to: "countersign-store/4"},                         // it has fewer buckets, and no evidence
	"countersign-store/4": {to: "countersign-store/5", before: numberVerdicts}, // it has fewer buckets
}

// Options of Open; nil is usable.
type Options struct {
	// ReadOnly opens an existing store to look at it, beside no running hub.
	ReadOnly bool
	// LockWait is how long to wait for another process to let go; 0: 1 second.
	LockWait time.Duration
	// CheckpointBytes is how many bytes of checkpoints may be kept; 0: 4 GiB.
	CheckpointBytes int64
	// Landed is called after the callbacks of facts that became durable together.
	Landed func()
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
	s.db, err = bolt.Open(filepath.Join(s.dir, factsFile), 0o600, &bolt.Options{
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
		s.files = &files{dir: filepath.Join(s.dir, fileDir), gone: map[canon.Digest]bool{}}
		return nil
	}
	if err := sweepSnapshots(s.dir, 0); err != nil {
		return err
	}
	if err := s.openLog(); err != nil {
		return fmt.Errorf("appending to the transparency log: %w", err)
	}
	if s.files, err = s.openFiles(o.CheckpointBytes); err != nil {
		return err
	}
	s.group = startGroup(s.db, o.Landed)
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

// schema makes the buckets of a new store, brings an older one up to date, and
// refuses what it does not know.
func (s *Store) schema(readOnly bool) error {
	if readOnly {
		return s.db.View(func(tx *bolt.Tx) error {
			b := tx.Bucket(bucketMeta)
			if b == nil {
				return errors.New("no hub was started on it")
			}
			if got := string(b.Get(keySchema)); got != Schema {
				return wrongSchema(got)
			}
			return nil
		})
	}
	complete := false // then a full disk is no reason not to start
	if err := s.db.View(func(tx *bolt.Tx) error { complete = isComplete(tx); return nil }); err != nil || complete {
		return err
	}
	if err := prepare(s.db); err != nil {
		return err
	}
	return s.db.Update(migrate)
}

func isComplete(tx *bolt.Tx) bool {
	for _, name := range buckets {
		if tx.Bucket(name) == nil {
			return false
		}
	}
	return string(tx.Bucket(bucketMeta).Get(keySchema)) == Schema
}

// prepare does what goes before the migrations of a store.
func prepare(db *bolt.DB) error {
	got := Schema
	if err := db.View(func(tx *bolt.Tx) error {
		if b := tx.Bucket(bucketMeta); b != nil {
			got = string(b.Get(keySchema))
		}
		return nil
	}); err != nil {
		return err
	}
	for m, ok := migrations[got]; ok; m, ok = migrations[got] {
		if m.before != nil {
			if err := m.before(db); err != nil {
				return fmt.Errorf("bringing it from schema %q to %q: %w", got, m.to, err)
			}
		}
		got = m.to
	}
	return nil
}

func migrate(tx *bolt.Tx) error {
	got := Schema
	if b := tx.Bucket(bucketMeta); b != nil {
		got = string(b.Get(keySchema))
	}
	for got != Schema {
		m, ok := migrations[got]
		if !ok {
			return wrongSchema(got)
		}
		got = m.to
	}
	for _, name := range buckets {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	return tx.Bucket(bucketMeta).Put(keySchema, []byte(Schema))
}

func wrongSchema(got string) error {
	if _, ok := migrations[got]; ok {
		return fmt.Errorf("its schema is %q, of an older version: start the hub on it once, which makes it %q", got, Schema)
	}
	return fmt.Errorf("its schema is %q, this program knows %q", got, Schema)
}

// Key is the hub's own key.
func (s *Store) Key() ed25519.PrivateKey { return s.key }

// Sync returns when everything that was submitted before is durable.
func (s *Store) Sync() error {
	return s.group.wait(write{apply: func(*bolt.Tx) error { return nil }})
}

// StopWaiting makes facts fail that find no room on the disk, instead of waiting
// for some. A program that ends calls it before it waits for those who wait.
func (s *Store) StopWaiting() { s.group.hurry() }

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
