package store

import (
	"bytes"
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

// Verdict is what was concluded about a task.
type Verdict struct {
	Order     canon.Digest
	Task      uint64
	Undecided bool // the Outcome is zero
	Stopped   bool // undecided, because somebody stopped the task
	Outcome   wire.Outcome
	Agree     int
	Evidence  *Evidence // of a verdict by credibility, which can be withdrawn
}

// PutVerdict makes a verdict durable, forgets the outputs that lost and the task's
// checkpoints, unless its transcripts differ, and then calls done. A verdict that is there stays. If PutVerdict returns an error,
// done is not called. It never waits for room, so that it may be called when a
// vote is told to be durable; verdicts are no more than votes.
func (s *Store) PutVerdict(v Verdict, done func(error)) error {
	var gone []canon.Digest
	apply := func(tx *bolt.Tx) (err error) {
		if err := putVerdict(tx, v); err != nil {
			return err
		}
		gone, err = endLanes(tx, taskKey(v.Order, v.Task))
		return err
	}
	return s.group.submit(write{size: len(encodeVerdict(v)), now: true, apply: apply, done: func(err error) {
		if err == nil {
			s.files.remove(gone)
		}
		done(err)
	}})
}

func putVerdict(tx *bolt.Tx, v Verdict) error {
	b := tx.Bucket(bucketVerdicts)
	task := taskKey(v.Order, v.Task)
	if b.Get(task) != nil {
		return nil
	}
	if err := b.Put(task, encodeVerdict(v)); err != nil {
		return err
	}
	if err := dropLinks(tx, task); err != nil {
		return err
	}
	if v.Evidence != nil && !v.Stopped { // what lost may win another time
		return putBehind(tx, v, task)
	}
	outputs := tx.Bucket(bucketOutputs)
	var lost [][]byte
	c := outputs.Cursor()
	for k, _ := c.Seek(task); bytes.HasPrefix(k, task); k, _ = c.Next() {
		if v.Undecided || !bytes.Equal(k[len(task):], v.Outcome.Output[:]) {
			lost = append(lost, bytes.Clone(k))
		}
	}
	for _, k := range lost {
		if err := outputs.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

func putBehind(tx *bolt.Tx, v Verdict, task []byte) error {
	for _, k := range v.Evidence.Behind {
		if err := tx.Bucket(bucketBehind).Put(append(k[:], task...), nil); err != nil {
			return err
		}
	}
	return nil
}

// final reports whether a task has a verdict that is never withdrawn.
func final(tx *bolt.Tx, task []byte) bool {
	b := tx.Bucket(bucketVerdicts).Get(task)
	return len(b) >= 2 && (binary.BigEndian.Uint16(b)&inRounds == 0 || len(b) > 2 && b[2] == partsStopped)
}

// Verdicts calls each for every verdict, in the order of order and task.
func (s *Store) Verdicts(each func(Verdict) error) error {
	return s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketVerdicts).ForEach(func(k, b []byte) error {
			v, err := decodeVerdict(k, b)
			if err != nil {
				return err
			}
			return each(v)
		})
	})
}

// Result is a verdict with its output.
type Result struct {
	Verdict
	Output []byte
}

// Results returns verdicts of an order with their outputs, from a task number
// on: at most n, and no more once their outputs have size bytes. A page is
// read at once, because a reader that holds a transaction while it waits for
// somebody's network lets the file grow.
func (s *Store) Results(order canon.Digest, from uint64, n, size int) (page []Result, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		outputs := tx.Bucket(bucketOutputs)
		c := tx.Bucket(bucketVerdicts).Cursor()
		for k, b := c.Seek(taskKey(order, from)); bytes.HasPrefix(k, order[:]) && len(page) < n && size > 0; k, b = c.Next() {
			v, err := decodeVerdict(k, b)
			if err != nil {
				return err
			}
			output := bytes.Clone(outputs.Get(append(bytes.Clone(k), v.Outcome.Output[:]...)))
			if !v.Undecided && canon.Sum(output) != v.Outcome.Output {
				return fmt.Errorf("verdict %x: its output has changed on disk", k)
			}
			page = append(page, Result{v, output})
			size -= len(output)
		}
		return nil
	})
	return page, err
}

// A verdict's value: votes that agree, then the outcome, unless undecided, then
// the evidence, if there is any, which the first bit says; a byte before it says
// whether there is an outcome.
const (
	partsUndecided = iota
	partsDecided
	partsStopped // undecided, too
)

func encodeVerdict(v Verdict) []byte {
	agree := uint16(v.Agree)
	if v.Evidence == nil {
		b := binary.BigEndian.AppendUint16(nil, agree)
		if v.Undecided {
			return b
		}
		return appendOutcome(b, v.Outcome)
	}
	b := binary.BigEndian.AppendUint16(nil, agree|inRounds)
	switch {
	case v.Stopped:
		return appendEvidence(append(b, partsStopped), v.Evidence)
	case v.Undecided:
		return appendEvidence(append(b, partsUndecided), v.Evidence)
	}
	return appendEvidence(appendOutcome(append(b, partsDecided), v.Outcome), v.Evidence)
}

// parts takes a verdict's value apart.
func parts(b []byte) (agree int, outcome, evidence []byte, ok bool) {
	if len(b) < 2 {
		return 0, nil, nil, false
	}
	agree, b = int(binary.BigEndian.Uint16(b)), b[2:]
	if agree&inRounds == 0 {
		return agree, b, nil, len(b) == 0 || len(b) == outcomeSize
	}
	agree &^= inRounds
	switch {
	case len(b) > 1 && (b[0] == partsUndecided || b[0] == partsStopped):
		return agree, nil, b[1:], true
	case len(b) > 1+outcomeSize && b[0] == partsDecided:
		return agree, b[1 : 1+outcomeSize], b[1+outcomeSize:], true
	}
	return 0, nil, nil, false
}

func decodeVerdict(k, b []byte) (v Verdict, err error) {
	agree, outcome, evidence, ok := parts(b)
	if len(k) != 40 || !ok {
		return v, fmt.Errorf("verdict %x: a value of %d bytes is damaged", k, len(b))
	}
	v.Order, v.Task = canon.Digest(k[:32]), binary.BigEndian.Uint64(k[32:])
	v.Agree = agree
	if evidence != nil {
		v.Stopped = b[2] == partsStopped
		if v.Evidence, err = decodeEvidence(evidence); err != nil {
			return v, fmt.Errorf("verdict %x: %w", k, err)
		}
	}
	if v.Undecided = len(outcome) == 0; v.Undecided {
		return v, nil
	}
	if v.Outcome, err = decodeOutcome(outcome); err != nil {
		return v, fmt.Errorf("verdict %x: %w", k, err)
	}
	return v, nil
}
