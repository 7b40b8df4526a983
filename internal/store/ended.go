package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/countersign/countersign/internal/canon"
)

// Ended says that an order has ended.
type Ended struct {
	Order  canon.Digest
	At     time.Time
	Pruned bool // its votes were removed
}

// pruneBatch is how many records go in one transaction.
const pruneBatch = 2000

// PutEnded notes when an order ended; the first time stays. It does not wait.
func (s *Store) PutEnded(order canon.Digest, at time.Time, done func(error)) error {
	return s.group.submit(write{now: true, done: done, apply: func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketEnded)
		if b.Get(order[:]) != nil {
			return nil
		}
		return b.Put(order[:], encodeEnded(Ended{At: at}))
	}})
}

// DropEnded forgets that an order ended, because it goes on. It does not wait.
func (s *Store) DropEnded(order canon.Digest, done func(error)) error {
	return s.group.submit(write{now: true, done: done, apply: func(tx *bolt.Tx) error {
		return tx.Bucket(bucketEnded).Delete(order[:])
	}})
}

// Ended calls each for every order that has ended.
func (s *Store) Ended(each func(Ended) error) error {
	return s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketEnded).ForEach(func(k, v []byte) error {
			e, err := decodeEnded(k, v)
			if err != nil {
				return err
			}
			return each(e)
		})
	})
}

// Prune removes the votes and checkpoints of an order that has ended, and
// outputs that no verdict has. Verdicts and their outputs stay. It returns how
// many votes there were.
func (s *Store) Prune(order canon.Digest) (votes int, err error) {
	for more := true; more && err == nil; {
		n := 0
		var gone []canon.Digest
		err = s.group.wait(write{apply: func(tx *bolt.Tx) (err error) {
			n, gone, more, err = prune(tx, order)
			return err
		}})
		if err == nil {
			s.files.remove(gone)
		}
		votes += n
	}
	if err != nil {
		return votes, fmt.Errorf("removing the votes of order %s: %w", order.Short(), err)
	}
	return votes, nil
}

func prune(tx *bolt.Tx, order canon.Digest) (votes int, gone []canon.Digest, more bool, err error) {
	end := tx.Bucket(bucketEnded).Get(order[:])
	if end == nil {
		return 0, nil, false, nil // it goes on meanwhile
	}
	e, err := decodeEnded(order[:], end)
	if err != nil {
		return 0, nil, false, err
	}
	if err := keepCredit(tx, order[:]); err != nil {
		return 0, nil, false, err
	}
	votes, err = deleteSome(tx.Bucket(bucketVotes), order[:], func([]byte) bool { return true })
	if err != nil || votes == pruneBatch {
		return votes, nil, true, err
	}
	verdicts := tx.Bucket(bucketVerdicts)
	n, err := deleteSome(tx.Bucket(bucketOutputs), order[:], func(k []byte) bool { return !holds(verdicts, k) })
	if err != nil || n == pruneBatch {
		return votes, nil, true, err
	}
	n, err = deleteSome(tx.Bucket(bucketLinks), order[:], func([]byte) bool { return true })
	if err != nil || n == pruneBatch {
		return votes, nil, true, err
	}
	if gone, err = dropStates(tx, order[:]); err != nil {
		return votes, nil, false, err
	}
	lanes, err := dropLanes(tx, order[:])
	if err != nil {
		return votes, nil, false, err
	}
	gone = append(gone, lanes...)
	e.Pruned = true
	return votes, gone, false, tx.Bucket(bucketEnded).Put(order[:], encodeEnded(e))
}

// holds reports whether an output is that of its task's verdict.
func holds(verdicts *bolt.Bucket, output []byte) bool {
	_, outcome, _, ok := parts(verdicts.Get(output[:40]))
	return ok && len(outcome) == outcomeSize && bytes.Equal(outcome[13:45], output[40:])
}

// deleteSome deletes up to pruneBatch of the keys under a prefix that which picks.
func deleteSome(b *bolt.Bucket, prefix []byte, which func(k []byte) bool) (int, error) {
	var keys [][]byte
	c := b.Cursor()
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix) && len(keys) < pruneBatch; k, _ = c.Next() {
		if which(k) {
			keys = append(keys, bytes.Clone(k))
		}
	}
	for _, k := range keys {
		if err := b.Delete(k); err != nil {
			return 0, err
		}
	}
	return len(keys), nil
}

// The value of an order that has ended: time in milliseconds, 1 if it is pruned.
func encodeEnded(e Ended) []byte {
	v := append(binary.BigEndian.AppendUint64(nil, uint64(e.At.UnixMilli())), 0)
	if e.Pruned {
		v[8] = 1
	}
	return v
}

func decodeEnded(k, v []byte) (e Ended, err error) {
	if len(k) != len(e.Order) || len(v) != 9 || v[8] > 1 {
		return e, fmt.Errorf("the end of order %x: a value of %d bytes is damaged", k, len(v))
	}
	return Ended{canon.Digest(k), time.UnixMilli(int64(binary.BigEndian.Uint64(v))), v[8] == 1}, nil
}
