package wire

import (
	"crypto/ed25519"

	"github.com/countersign/countersign/internal/canon"
)

// CheckpointType is the type of a worker's statement about a checkpoint.
const CheckpointType = "countersign.checkpoint/v1"

// MaxCheckpoint is the cap on a checkpoint's statement, in bytes, and
// MaxCheckpointFile that on the file.
const (
	MaxCheckpoint     = MaxVote
	MaxCheckpointFile = MaxToHub
)

// Reached is a worker's statement of how far a lane has come.
type Reached struct {
	Type       string       `json:"type"`
	Order      canon.Digest `json:"order"`
	Task       uint64       `json:"task"`
	Lane       uint32       `json:"lane"`
	Lease      LeaseID      `json:"lease"`
	Module     canon.Digest `json:"module"`
	Input      canon.Digest `json:"input"`
	Segments   uint32       `json:"segments"`
	Fuel       uint64       `json:"fuel"`
	Transcript canon.Digest `json:"transcript"`
	State      canon.Digest `json:"state"`
	Output     canon.Digest `json:"output"`
	From       uint32       `json:"from"`
}

// Checkpoint is what it takes to go on with a lane, and who says so.
type Checkpoint struct {
	Reached   Reached
	Signature Signature
	State     []byte
	Output    []byte // so far
	Links     []byte // so far, LinkSize bytes each
}

// CheckpointFile is a checkpoint as a hub hands it on.
type CheckpointFile struct {
	Worker Key
	Checkpoint
}

func (r *Reached) members(c *codec) {
	enum(c, "type", &r.Type, CheckpointType)
	c.hex("order", r.Order[:])
	integer(c, "task", &r.Task, 0, MaxTask)
	integer(c, "lane", &r.Lane, 0, MaxLane)
	c.hex("lease", r.Lease[:])
	c.hex("module", r.Module[:])
	c.hex("input", r.Input[:])
	integer(c, "segments", &r.Segments, 1, MaxSegments-1)
	integer(c, "fuel", &r.Fuel, 0, canon.MaxInteger)
	c.hex("transcript", r.Transcript[:])
	c.hex("state", r.State[:])
	c.hex("output", r.Output[:])
	integer(c, "from", &r.From, 0, MaxSegments-1)
	c.begun(r.From, r.Segments)
}

func (p *Checkpoint) members(c *codec) {
	c.object("checkpoint", p.Reached.members)
	c.hex("signature", p.Signature[:])
	c.base64("state", &p.State, MaxState)
	c.base64("output", &p.Output, MaxOutput)
	c.base64("links", &p.Links, (MaxSegments-1)*LinkSize)
}

func (f *CheckpointFile) members(c *codec) {
	c.hex("worker", f.Worker[:])
	f.Checkpoint.members(c)
}

// Encode writes the file.
func (f *CheckpointFile) Encode() ([]byte, error) {
	c := codec{out: make([]byte, 0, 2048+(len(f.State)+len(f.Output)+len(f.Links))*4/3)}
	c.open()
	f.members(&c)
	c.close()
	if c.err != nil {
		return nil, c.failed("checkpoint file")
	}
	return c.out, nil
}

// ParseCheckpointFile reads the file. What it says is not verified by that.
func ParseCheckpointFile(data []byte) (*CheckpointFile, error) {
	if len(data) > MaxCheckpointFile {
		return nil, canon.Fail(CodeMessage, "checkpoint file: %d bytes, at most %d allowed", len(data), MaxCheckpointFile)
	}
	o, err := parseObject(data)
	if err != nil {
		return nil, err
	}
	c := codec{in: o}
	f := new(CheckpointFile)
	f.members(&c)
	c.close()
	if c.err != nil {
		return nil, c.failed("checkpoint file")
	}
	return f, nil
}

// Statement returns the canonical encoding, which is what is signed.
func (r *Reached) Statement() ([]byte, error) {
	if err := checkBounds("checkpoint", r.members); err != nil {
		return nil, err
	}
	w := newWriter()
	w.text("type", r.Type)
	w.text("order", r.Order.String())
	w.number("task", r.Task)
	w.number("lane", uint64(r.Lane))
	w.text("lease", r.Lease.String())
	w.text("module", r.Module.String())
	w.text("input", r.Input.String())
	w.number("segments", uint64(r.Segments))
	w.number("fuel", r.Fuel)
	w.text("transcript", r.Transcript.String())
	w.text("state", r.State.String())
	w.text("output", r.Output.String())
	w.number("from", uint64(r.From))
	return w.end(), nil
}

// ParseReached reads the canonical encoding.
func ParseReached(statement []byte) (*Reached, error) {
	var r Reached
	if err := canon.Decode(statement, MaxCheckpoint, CheckpointType, &r); err != nil {
		return nil, err
	}
	if err := checkBounds("checkpoint", r.members); err != nil {
		return nil, err
	}
	return &r, nil
}

// SignReached returns the worker's signature of r.
func SignReached(r *Reached, worker ed25519.PrivateKey) (Signature, error) {
	statement, err := r.Statement()
	if err != nil {
		return Signature{}, err
	}
	return Signature(ed25519.Sign(worker, statement)), nil
}

// VerifyReached checks the worker's signature of r.
func VerifyReached(r *Reached, worker Key, sig Signature) error {
	statement, err := r.Statement()
	if err != nil {
		return err
	}
	if !ed25519.Verify(worker[:], statement, sig[:]) {
		return r.fail("the signature is not worker %s's", worker)
	}
	return nil
}

// Verify checks that the bytes of a checkpoint are those that its statement
// names, and that worker signed it. Whether the state is right it cannot say.
func (p *Checkpoint) Verify(worker Key) error {
	r := &p.Reached
	switch {
	case canon.Sum(p.State) != r.State:
		return r.fail("the state is not the signed one")
	case canon.Sum(p.Output) != r.Output:
		return r.fail("the output is not the signed one")
	case !ChainEnds(p.Links, r.Segments, r.Transcript):
		return r.fail("the links do not end in the transcript after %d segments", r.Segments)
	}
	return VerifyReached(r, worker, p.Signature)
}

func (r *Reached) fail(format string, args ...any) error {
	args = append([]any{r.Task, r.Order.Short()}, args...)
	return canon.Fail(CodeCheckpoint, "checkpoint of task %d of order %s: "+format, args...)
}

// ChainEnds reports whether links are those of so many segments and the last
// is the transcript.
func ChainEnds(links []byte, segments uint32, transcript canon.Digest) bool {
	return segments > 0 && len(links) == int(segments)*LinkSize && canon.Digest(links[len(links)-LinkSize:]) == transcript
}
