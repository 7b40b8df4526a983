package store

import (
	"bytes"
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/countersign/countersign/internal/canon"
)

// What was decided, in the order of decision: a bucket for each order, number →
// what. Numbers begin at 1 and are never given twice, so they are cursors. Nothing is
// ever removed: of two entries on a task the later holds.

// Decision is one entry.
type Decision struct {
	Task      uint64
	Round     uint32 // of the verdict
	Audited   bool
	Withdrawn bool // the verdict of the round is none any more
}

// Decided is what a decision comes to: a result, or that there is none any more.
type Decided struct {
	Result
	Seq       uint64
	Round     uint32
	Withdrawn bool
}

const (
	decisionWithdrawn = 1 << iota
	decisionAudited
	decisionRound = 2 // bits before it
)

// scanDecisions is how many entries are looked at in a transaction.
const scanDecisions = 4096

// noteDecision appends an entry, in the transaction of what it is about.
func noteDecision(tx *bolt.Tx, order []byte, d Decision) error {
	b, err := tx.Bucket(bucketDecided).CreateBucketIfNotExists(order)
	if err != nil {
		return err
	}
	b.FillPercent = 1 // keys ascend
	seq, err := b.NextSequence()
	if err != nil {
		return err
	}
	return b.Put(binary.BigEndian.AppendUint64(nil, seq), encodeDecision(d))
}

func verdictDecision(v Verdict) Decision {
	d := Decision{Task: v.Task}
	if v.Evidence != nil {
		d.Round, d.Audited = v.Evidence.Round, v.Evidence.Audit != nil
	}
	return d
}

// LastDecision returns the number of the last decision on an order; 0: none.
func (s *Store) LastDecision(order canon.Digest) (seq uint64, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		if b := tx.Bucket(bucketDecided).Bucket(order[:]); b != nil {
			seq = b.Sequence()
		}
		return nil
	})
	return seq, err
}

// DecidedAfter returns what was decided after a number, without what does not
// hold any more: at most n, and no more once their outputs have size bytes. next
// is the number of the last decision that was looked at.
func (s *Store) DecidedAfter(order canon.Digest, after uint64, n, size int) (page []Decided, next uint64, err error) {
	next = after
	err = s.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketDecided).Bucket(order[:])
		if b == nil {
			return nil
		}
		c, looked := b.Cursor(), 0
		for k, v := c.Seek(binary.BigEndian.AppendUint64(nil, after+1)); k != nil && len(page) < n && size > 0 && looked < scanDecisions; k, v = c.Next() {
			d, err := decodeDecision(k, v)
			if err != nil {
				return err
			}
			looked, next = looked+1, binary.BigEndian.Uint64(k)
			r, holds, err := resultOf(tx, order, d)
			if err != nil {
				return err
			}
			if holds {
				page = append(page, Decided{Result: r, Seq: next, Round: d.Round, Withdrawn: d.Withdrawn})
				size -= len(r.Output)
			}
		}
		return nil
	})
	return page, next, err
}

// resultOf returns what a decision comes to, if none came after it on its task.
func resultOf(tx *bolt.Tx, order canon.Digest, d Decision) (r Result, holds bool, err error) {
	task := taskKey(order, d.Task)
	b := tx.Bucket(bucketVerdicts).Get(task)
	if b == nil || d.Withdrawn {
		r.Order, r.Task = order, d.Task
		return r, b == nil && d.Withdrawn, nil
	}
	if r, err = result(tx, task, b); err != nil {
		return r, false, err
	}
	return r, verdictDecision(r.Verdict) == d, nil
}

// result reads a verdict and its output.
func result(tx *bolt.Tx, task, verdict []byte) (Result, error) {
	v, err := decodeVerdict(task, verdict)
	if err != nil {
		return Result{}, err
	}
	output := bytes.Clone(tx.Bucket(bucketOutputs).Get(append(bytes.Clone(task), v.Outcome.Output[:]...)))
	if !v.Undecided && canon.Sum(output) != v.Outcome.Output {
		return Result{}, fmt.Errorf("verdict %x: its output has changed on disk", task)
	}
	return Result{v, output}, nil
}

// A decision's value: task, and round with two bits, both of variable length.
func encodeDecision(d Decision) []byte {
	rest := uint64(d.Round) << decisionRound
	if d.Withdrawn {
		rest |= decisionWithdrawn
	}
	if d.Audited {
		rest |= decisionAudited
	}
	return binary.AppendUvarint(binary.AppendUvarint(nil, d.Task), rest)
}

func decodeDecision(k, v []byte) (d Decision, err error) {
	task, n := binary.Uvarint(v)
	if n <= 0 {
		n = len(v)
	}
	rest, m := binary.Uvarint(v[n:])
	if len(k) != 8 || m <= 0 || n+m != len(v) || rest>>decisionRound > 1<<32-1 {
		return d, fmt.Errorf("decision %x: a value of %d bytes is damaged", k, len(v))
	}
	return Decision{task, uint32(rest >> decisionRound), rest&decisionAudited != 0, rest&decisionWithdrawn != 0}, nil
}

// Decisions calls each for every entry, in the order of orders and numbers.
func (s *Store) Decisions(each func(order canon.Digest, d Decision) error) error {
	return s.db.View(func(tx *bolt.Tx) error {
		top := tx.Bucket(bucketDecided)
		return top.ForEachBucket(func(order []byte) error {
			if len(order) != len(canon.Digest{}) {
				return fmt.Errorf("decisions on %x: no order has such a name", order)
			}
			return top.Bucket(order).ForEach(func(k, v []byte) error {
				d, err := decodeDecision(k, v)
				if err != nil {
					return err
				}
				return each(canon.Digest(order), d)
			})
		})
	})
}

const migrateBatch = 50_000 // verdicts in a transaction

// numberVerdicts makes decisions of the verdicts of a store that had none, in the
// order of their tasks, because theirs is not known any more. It goes in steps,
// so that it takes no more memory for many; one that was interrupted begins anew.
func numberVerdicts(db *bolt.DB) error {
	if err := db.Update(func(tx *bolt.Tx) error {
		if tx.Bucket(bucketDecided) != nil {
			if err := tx.DeleteBucket(bucketDecided); err != nil {
				return err
			}
		}
		_, err := tx.CreateBucket(bucketDecided)
		return err
	}); err != nil {
		return err
	}
	var from []byte
	for n := migrateBatch; n == migrateBatch; {
		n = 0
		if err := db.Update(func(tx *bolt.Tx) error {
			verdicts := tx.Bucket(bucketVerdicts)
			if verdicts == nil {
				return nil
			}
			c := verdicts.Cursor()
			for k, b := c.Seek(from); k != nil && n < migrateBatch; k, b = c.Next() {
				v, err := decodeVerdict(k, b)
				if err != nil {
					return err
				}
				if err := noteDecision(tx, k[:32], verdictDecision(v)); err != nil {
					return err
				}
				from = append(bytes.Clone(k), 0)
				n++
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}
