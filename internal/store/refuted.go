package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

// Refutation is a transcript that an auditor found wrong.
type Refutation struct {
	Order      canon.Digest
	Task       uint64
	Transcript canon.Digest
	At         time.Time
	Caught     []wire.Key
	Signed     Signed
}

// PutRefutation makes a refutation durable, and then calls done. The first of a
// transcript stays. It does not wait.
func (s *Store) PutRefutation(r Refutation, done func(error)) error {
	return s.group.submit(write{size: 512, now: true, done: done, apply: func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketRefuted)
		key := append(taskKey(r.Order, r.Task), r.Transcript[:]...)
		if b.Get(key) != nil {
			return nil
		}
		return b.Put(key, encodeRefutation(r))
	}})
}

// Refutations calls each for every refutation.
func (s *Store) Refutations(each func(Refutation) error) error {
	return s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketRefuted).ForEach(func(k, v []byte) error {
			r, err := decodeRefutation(k, v)
			if err != nil {
				return err
			}
			return each(r)
		})
	})
}

// Refuted reports whether a transcript of a task was refuted.
func (s *Store) Refuted(order canon.Digest, task uint64, transcript canon.Digest) (is bool, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		is = tx.Bucket(bucketRefuted).Get(append(taskKey(order, task), transcript[:]...)) != nil
		return nil
	})
	return is, err
}

// A refutation's value: time in milliseconds, who was caught with the number
// before, and then auditor, signature and statement.
func encodeRefutation(r Refutation) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(r.At.UnixMilli()))
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.Caught)))
	for _, k := range r.Caught {
		b = append(b, k[:]...)
	}
	return append(append(append(b, r.Signed.Auditor[:]...), r.Signed.Signature[:]...), r.Signed.Statement...)
}

func decodeRefutation(k, b []byte) (r Refutation, err error) {
	damaged := fmt.Errorf("refutation %x: a value of %d bytes is damaged", k, len(b))
	if len(k) != 32+8+32 || len(b) < 10 {
		return r, damaged
	}
	r.Order, r.Task, r.Transcript = canon.Digest(k[:32]), binary.BigEndian.Uint64(k[32:]), canon.Digest(k[40:])
	r.At = time.UnixMilli(int64(binary.BigEndian.Uint64(b)))
	n := int(binary.BigEndian.Uint16(b[8:]))
	if b = b[10:]; n > maxBehind || len(b) <= 32*n+32+64 || len(b) > 32*n+32+64+wire.MaxVote {
		return r, damaged
	}
	for range n {
		r.Caught = append(r.Caught, wire.Key(b))
		b = b[32:]
	}
	r.Signed = Signed{wire.Key(b), wire.Signature(b[32:]), bytes.Clone(b[96:])}
	return r, nil
}
