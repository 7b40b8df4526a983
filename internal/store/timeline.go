package store

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/countersign/countersign/internal/canon"
)

// Moment is when an order entered a state, and how far it was.
type Moment struct {
	At        time.Time `json:"at"`
	State     string    `json:"state"`
	Reason    string    `json:"reason,omitempty"`
	Accepted  uint64    `json:"accepted"`
	Undecided uint64    `json:"undecided"`
	Withdrawn uint64    `json:"withdrawn"`
}

// MaxMoments is how many moments of an order are kept, the last ones.
const MaxMoments = 1000

// PutMoment makes a moment durable, unless the order is in that state already,
// as it is when a hub starts. It does not wait.
func (s *Store) PutMoment(order canon.Digest, m Moment, done func(error)) error {
	value, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return s.group.submit(write{size: len(value), now: true, done: done, apply: func(tx *bolt.Tx) error {
		b, err := tx.Bucket(bucketTimeline).CreateBucketIfNotExists(order[:])
		if err != nil {
			return err
		}
		if k, v := b.Cursor().Last(); k != nil {
			last, err := decodeMoment(order[:], v)
			if err != nil {
				return err
			}
			if last.State == m.State && last.Reason == m.Reason {
				return nil
			}
		}
		seq, err := b.NextSequence()
		if err != nil {
			return err
		}
		if seq > MaxMoments {
			if err := b.Delete(binary.BigEndian.AppendUint64(nil, seq-MaxMoments)); err != nil {
				return err
			}
		}
		return b.Put(binary.BigEndian.AppendUint64(nil, seq), value)
	}})
}

// Timeline returns the moments of an order, from the first.
func (s *Store) Timeline(order canon.Digest) (all []Moment, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketTimeline).Bucket(order[:])
		if b == nil {
			return nil
		}
		return b.ForEach(func(_, v []byte) error {
			m, err := decodeMoment(order[:], v)
			all = append(all, m)
			return err
		})
	})
	return all, err
}

func decodeMoment(order, v []byte) (m Moment, err error) {
	if err := json.Unmarshal(v, &m); err != nil {
		return m, fmt.Errorf("the timeline of order %x: %w", order, err)
	}
	return m, nil
}
