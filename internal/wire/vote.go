package wire

import (
	"crypto/ed25519"

	"github.com/countersign/countersign/internal/canon"
)

// VoteType is the type of a vote, a statement of its own.
const VoteType = "countersign.vote/v1"

// MaxVote is the cap on a vote's encoding, in bytes.
const MaxVote = 2048

// Vote is a worker's statement of how a lane ended.
type Vote struct {
	Type       string       `json:"type"`
	Order      canon.Digest `json:"order"`
	Task       uint64       `json:"task"`
	Lane       uint32       `json:"lane"`
	Lease      LeaseID      `json:"lease"`
	Module     canon.Digest `json:"module"`
	Input      canon.Digest `json:"input"`
	End        End          `json:"end"`
	Code       uint32       `json:"code"`
	Fuel       uint64       `json:"fuel"`
	Output     canon.Digest `json:"output"`
	Segments   uint32       `json:"segments"`
	Transcript canon.Digest `json:"transcript"`
	From       uint32       `json:"from"` // segments that were not this worker's
}

// End is how a run ended, of those that are voted on.
type End string

const (
	EndExit   End = "exit"
	EndTrap   End = "trap"
	EndFuel   End = "fuel"
	EndOutput End = "output"
	EndState  End = "state"
)

// Outcome is what votes agree on. It is comparable.
type Outcome struct {
	End        End
	Code       uint32
	Fuel       uint64
	Output     canon.Digest
	Segments   uint32
	Transcript canon.Digest
}

// Outcome returns what other votes must equal to agree.
func (v *Vote) Outcome() Outcome {
	return Outcome{v.End, v.Code, v.Fuel, v.Output, v.Segments, v.Transcript}
}

func (v *Vote) members(c *codec) {
	enum(c, "type", &v.Type, VoteType)
	c.hex("order", v.Order[:])
	integer(c, "task", &v.Task, 0, MaxTask)
	integer(c, "lane", &v.Lane, 0, MaxLane)
	c.hex("lease", v.Lease[:])
	c.hex("module", v.Module[:])
	c.hex("input", v.Input[:])
	enum(c, "end", &v.End, EndExit, EndTrap, EndFuel, EndOutput, EndState)
	integer(c, "code", &v.Code, 0, 1<<32-1)
	integer(c, "fuel", &v.Fuel, 0, canon.MaxInteger)
	c.hex("output", v.Output[:])
	integer(c, "segments", &v.Segments, 1, MaxSegments)
	c.hex("transcript", v.Transcript[:])
	integer(c, "from", &v.From, 0, MaxSegments-1)
	if c.err == nil && v.Code != 0 && v.End != EndExit {
		c.fail("code %d goes with end %q only", v.Code, EndExit)
	}
	c.begun(v.From, v.Segments)
}

// begun checks that a worker's word is about at least one segment.
func (c *codec) begun(from, segments uint32) {
	if c.err == nil && from >= segments {
		c.fail("from %d is not below segments %d", from, segments)
	}
}

// Statement returns the canonical encoding, which is what is signed. It is
// canon.Encode's, written out because a hub does this for every vote.
func (v *Vote) Statement() ([]byte, error) {
	if err := v.check(); err != nil {
		return nil, err
	}
	return v.encode(make([]byte, 0, 800)), nil
}

// encode appends the canonical encoding of a vote that is within its bounds.
func (v *Vote) encode(out []byte) []byte {
	w := writer{append(out, "{\n"...)}
	w.text("type", v.Type)
	w.hex("order", v.Order[:])
	w.number("task", v.Task)
	w.number("lane", uint64(v.Lane))
	w.hex("lease", v.Lease[:])
	w.hex("module", v.Module[:])
	w.hex("input", v.Input[:])
	w.text("end", string(v.End))
	w.number("code", uint64(v.Code))
	w.number("fuel", v.Fuel)
	w.hex("output", v.Output[:])
	w.number("segments", uint64(v.Segments))
	w.hex("transcript", v.Transcript[:])
	w.number("from", uint64(v.From))
	return w.end()
}

// ParseVote reads a vote's canonical encoding.
func ParseVote(statement []byte) (*Vote, error) {
	var v Vote
	if err := canon.Decode(statement, MaxVote, VoteType, &v); err != nil {
		return nil, err
	}
	if err := v.check(); err != nil {
		return nil, err
	}
	return &v, nil
}

// check applies the bounds of the wire by writing the vote as it does.
func (v *Vote) check() error { return checkBounds("vote", v.members) }

func checkBounds(what string, members func(*codec)) error {
	c := codec{out: []byte{'{'}}
	members(&c)
	if c.err != nil {
		return canon.Fail("bounds", "%s: %v", what, c.err)
	}
	return nil
}

// SignVote returns the worker's seal of v alone.
func SignVote(v *Vote, worker ed25519.PrivateKey) (Seal, error) {
	statement, err := v.Statement()
	if err != nil {
		return Seal{}, err
	}
	return Seal{Signature: Signature(ed25519.Sign(worker, statement))}, nil
}
