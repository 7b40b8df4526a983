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

// Evidence is what a verdict by credibility rests on, and what it shows.
type Evidence struct {
	DoubtPPB       int
	Round          uint32
	At             time.Time
	Behind         []wire.Key // workers whose word or work the outcome is
	Passed, Caught []wire.Key
	Audit          *Signed // an auditor's, if that is why it stands
}

// Signed is an audit: its auditor's key, signature and canonical statement.
type Signed struct {
	Auditor   wire.Key
	Signature wire.Signature
	Statement []byte
}

// maxBehind bounds each list of workers, for readers of damaged records.
const maxBehind = 1024

// inRounds marks a verdict's count of votes: evidence follows the outcome.
const inRounds = 1 << 15

// Evidence: doubt, round, time in milliseconds, and three lists of workers, each
// with its length before it; then the audit, if there is one.
func appendEvidence(b []byte, e *Evidence) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(e.DoubtPPB))
	b = binary.BigEndian.AppendUint32(b, e.Round)
	b = binary.BigEndian.AppendUint64(b, uint64(e.At.UnixMilli()))
	for _, keys := range [][]wire.Key{e.Behind, e.Passed, e.Caught} {
		b = binary.BigEndian.AppendUint16(b, uint16(len(keys)))
		for _, k := range keys {
			b = append(b, k[:]...)
		}
	}
	if a := e.Audit; a != nil {
		b = append(append(append(b, a.Auditor[:]...), a.Signature[:]...), a.Statement...)
	}
	return b
}

func decodeEvidence(b []byte) (*Evidence, error) {
	if len(b) < 16 {
		return nil, fmt.Errorf("evidence of %d bytes is damaged", len(b))
	}
	e := &Evidence{DoubtPPB: int(binary.BigEndian.Uint32(b)), Round: binary.BigEndian.Uint32(b[4:]), At: time.UnixMilli(int64(binary.BigEndian.Uint64(b[8:])))}
	b = b[16:]
	for _, list := range []*[]wire.Key{&e.Behind, &e.Passed, &e.Caught} {
		if len(b) < 2 {
			return nil, fmt.Errorf("evidence ends early")
		}
		n := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; n > maxBehind || len(b) < 32*n {
			return nil, fmt.Errorf("evidence names %d workers in %d bytes", n, len(b))
		}
		for range n {
			*list = append(*list, wire.Key(b))
			b = b[32:]
		}
	}
	const audit = 32 + 64
	switch {
	case len(b) == 0:
	case len(b) <= audit || len(b) > audit+wire.MaxVote:
		return nil, fmt.Errorf("evidence has %d bytes too many", len(b))
	default:
		e.Audit = &Signed{wire.Key(b), wire.Signature(b[32:]), bytes.Clone(b[audit:])}
	}
	return e, nil
}

// Withdrawal says how many verdicts on a task were withdrawn.
type Withdrawal struct {
	Order  canon.Digest
	Task   uint64
	Rounds uint32
}

// Withdraw takes the verdict of a round back, so that its task may get another,
// and then calls done. It does not wait.
func (s *Store) Withdraw(order canon.Digest, number uint64, round uint32, done func(error)) error {
	return s.group.submit(write{size: 64, now: true, done: done, apply: func(tx *bolt.Tx) error {
		task := taskKey(order, number)
		b := tx.Bucket(bucketVerdicts).Get(task)
		if b == nil {
			return nil
		}
		v, err := decodeVerdict(task, b)
		if err != nil {
			return err
		}
		if v.Evidence == nil || v.Evidence.Round != round {
			return nil // it stands
		}
		rounds := binary.BigEndian.AppendUint32(nil, v.Evidence.Round+1)
		if err := tx.Bucket(bucketWithdrawn).Put(task, rounds); err != nil {
			return err
		}
		return dropVerdict(tx, v, task)
	}})
}

// Withdrawals calls each for every task on which verdicts were withdrawn.
func (s *Store) Withdrawals(each func(Withdrawal) error) error {
	return s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketWithdrawn).ForEach(func(k, b []byte) error {
			if len(k) != 40 || len(b) != 4 {
				return fmt.Errorf("withdrawal %x: a value of %d bytes is damaged", k, len(b))
			}
			return each(Withdrawal{canon.Digest(k[:32]), binary.BigEndian.Uint64(k[32:]), binary.BigEndian.Uint32(b)})
		})
	})
}

