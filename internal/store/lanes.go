package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"

	bolt "go.etcd.io/bbolt"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

// Checkpoint says how far an author brought a lane.
type Checkpoint struct {
	Order    canon.Digest
	Task     uint64
	Lane     uint32
	Worker   wire.Key
	Net      netip.Prefix // of the lease
	Segments uint32
	File     canon.Digest
}

// PutCheckpoint makes a checkpoint and its file durable, and then calls done
// with whether it is the lane's now. It is not when the lane has one of as many
// segments, or the task a verdict. ErrFull means that there is no room, or none for this network; if
// PutCheckpoint returns an error, done is not called.
func (s *Store) PutCheckpoint(c Checkpoint, file []byte, done func(kept bool, err error)) error {
	value, err := encodeAuthor(c)
	if err != nil {
		return err
	}
	c.File = canon.Sum(file)
	if err := s.files.put(c.File, c.Net, file); err != nil {
		return err
	}
	var kept bool
	var gone []canon.Digest
	// If the store is closed, the file stays: a record may name it already, and
	// one that none names is cleared away at the next start.
	return s.group.submit(write{
		size: len(value),
		apply: func(tx *bolt.Tx) (err error) {
			kept, gone, err = putCheckpoint(tx, c, s.files.roomy)
			return err
		},
		done: func(err error) {
			if err == nil {
				s.files.remove(gone)
			}
			done(kept, err)
		},
	})
}

// putCheckpoint returns the file that is not needed any more.
func putCheckpoint(tx *bolt.Tx, c Checkpoint, roomy func(netip.Prefix) bool) (kept bool, gone []canon.Digest, err error) {
	if tx.Bucket(bucketVerdicts).Get(taskKey(c.Order, c.Task)) != nil {
		return false, unneeded(tx, c), nil
	}
	lanes := tx.Bucket(bucketLanes)
	lane := laneKey(c.Order, c.Task, c.Lane)
	best, err := furthest(lanes, lane)
	switch {
	case err != nil:
		return false, nil, err
	case best.File == c.File:
		return true, nil, nil
	case best.Segments >= c.Segments:
		return false, unneeded(tx, c), nil
	case best.Segments > 0 && roomy(best.Net):
		gone, err = pass(tx, best)
	case best.Segments > 0:
		gone = []canon.Digest{best.File}
	}
	if err != nil {
		return false, nil, err
	}
	value, err := encodeAuthor(c)
	if err != nil {
		return false, nil, err
	}
	return true, gone, lanes.Put(append(lane, c.Worker[:]...), value)
}

// furthest returns the checkpoint of a lane, which its last author made; the
// zero Checkpoint: there is none.
func furthest(lanes *bolt.Bucket, lane []byte) (best Checkpoint, err error) {
	c := lanes.Cursor()
	for k, v := c.Seek(lane); bytes.HasPrefix(k, lane); k, v = c.Next() {
		a, err := decodeAuthor(k, v)
		if err != nil {
			return best, err
		}
		if a.Segments > best.Segments {
			best = a
		}
	}
	return best, nil
}

// dropLanes forgets the checkpoints of a task or an order, and returns their
// files.
func dropLanes(tx *bolt.Tx, prefix []byte) (files []canon.Digest, err error) {
	lanes := tx.Bucket(bucketLanes)
	var keys [][]byte
	c := lanes.Cursor()
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		a, err := decodeAuthor(k, v)
		if err != nil {
			return nil, err
		}
		keys, files = append(keys, bytes.Clone(k)), append(files, a.File)
	}
	for _, k := range keys {
		if err := lanes.Delete(k); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// DropCheckpoints forgets the checkpoints of an order that has ended, but for
// those of disputed tasks. It does not wait.
func (s *Store) DropCheckpoints(order canon.Digest, done func(error)) error {
	var gone []canon.Digest
	return s.group.submit(write{
		now: true,
		apply: func(tx *bolt.Tx) (err error) {
			gone, err = endAll(tx, order)
			return err
		},
		done: func(err error) {
			if err == nil {
				s.files.remove(gone)
			}
			done(err)
		},
	})
}

// Checkpoints calls each for every author of every lane. A lane's checkpoint
// is that of the most segments.
func (s *Store) Checkpoints(each func(Checkpoint) error) error {
	return s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketLanes).ForEach(func(k, v []byte) error {
			c, err := decodeAuthor(k, v)
			if err != nil {
				return err
			}
			return each(c)
		})
	})
}

const (
	laneKeySize = 32 + 8 + 2
	authorFixed = 2 + 32
)

func laneKey(order canon.Digest, task uint64, lane uint32) []byte {
	key := binary.BigEndian.AppendUint16(taskKey(order, task), uint16(lane))
	return key[:len(key):len(key)]
}

// An author's value: segments, file, network. Its key: lane, worker.
func encodeAuthor(c Checkpoint) ([]byte, error) {
	net, err := c.Net.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("encoding a checkpoint's network %v: %w", c.Net, err)
	}
	b := binary.BigEndian.AppendUint16(nil, uint16(c.Segments))
	return append(append(b, c.File[:]...), net...), nil
}

func decodeAuthor(k, v []byte) (c Checkpoint, err error) {
	if len(k) != laneKeySize+32 || len(v) < authorFixed {
		return c, fmt.Errorf("checkpoint %x: a value of %d bytes is damaged", k, len(v))
	}
	c.Order, c.Task = canon.Digest(k[:32]), binary.BigEndian.Uint64(k[32:])
	c.Lane, c.Worker = uint32(binary.BigEndian.Uint16(k[40:])), wire.Key(k[laneKeySize:])
	c.Segments, c.File = uint32(binary.BigEndian.Uint16(v)), canon.Digest(v[2:authorFixed])
	if err := c.Net.UnmarshalBinary(v[authorFixed:]); err != nil {
		return c, fmt.Errorf("checkpoint %x: network: %w", k, err)
	}
	return c, nil
}
