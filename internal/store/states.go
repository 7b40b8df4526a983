package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/countersign/countersign/internal/canon"
)

// maxStates is how many checkpoints that its lanes have passed are kept of a
// task, so that an auditor who settles a dispute need not begin at the start.
const maxStates = 8

// A state's key: task, segments, lane, worker. Its value is an author's.
func stateKey(c Checkpoint) []byte {
	key := binary.BigEndian.AppendUint16(taskKey(c.Order, c.Task), uint16(c.Segments))
	return append(binary.BigEndian.AppendUint16(key, uint16(c.Lane)), c.Worker[:]...)
}

func decodeState(k, v []byte) (Checkpoint, error) {
	return decodeAuthor(append(bytes.Clone(k[:40]), k[42:]...), v)
}

// pass keeps a checkpoint that its lane has passed. Of more than there may be,
// the one goes whose neighbours are nearest to each other. pass returns the files
// that are not needed any more.
func pass(tx *bolt.Tx, c Checkpoint) (gone []canon.Digest, err error) {
	value, err := encodeAuthor(c)
	if err != nil {
		return nil, err
	}
	if err := tx.Bucket(bucketStates).Put(stateKey(c), value); err != nil {
		return nil, err
	}
	all, err := statesOf(tx, taskKey(c.Order, c.Task))
	if err != nil || len(all) <= maxStates {
		return nil, err
	}
	extra := all[crowded(all)]
	return []canon.Digest{extra.File}, tx.Bucket(bucketStates).Delete(stateKey(extra))
}

// unneeded is the file of a checkpoint that is not taken, unless it is kept
// already as one that its lane has passed.
func unneeded(tx *bolt.Tx, c Checkpoint) []canon.Digest {
	if v := tx.Bucket(bucketStates).Get(stateKey(c)); v != nil && bytes.Contains(v, c.File[:]) {
		return nil
	}
	return []canon.Digest{c.File}
}

// crowded is the place of the state that is missed the least: without it the
// widest gap stays the narrowest.
func crowded(all []Checkpoint) int {
	at, least := len(all)-1, uint32(1<<31)
	for i := range all[:len(all)-1] {
		before := uint32(0)
		if i > 0 {
			before = all[i-1].Segments
		}
		if gap := all[i+1].Segments - before; gap < least {
			at, least = i, gap
		}
	}
	return at
}

func statesOf(tx *bolt.Tx, prefix []byte) (all []Checkpoint, err error) {
	c := tx.Bucket(bucketStates).Cursor()
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		s, err := decodeState(k, v)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// States returns the checkpoints that are kept of a task, those that its lanes
// have passed and the furthest, by segments.
func (s *Store) States(order canon.Digest, task uint64) (all []Checkpoint, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		if all, err = statesOf(tx, taskKey(order, task)); err != nil {
			return err
		}
		last, err := furthestOf(tx, taskKey(order, task))
		all = append(all, last...)
		slices.SortStableFunc(all, func(a, b Checkpoint) int { return cmp.Compare(a.Segments, b.Segments) })
		return err
	})
	return all, err
}

// furthestOf lists the checkpoint of each lane of a task.
func furthestOf(tx *bolt.Tx, task []byte) (last []Checkpoint, err error) {
	c := tx.Bucket(bucketLanes).Cursor()
	for k, v := c.Seek(task); bytes.HasPrefix(k, task); k, v = c.Next() {
		a, err := decodeAuthor(k, v)
		if err != nil {
			return nil, err
		}
		switch n := len(last); {
		case n == 0 || last[n-1].Lane != a.Lane:
			last = append(last, a)
		case a.Segments > last[n-1].Segments:
			last[n-1] = a
		}
	}
	return last, nil
}

// endAll ends the lanes of all tasks of an order.
func endAll(tx *bolt.Tx, order canon.Digest) (files []canon.Digest, err error) {
	var tasks [][]byte
	c := tx.Bucket(bucketLanes).Cursor()
	for k, _ := c.Seek(order[:]); bytes.HasPrefix(k, order[:]); k, _ = c.Next() {
		if n := len(tasks); n == 0 || !bytes.Equal(tasks[n-1], k[:40]) {
			tasks = append(tasks, bytes.Clone(k[:40]))
		}
	}
	for _, task := range tasks {
		gone, err := endLanes(tx, slices.Clip(task))
		if err != nil {
			return nil, err
		}
		files = append(files, gone...)
	}
	return files, nil
}

// EachState calls each for every checkpoint that a lane has passed.
func (s *Store) EachState(each func(Checkpoint) error) error {
	return s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketStates).ForEach(func(k, v []byte) error {
			c, err := decodeState(k, v)
			if err != nil {
				return err
			}
			return each(c)
		})
	})
}

// dropStates forgets the states under a prefix, and returns their files.
func dropStates(tx *bolt.Tx, prefix []byte) (files []canon.Digest, err error) {
	all, err := statesOf(tx, prefix)
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		files = append(files, c.File)
		if err := tx.Bucket(bucketStates).Delete(stateKey(c)); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// endLanes forgets the lanes of a task that has a verdict. If its transcripts
// differ, their checkpoints stay for auditors.
func endLanes(tx *bolt.Tx, task []byte) (files []canon.Digest, err error) {
	if !disputed(tx, task) {
		files, err = dropStates(tx, task)
		if err != nil {
			return nil, err
		}
		more, err := dropLanes(tx, task)
		return append(files, more...), err
	}
	last, err := furthestOf(tx, task)
	if err != nil {
		return nil, err
	}
	if _, err := dropLanes(tx, task); err != nil {
		return nil, err
	}
	for _, a := range last {
		gone, err := pass(tx, a)
		if err != nil {
			return nil, err
		}
		files = append(files, gone...)
	}
	return files, nil
}

// disputed reports whether a task has transcripts that differ.
func disputed(tx *bolt.Tx, task []byte) bool {
	n := 0
	c := tx.Bucket(bucketLinks).Cursor()
	for k, _ := c.Seek(task); bytes.HasPrefix(k, task); k, _ = c.Next() {
		n++
	}
	return n > 1
}
