package store

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/translog"
	"github.com/countersign/countersign/internal/wire"
)

// Kind is what a statement is.
type Kind string

// Kinds of statements.
const (
	Release Kind = "release"
	Order   Kind = "order"
	Stop    Kind = "stop"
	Policy  Kind = "policy"
	Pause   Kind = "pause"
)

func (k Kind) bucket() []byte {
	switch k {
	case Release:
		return bucketReleases
	case Order:
		return bucketOrders
	case Stop:
		return bucketStops
	case Policy:
		return bucketPolicies
	case Pause:
		return bucketPauses
	}
	panic("store: no such kind of statement: " + string(k))
}

// Statement is an admitted statement.
type Statement struct {
	Digest    canon.Digest
	Bytes     []byte
	Signature []byte
	Seq       uint64 // in the order of admission, of its kind
	At        time.Time
	Input     canon.Digest // blob of an order's input file; zero: none
}

// PutStatement makes an admitted statement durable, and a leaf of the log in
// the same transaction. It reports whether it is new; one that was there stays
// as it was. A statement that is too long for the log is refused.
func (s *Store) PutStatement(kind Kind, st Statement) (fresh bool, err error) {
	st.Digest = canon.Sum(st.Bytes)
	kind.number() // one that is not in the log must not begin a transaction
	if _, err := translog.Entry(st.Bytes, st.Signature); err != nil {
		return false, err
	}
	err = s.group.wait(write{size: len(st.Bytes), apply: func(tx *bolt.Tx) error {
		b := tx.Bucket(kind.bucket())
		if fresh = b.Get(st.Digest[:]) == nil; !fresh {
			return nil
		}
		seq, err := b.NextSequence()
		if err != nil {
			return err
		}
		st.Seq = seq
		if st.Input != (canon.Digest{}) {
			if err := tx.Bucket(bucketInputs).Put(st.Digest[:], st.Input[:]); err != nil {
				return err
			}
		}
		if err := b.Put(st.Digest[:], encodeStatement(st)); err != nil {
			return err
		}
		afterStatement()
		return appendLeaf(tx, kind, st)
	}})
	return fresh, err
}

// PutInput makes durable which blob has the gathered inputs of an order. The
// first one stands.
func (s *Store) PutInput(order, blob canon.Digest) error {
	return s.group.wait(write{size: len(blob), apply: func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketInputs)
		if b.Get(order[:]) != nil {
			return nil
		}
		return b.Put(order[:], blob[:])
	}})
}

// Statements calls each for every statement of a kind, in the order of their
// digests.
func (s *Store) Statements(kind Kind, each func(Statement) error) error {
	return s.db.View(func(tx *bolt.Tx) error {
		inputs := tx.Bucket(bucketInputs)
		return tx.Bucket(kind.bucket()).ForEach(func(k, v []byte) error {
			st, err := decodeStatement(k, v)
			if err != nil {
				return fmt.Errorf("%s %x: %w", kind, k, err)
			}
			if d := inputs.Get(k); len(d) == len(st.Input) {
				st.Input = canon.Digest(d)
			}
			return each(st)
		})
	})
}

// A statement's value: sequence number, time in milliseconds, length of the
// signature, signature, statement.
func encodeStatement(st Statement) []byte {
	v := binary.BigEndian.AppendUint64(nil, st.Seq)
	v = binary.BigEndian.AppendUint64(v, uint64(st.At.UnixMilli()))
	v = binary.BigEndian.AppendUint32(v, uint32(len(st.Signature)))
	return append(append(v, st.Signature...), st.Bytes...)
}

func decodeStatement(k, v []byte) (Statement, error) {
	if len(k) != len(canon.Digest{}) || len(v) < 20 || len(v)-20 < int(binary.BigEndian.Uint32(v[16:])) {
		return Statement{}, fmt.Errorf("a value of %d bytes is damaged", len(v))
	}
	n := binary.BigEndian.Uint32(v[16:])
	st := Statement{
		Digest:    canon.Digest(k),
		Seq:       binary.BigEndian.Uint64(v),
		At:        time.UnixMilli(int64(binary.BigEndian.Uint64(v[8:]))),
		Signature: append([]byte(nil), v[20:20+n]...),
		Bytes:     append([]byte(nil), v[20+n:]...),
	}
	if canon.Sum(st.Bytes) != st.Digest {
		return Statement{}, fmt.Errorf("the bytes have changed on disk")
	}
	return st, nil
}

// Kill is what an operator did: a kill, the lifting of a halt, or, of an order,
// a pause or the end of one.
type Kill struct {
	Seq      uint64     `json:"-"` // in the order in which they came
	Scope    wire.Scope `json:"scope"`
	Target   string     `json:"target"`
	Reason   string     `json:"reason"`
	Operator string     `json:"operator"` // the token's id
	Resume   bool       `json:"resume"`
	Pause    bool       `json:"pause,omitempty"`
	At       time.Time  `json:"at"`
}

// PutKill makes a kill durable, behind all that were before it, and returns its
// number among them.
func (s *Store) PutKill(k Kill) (seq uint64, err error) {
	value, err := json.Marshal(k)
	if err != nil {
		return 0, err
	}
	err = s.group.wait(write{size: len(value), apply: func(tx *bolt.Tx) (err error) {
		b := tx.Bucket(bucketOperator)
		if seq, err = b.NextSequence(); err != nil {
			return err
		}
		return b.Put(binary.BigEndian.AppendUint64(nil, seq), value)
	}})
	return seq, err
}

// Kills calls each for every kill, in the order in which they came.
func (s *Store) Kills(each func(Kill) error) error {
	return s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketOperator).ForEach(func(key, v []byte) error {
			var k Kill
			if err := json.Unmarshal(v, &k); err != nil || len(key) != 8 {
				return fmt.Errorf("kill %x: %w", key, cmp.Or(err, errors.New("its key is damaged")))
			}
			k.Seq = binary.BigEndian.Uint64(key)
			return each(k)
		})
	})
}
