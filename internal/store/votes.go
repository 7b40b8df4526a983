package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

// Vote is a vote as it was taken.
type Vote struct {
	wire.Vote
	Worker wire.Key
	Seal   wire.Seal
	Net    netip.Prefix // of the lease
	At     time.Time
}

// Put is what became of a vote.
type Put int

const (
	Stored   Put = iota // it is the worker's vote on the task
	Same                // the worker had voted so before
	Conflict            // the worker had voted otherwise before; that vote stays
)

// PutVote makes a vote and its output durable, and then calls done with what
// became of it. A worker's first vote on a task stays. If PutVote returns an
// error, done is not called.
func (s *Store) PutVote(v Vote, output []byte, done func(Put, error)) error {
	var put Put
	value, err := encodeVote(v)
	if err != nil {
		return err
	}
	return s.group.submit(write{
		size: len(value) + len(output),
		apply: func(tx *bolt.Tx) (err error) {
			put, err = putVote(tx, v, value, output)
			return err
		},
		done: func(err error) { done(put, err) },
	})
}

func putVote(tx *bolt.Tx, v Vote, value, output []byte) (Put, error) {
	votes := tx.Bucket(bucketVotes)
	task := taskKey(v.Order, v.Task)
	key := append(task, v.Worker[:]...)
	if old := votes.Get(key); old != nil {
		before, err := decodeVote(key, old)
		if err != nil {
			return 0, err
		}
		if before.Outcome() == v.Outcome() {
			return Same, nil
		}
		return Conflict, nil
	}
	if err := votes.Put(key, value); err != nil {
		return 0, err
	}
	if len(output) == 0 || final(tx, task) {
		return Stored, nil // the verdict has its output already
	}
	outputs := tx.Bucket(bucketOutputs)
	if key := append(task, v.Output[:]...); outputs.Get(key) == nil {
		return Stored, outputs.Put(key, output)
	}
	return Stored, nil
}

// Votes calls each for every vote, in the order of order, task and worker.
func (s *Store) Votes(each func(Vote) error) error {
	return s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketVotes).ForEach(func(k, value []byte) error {
			v, err := decodeVote(k, value)
			if err != nil {
				return err
			}
			return each(v)
		})
	})
}

// VotesOf returns votes of an order from a task on: all of each task, and no
// further task once there are n.
func (s *Store) VotesOf(order canon.Digest, from uint64, n int) (page []Vote, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		c := tx.Bucket(bucketVotes).Cursor()
		for k, value := c.Seek(taskKey(order, from)); bytes.HasPrefix(k, order[:]); k, value = c.Next() {
			v, err := decodeVote(k, value)
			if err != nil {
				return err
			}
			if len(page) >= n && v.Task != page[len(page)-1].Task {
				return nil
			}
			page = append(page, v)
		}
		return nil
	})
	return page, err
}

// taskKey is the prefix of all keys of a task. Its capacity is its length, so
// appending copies.
func taskKey(order canon.Digest, task uint64) []byte {
	key := binary.BigEndian.AppendUint64(append([]byte(nil), order[:]...), task)
	return key[:len(key):len(key)]
}

var ends = []wire.End{wire.EndExit, wire.EndTrap, wire.EndFuel, wire.EndOutput, wire.EndState}

const (
	voteVersion = 3 // as 2, which has votes that are signed alone, and no place
	voteKey     = 32 + 8 + 32
	voteFixed   = 1 + 2 + 16 + 32 + 32 + outcomeSize + 2 + 64 + 8
	outcomeSize = 1 + 4 + 8 + 32 + 2 + 32
)