// PutAudit makes an auditor's verdict durable in place of the one that is there,
// with the output that it accepts, and then calls done. It does not wait.
func (s *Store) PutAudit(v Verdict, output []byte, done func(error)) error {
	var gone []canon.Digest
	told := func(err error) {
		if err == nil {
			s.files.remove(gone)
		}
		done(err)
	}
	return s.group.submit(write{size: 1024 + len(output), now: true, done: told, apply: func(tx *bolt.Tx) (err error) {
		task := taskKey(v.Order, v.Task)
		if b := tx.Bucket(bucketVerdicts).Get(task); b != nil {
			before, err := decodeVerdict(task, b)
			if err != nil {
				return err
			}
			if err := dropVerdict(tx, before, task); err != nil {
				return err
			}
		}
		if v.Evidence.Round > 0 {
			if err := tx.Bucket(bucketWithdrawn).Put(task, binary.BigEndian.AppendUint32(nil, v.Evidence.Round)); err != nil {
				return err
			}
		}
		if len(output) > 0 {
			if err := tx.Bucket(bucketOutputs).Put(append(task, v.Outcome.Output[:]...), output); err != nil {
				return err
			}
		}
		if gone, err = dropStates(tx, task); err != nil {
			return err
		}
		more, err := dropLanes(tx, task)
		if err != nil {
			return err
		}
		gone = append(gone, more...)
		return putVerdict(tx, v)
	}})
}

func dropVerdict(tx *bolt.Tx, v Verdict, task []byte) error {
	if v.Evidence != nil {
		for _, k := range v.Evidence.Behind {
			if err := tx.Bucket(bucketBehind).Delete(append(k[:], task...)); err != nil {
				return err
			}
		}
	}
	return tx.Bucket(bucketVerdicts).Delete(task)
}

// VerdictOn returns the verdict on a task and all votes on it; nil: there is none.
func (s *Store) VerdictOn(order canon.Digest, number uint64) (v *Verdict, votes []Vote, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		task := taskKey(order, number)
		if b := tx.Bucket(bucketVerdicts).Get(task); b != nil {
			have, err := decodeVerdict(task, b)
			if err != nil {
				return err
			}
			v = &have
		}
		votes, err = votesOn(tx, task)
		return err
	})
	return v, votes, err
}

// Case is a verdict with all votes on its task.
type Case struct {
	Verdict Verdict
	Votes   []Vote
}

// Behind returns up to n cases with a worker behind the verdict, those after the
// one that came last; nil: from the first.
func (s *Store) Behind(worker wire.Key, after *Verdict, n int) (page []Case, err error) {
	from := worker[:]
	if after != nil {
		from = append(append(bytes.Clone(worker[:]), taskKey(after.Order, after.Task)...), 0)
	}
	err = s.db.View(func(tx *bolt.Tx) error {
		c := tx.Bucket(bucketBehind).Cursor()
		for k, _ := c.Seek(from); bytes.HasPrefix(k, worker[:]) && len(page) < n; k, _ = c.Next() {
			task := k[len(worker):]
			v, err := decodeVerdict(task, tx.Bucket(bucketVerdicts).Get(task))
			if err != nil {
				return err
			}
			votes, err := votesOn(tx, task)
			if err != nil {
				return err
			}
			page = append(page, Case{v, votes})
		}
		return nil
	})
	return page, err
}

// VotesOn returns all votes on a task.
func (s *Store) VotesOn(order canon.Digest, task uint64) (votes []Vote, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		votes, err = votesOn(tx, taskKey(order, task))
		return err
	})
	return votes, err
}

func votesOn(tx *bolt.Tx, task []byte) (votes []Vote, err error) {
	c := tx.Bucket(bucketVotes).Cursor()
	for k, value := c.Seek(task); bytes.HasPrefix(k, task); k, value = c.Next() {
		v, err := decodeVote(k, value)
		if err != nil {
			return nil, err
		}
		votes = append(votes, v)
	}
	return votes, nil
}

// Flush calls done when everything that was submitted before is durable.
func (s *Store) Flush(done func(error)) error {
	return s.group.submit(write{now: true, apply: func(*bolt.Tx) error { return nil }, done: done})
}
