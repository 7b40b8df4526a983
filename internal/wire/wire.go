// Package wire has the messages between a hub and its workers, the votes that
// workers sign, and the codes of errors: docs/spec/wire.md.
//
// The messages are two closed unions, one for each direction. Every member of
// every message is bounded, and both when reading and when writing: a program
// that would send what its peer must refuse learns that at once.
package wire

import (
	"bytes"
	"time"

	"github.com/countersign/countersign/internal/canon"
)

// Protocol constants.
const (
	Subprotocol = "countersign.v1"
	WorkPath    = "/v1/work"

	MaxToHub      = 4 << 20 // bytes of one frame
	MaxJoin       = 8 << 10 // bytes of a frame before the welcome
	MaxToWorker   = 1 << 20
	MaxBatch      = 64   // messages in a frame
	MaxRate       = 1000 // messages a second that a hub takes of a worker
	MaxBurst      = 2000 // that it takes at once
	RateBytes     = 4096 // of a frame, that count as a message more
	MaxWant       = 64
	MaxInput      = 65536   // bytes of one task's input
	MaxProof      = 40      // hashes that prove an input
	MaxOutput     = 1 << 20 // bytes of one task's output
	MaxState      = 1 << 20 // bytes of what a segment hands on
	MaxSegments   = 1 << 14 // of one task
	LinkSize      = 32
	MaxTask       = 1<<40 - 1
	MaxLane       = 255
	MaxSeconds    = 1 << 20      // of a lease, and of a mean visit
	MaxToken      = 2048         // characters of a token
	MaxLeases     = MaxBatch - 1 // in a frame
	MaxLeaseToken = 8192         // characters of a token of leases
	MaxAgent      = 64
	MaxText       = 256
	MaxReason     = 200
	MaxErrorText  = 1000
	MaxRetry      = 3600 // seconds

	JoinTimeout   = 10 * time.Second
	ProgressEvery = time.Second     // for each lease, at most
	KeptEvery     = 5 * time.Second // at most one checkpoint of a lease is kept
	DefaultVisit  = time.Minute     // when the hub does not know
)

// FromHub is a message from a hub to a worker.
type FromHub interface {
	Message
	fromHub()
}

// FromWorker is a message from a worker to a hub.
type FromWorker interface {
	Message
	fromWorker()
}

// Message is a message in either direction.
type Message interface {
	kind() string
	members(*codec)
}

// DecodeFromHub reads a frame that a worker received: one message, or several.
func DecodeFromHub(frame []byte) ([]FromHub, error) {
	all, err := decodeAll(frame, MaxToWorker, hubMessages)
	if err != nil {
		return nil, err
	}
	return all, shareToken(all)
}

// shareToken gives a lease without a token that of the lease before in the frame.
func shareToken(frame []FromHub) error {
	token := ""
	for _, m := range frame {
		l, ok := m.(*Lease)
		switch {
		case !ok:
		case l.Token != "":
			token = l.Token
		case token == "":
			return canon.Fail(CodeMessage, "frame: a lease without a token, and none before it")
		default:
			l.Token = token
		}
	}
	return nil
}

// DecodeFromWorker reads a frame that a hub received: one message, or several.
func DecodeFromWorker(frame []byte) ([]FromWorker, error) {
	return decodeAll(frame, MaxToHub, workerMessages)
}

// newline stands between the messages of a frame, and never in one.
const newline = '\n'

// Frame makes a frame of messages, of which there are 1 to MaxBatch.
func Frame[M Message](messages ...M) (frame []byte, err error) {
	frame = make([]byte, 0, 1024*len(messages))
	for i, m := range messages {
		if i > 0 {
			frame = append(frame, newline)
		}
		if frame, err = Append(frame, m); err != nil {
			return nil, err
		}
	}
	return frame, nil
}

func decodeAll[M Message](frame []byte, limit int, union map[string]func() M) ([]M, error) {
	if len(frame) > limit {
		return nil, canon.Fail(CodeMessage, "frame: %d bytes, at most %d allowed", len(frame), limit)
	}
	n := bytes.Count(frame, []byte{newline}) + 1
	if n > MaxBatch {
		return nil, canon.Fail(CodeMessage, "frame: %d messages, at most %d allowed", n, MaxBatch)
	}
	all := make([]M, 0, n)
	var p parser
	for data := range bytes.SplitSeq(frame, []byte{newline}) {
		m, err := decode(&p, data, union)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// Encode writes a message. It fails when a value is out of bounds.
func Encode(m Message) ([]byte, error) { return Append(make([]byte, 0, 256), m) }

// Append writes a message behind what is in out.
func Append(out []byte, m Message) ([]byte, error) {
	c := codec{out: out}
	c.open()
	kind := m.kind()
	c.text("type", &kind, 1, maxKind)
	m.members(&c)
	c.close()
	if c.err != nil {
		return nil, c.failed(kind)
	}
	limit := MaxToHub
	if _, ok := m.(FromHub); ok {
		limit = MaxToWorker
	}
	if size := len(c.out) - len(out); size > limit {
		return nil, canon.Fail(CodeMessage, "message %s: %d bytes, at most %d allowed", kind, size, limit)
	}
	return c.out, nil
}

const maxKind = 16

func decode[M Message](p *parser, data []byte, union map[string]func() M) (M, error) {
	var none M
	o, err := p.parse(data)
	if err != nil {
		return none, err
	}
	c := codec{in: o}
	kind, ok := c.reading("type", isString)
	if !ok {
		return none, c.failed("of unknown type")
	}
	create, ok := union[string(kind.value)]
	if !ok {
		return none, canon.Fail(CodeMessage, "message: type %.40q is not known here", kind.value)
	}
	m := create()
	m.members(&c)
	c.close()
	if c.err != nil {
		return none, c.failed(m.kind())
	}
	return m, nil
}
