package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/translog"
)

// The transparency log, docs/spec/log.md. A leaf is a reference to a statement
// of another bucket, which never changes; the hashes are tlog's stored hashes,
// by their index.
var (
	bucketLeaves    = []byte("log-leaves")    // index → kind, digest
	bucketLeafOf    = []byte("log-leaf-of")   // digest → index
	bucketHashes    = []byte("log-hashes")    // stored hash index → hash
	bucketPublished = []byte("log-published") // what the hub keeps of its checkpoints
)

// kinds in the order in which those of the same moment were admitted before
// there was a log. The position is what stands on disk: append only.
var kinds = []Kind{Release, Order, Stop, Policy, Pause}

// afterStatement is where tests kill a store that has written a statement and
// not its leaf.
var afterStatement = func() {}

// openLog makes the log's buckets, and appends the statements that were
// admitted before there was one.
func (s *Store) openLog() error {
	complete := false
	if err := s.db.View(func(tx *bolt.Tx) error {
		if tx.Bucket(bucketPublished) == nil {
			return nil
		}
		missing, err := unlogged(tx)
		complete = len(missing) == 0
		return err
	}); err != nil || complete {
		return err
	}
	return s.db.Update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketLeaves, bucketLeafOf, bucketHashes, bucketPublished} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		missing, err := unlogged(tx)
		if err != nil {
			return err
		}
		for _, st := range missing {
			if err := appendLeaf(tx, st.kind, st.Statement); err != nil {
				return fmt.Errorf("%s %s: %w", st.kind, st.Digest.Short(), err)
			}
		}
		return nil
	})
}

type kindOf struct {
	kind Kind
	Statement
}

// unlogged returns the statements that have no leaf, in the order of their
// admission: by time, which within a kind goes by the sequence numbers.
func unlogged(tx *bolt.Tx) (all []kindOf, err error) {
	for _, kind := range kinds {
		var own []kindOf
		b := tx.Bucket(kind.bucket())
		if b == nil { // a kind that came later
			continue
		}
		err := b.ForEach(func(k, v []byte) error {
			if tx.Bucket(bucketLeafOf).Get(k) != nil {
				return nil
			}
			st, err := decodeStatement(k, v)
			if err != nil {
				return fmt.Errorf("%s %x: %w", kind, k, err)
			}
			own = append(own, kindOf{kind, st})
			return nil
		})
		if err != nil {
			return nil, err
		}
		slices.SortFunc(own, func(a, b kindOf) int { return cmp.Compare(a.Seq, b.Seq) })
		for i := 1; i < len(own); i++ { // a clock that was set back
			if own[i].At.Before(own[i-1].At) {
				own[i].At = own[i-1].At
			}
		}
		all = append(all, own...)
	}
	slices.SortStableFunc(all, func(a, b kindOf) int { return a.At.Compare(b.At) })
	return all, nil
}

// appendLeaf makes a statement of this transaction the log's next leaf.
func appendLeaf(tx *bolt.Tx, kind Kind, st Statement) error {
	entry, err := translog.Entry(st.Bytes, st.Signature)
	if err != nil {
		return err
	}
	leaves := tx.Bucket(bucketLeaves)
	n := int64(leaves.Sequence())
	hashes, err := tlog.StoredHashes(n, entry, hashReader(tx))
	if err != nil {
		return fmt.Errorf("hashing leaf %d: %w", n, err)
	}
	for i, h := range hashes {
		if err := tx.Bucket(bucketHashes).Put(position(tlog.StoredHashIndex(0, n)+int64(i)), h[:]); err != nil {
			return err
		}
	}
	if err := tx.Bucket(bucketLeafOf).Put(st.Digest[:], position(n)); err != nil {
		return err
	}
	if err := leaves.Put(position(n), append([]byte{kind.number()}, st.Digest[:]...)); err != nil {
		return err
	}
	return leaves.SetSequence(uint64(n) + 1)
}

// number is what stands for a kind in the log.
func (k Kind) number() byte {
	n := slices.Index(kinds, k)
	if n < 0 {
		panic("store: a kind of statement that is not in the log: " + string(k))
	}
	return byte(n)
}

func position(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

// hashReader reads stored hashes in a transaction.
func hashReader(tx *bolt.Tx) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			h := tx.Bucket(bucketHashes).Get(position(index))
			if len(h) != tlog.HashSize {
				return nil, fmt.Errorf("hash %d of the log is missing", index)
			}
			hashes[i] = tlog.Hash(h)
		}
		return hashes, nil
	})
}

// LogView reads the log at one moment: View calls f with one.
type LogView struct {
	tx *bolt.Tx
	tlog.HashReader
}

// ViewLog lets f read the log as it is at one moment.
func (s *Store) ViewLog(f func(LogView) error) error {
	return s.db.View(func(tx *bolt.Tx) error {
		if tx.Bucket(bucketLeaves) == nil {
			return fmt.Errorf("this data directory has no log yet: start the hub on it once")
		}
		return f(LogView{tx, hashReader(tx)})
	})
}

// Size is the number of leaves.
func (v LogView) Size() int64 { return int64(v.tx.Bucket(bucketLeaves).Sequence()) }

// Index finds the leaf of a statement.
func (v LogView) Index(d canon.Digest) (int64, bool) {
	at := v.tx.Bucket(bucketLeafOf).Get(d[:])
	if len(at) != 8 {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(at)), true
}

// Entry returns the entry of a leaf.
func (v LogView) Entry(index int64) ([]byte, error) {
	leaf := v.tx.Bucket(bucketLeaves).Get(position(index))
	if len(leaf) != 1+len(canon.Digest{}) || int(leaf[0]) >= len(kinds) {
		return nil, fmt.Errorf("leaf %d of the log is missing or damaged", index)
	}
	st, err := decodeStatement(leaf[1:], v.tx.Bucket(kinds[leaf[0]].bucket()).Get(leaf[1:]))
	if err != nil {
		return nil, fmt.Errorf("leaf %d of the log: %w", index, err)
	}
	return translog.Entry(st.Bytes, st.Signature)
}

// PutPublished makes a checkpoint durable under some names. It does not wait
// for room. done is called when it is durable, or has failed; not if an error
// is returned.
func (s *Store) PutPublished(text []byte, names []string, done func(error)) error {
	return s.group.submit(write{size: len(text), now: true, done: done, apply: func(tx *bolt.Tx) error {
		for _, name := range names {
			if err := tx.Bucket(bucketPublished).Put([]byte(name), text); err != nil {
				return err
			}
		}
		return nil
	}})
}

// Published returns what was put under a name, or nil.
func (s *Store) Published(name string) (text []byte, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		text = bytes.Clone(tx.Bucket(bucketPublished).Get([]byte(name)))
		return nil
	})
	return text, err
}
