package store

import (
	bolt "go.etcd.io/bbolt"

	"github.com/countersign/countersign/internal/canon"
)

var keyIndex = []byte("index")

// PutIndex keeps the index that holds now; the one before is forgotten.
func (s *Store) PutIndex(st Statement) error {
	st.Digest = canon.Sum(st.Bytes)
	return s.group.wait(write{size: len(st.Bytes), apply: func(tx *bolt.Tx) error {
		return tx.Bucket(bucketIndex).Put(keyIndex, append(st.Digest[:], encodeStatement(st)...))
	}})
}

// Index returns the index kept; found says whether there is one.
func (s *Store) Index() (st Statement, found bool, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		v := tx.Bucket(bucketIndex).Get(keyIndex)
		if len(v) < len(st.Digest) {
			return nil
		}
		found = true
		st, err = decodeStatement(v[:len(st.Digest)], v[len(st.Digest):])
		return err
	})
	return st, found, err
}