// A vote's value: version, lane, lease, module, input, outcome, from,
// signature, time in milliseconds, votes on the sheet (0: no sheet), index and
// path on it if there is one, network.
func encodeVote(v Vote) ([]byte, error) {
	net, err := v.Net.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("encoding a vote's network %v: %w", v.Net, err)
	}
	b := append(make([]byte, 0, voteFixed+256+len(net)), voteVersion)
	b = binary.BigEndian.AppendUint16(b, uint16(v.Lane))
	b = append(append(append(b, v.Lease[:]...), v.Module[:]...), v.Input[:]...)
	b = appendOutcome(b, v.Outcome())
	b = binary.BigEndian.AppendUint16(b, uint16(v.From))
	b = append(b, v.Seal.Signature[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(v.At.UnixMilli()))
	if p := v.Seal.Place; p != nil {
		b = append(append(b, byte(p.Votes), byte(p.Index)), p.Path...)
	} else {
		b = append(b, 0)
	}
	return append(b, net...), nil
}

func decodeVote(k, b []byte) (v Vote, err error) {
	if len(k) != voteKey || len(b) < voteFixed || b[0] != voteVersion && b[0] != 2 {
		return v, fmt.Errorf("vote %x: a value of %d bytes is damaged", k, len(b))
	}
	version := b[0]
	v.Type = wire.VoteType
	v.Order = canon.Digest(k[:32])
	v.Task = binary.BigEndian.Uint64(k[32:])
	v.Worker = wire.Key(k[40:])
	v.Lane = uint32(binary.BigEndian.Uint16(b[1:]))
	b = b[3:]
	v.Lease, v.Module, v.Input = wire.LeaseID(b[:16]), canon.Digest(b[16:48]), canon.Digest(b[48:80])
	b = b[80:]
	o, err := decodeOutcome(b)
	if err != nil {
		return v, fmt.Errorf("vote %x: %w", k, err)
	}
	v.End, v.Code, v.Fuel, v.Output, v.Segments, v.Transcript = o.End, o.Code, o.Fuel, o.Output, o.Segments, o.Transcript
	v.From = uint32(binary.BigEndian.Uint16(b[outcomeSize:]))
	b = b[outcomeSize+2:]
	v.Seal.Signature = wire.Signature(b[:64])
	v.At = time.UnixMilli(int64(binary.BigEndian.Uint64(b[64:])))
	b = b[72:]
	if version != 2 {
		if v.Seal.Place, b, err = decodePlace(b); err != nil {
			return v, fmt.Errorf("vote %x: %w", k, err)
		}
	}
	if err := v.Net.UnmarshalBinary(b); err != nil {
		return v, fmt.Errorf("vote %x: network: %w", k, err)
	}
	return v, nil
}

// decodePlace reads where a vote stands on a sheet, if on one, and returns what
// comes behind.
func decodePlace(b []byte) (*wire.Place, []byte, error) {
	if len(b) > 0 && b[0] == 0 {
		return nil, b[1:], nil
	}
	if len(b) < 2 || b[1] >= b[0] {
		return nil, nil, errors.New("damaged: no place on a sheet")
	}
	p := &wire.Place{Votes: uint32(b[0]), Index: uint32(b[1])}
	n := 2 + wire.PathSize(p.Votes, p.Index)
	if len(b) < n {
		return nil, nil, errors.New("damaged: its path is short")
	}
	p.Path = bytes.Clone(b[2:n])
	return p, b[n:], nil
}

func appendOutcome(b []byte, o wire.Outcome) []byte {
	end := byte(0)
	for i, e := range ends {
		if e == o.End {
			end = byte(i) + 1
		}
	}
	b = binary.BigEndian.AppendUint32(append(b, end), o.Code)
	b = append(binary.BigEndian.AppendUint64(b, o.Fuel), o.Output[:]...)
	return append(binary.BigEndian.AppendUint16(b, uint16(o.Segments)), o.Transcript[:]...)
}

func decodeOutcome(b []byte) (o wire.Outcome, err error) {
	if b[0] < 1 || int(b[0]) > len(ends) {
		return o, errors.New("damaged: no such end")
	}
	o.End = ends[b[0]-1]
	o.Code, o.Fuel, o.Output = binary.BigEndian.Uint32(b[1:]), binary.BigEndian.Uint64(b[5:]), canon.Digest(b[13:45])
	o.Segments, o.Transcript = uint32(binary.BigEndian.Uint16(b[45:])), canon.Digest(b[47:79])
	return o, nil
}
