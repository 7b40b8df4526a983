package store

import (
	"bytes"

	bolt "go.etcd.io/bbolt"

	"github.com/countersign/countersign/internal/canon"
)

// PutLinks keeps the links of a vote's transcript, for auditors who settle a
// dispute by its first differing segment. They are dropped when the task has a
// verdict and all its transcripts were the same. It is to be called before
// PutVote, and does not wait.
func (s *Store) PutLinks(v *Vote, links []byte, done func(error)) error {
	return s.group.submit(write{size: len(links), now: true, done: done, apply: func(tx *bolt.Tx) error {
		task := taskKey(v.Order, v.Task)
		if tx.Bucket(bucketVerdicts).Get(task) != nil || tx.Bucket(bucketVotes).Get(append(task, v.Worker[:]...)) != nil {
			return nil // late, or a worker's second vote, which is not taken
		}
		b := tx.Bucket(bucketLinks)
		if key := append(task, v.Transcript[:]...); b.Get(key) == nil {
			return b.Put(key, links)
		}
		return nil
	}})
}

// Links returns those of a transcript of a task, or nil.
func (s *Store) Links(order canon.Digest, task uint64, transcript canon.Digest) (links []byte, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		links = bytes.Clone(tx.Bucket(bucketLinks).Get(append(taskKey(order, task), transcript[:]...)))
		return nil
	})
	return links, err
}

// dropLinks forgets the links of a task that is not disputed.
func dropLinks(tx *bolt.Tx, task []byte) error {
	b := tx.Bucket(bucketLinks)
	var keys [][]byte
	c := b.Cursor()
	for k, _ := c.Seek(task); bytes.HasPrefix(k, task); k, _ = c.Next() {
		keys = append(keys, bytes.Clone(k))
	}
	if len(keys) != 1 {
		return nil
	}
	return b.Delete(keys[0])
}
