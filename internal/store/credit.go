package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"

	bolt "go.etcd.io/bbolt"

	"github.com/countersign/countersign/internal/wire"
)

// Credit is what a worker's votes that won have earned.
type Credit struct {
	Worker wire.Key
	Votes  uint64
	Fuel   uint64
}

// creditPage is how many votes are read in one transaction.
const creditPage = 4096

// Credits adds up what workers have earned, by votes that are here and votes
// that were pruned.
func (s *Store) Credits() (map[wire.Key]Credit, error) {
	all := map[wire.Key]Credit{}
	if err := s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketCredit).ForEach(func(k, b []byte) error {
			c, err := decodeCredit(k, b)
			all[c.Worker] = c
			return err
		})
	}); err != nil {
		return nil, err
	}
	for from := []byte{}; from != nil; {
		if err := s.db.View(func(tx *bolt.Tx) (err error) {
			from, err = addCredits(tx, from, nil, all)
			return err
		}); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// addCredits adds what a page of votes earned, and returns where the next begins.
func addCredits(tx *bolt.Tx, from, prefix []byte, all map[wire.Key]Credit) (next []byte, err error) {
	c := tx.Bucket(bucketVotes).Cursor()
	n := 0
	for k, b := c.Seek(from); k != nil && bytes.HasPrefix(k, prefix); k, b = c.Next() {
		if n++; n > creditPage {
			return bytes.Clone(k), nil
		}
		v, err := decodeVote(k, b)
		if err != nil {
			return nil, err
		}
		if won, err := won(tx, k[:40], &v); err != nil || !won {
			if err != nil {
				return nil, err
			}
			continue
		}
		have := all[v.Worker]
		all[v.Worker] = Credit{v.Worker, have.Votes + 1, have.Fuel + own(&v)}
	}
	return nil, nil
}

// won reports whether a vote is for the outcome that was accepted.
func won(tx *bolt.Tx, task []byte, v *Vote) (bool, error) {
	_, outcome, _, ok := parts(tx.Bucket(bucketVerdicts).Get(task))
	if !ok || len(outcome) == 0 {
		return false, nil
	}
	o, err := decodeOutcome(outcome)
	return err == nil && o == v.Outcome(), err
}

// own is the worker's share of a vote's fuel: by segments, of those that it did
// not take over.
func own(v *Vote) uint64 {
	if v.From == 0 || v.From >= v.Segments {
		return v.Fuel
	}
	high, low := bits.Mul64(v.Fuel, uint64(v.Segments-v.From))
	share, _ := bits.Div64(high, low, uint64(v.Segments))
	return share
}

// keepCredit writes what the votes of an order earned that are about to be
// removed, as many as one transaction removes.
func keepCredit(tx *bolt.Tx, prefix []byte) error {
	earned := map[wire.Key]Credit{}
	c := tx.Bucket(bucketVotes).Cursor()
	n := 0
	for k, b := c.Seek(prefix); bytes.HasPrefix(k, prefix) && n < pruneBatch; k, b = c.Next() {
		n++
		v, err := decodeVote(k, b)
		if err != nil {
			return err
		}
		won, err := won(tx, k[:40], &v)
		if err != nil {
			return err
		}
		if won {
			have := earned[v.Worker]
			earned[v.Worker] = Credit{v.Worker, have.Votes + 1, have.Fuel + own(&v)}
		}
	}
	bucket := tx.Bucket(bucketCredit)
	for k, c := range earned {
		if b := bucket.Get(k[:]); b != nil {
			before, err := decodeCredit(k[:], b)
			if err != nil {
				return err
			}
			c.Votes, c.Fuel = c.Votes+before.Votes, c.Fuel+before.Fuel
		}
		if err := bucket.Put(k[:], binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, c.Votes), c.Fuel)); err != nil {
			return err
		}
	}
	return nil
}

func decodeCredit(k, b []byte) (c Credit, err error) {
	if len(k) != len(c.Worker) || len(b) != 16 {
		return c, fmt.Errorf("credit of %x: a value of %d bytes is damaged", k, len(b))
	}
	return Credit{wire.Key(k), binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}, nil
}
