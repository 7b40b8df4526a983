package wire

import (
	"crypto/ed25519"

	"github.com/countersign/countersign/internal/canon"
)

// RefutationType is the type of a refutation, a statement of its own.
const RefutationType = "countersign.refutation/v1"

// Refutation is an auditor's statement that one segment of a transcript is wrong:
// behind the link Before, segment number Segment has Link, and Transcript has
// another.
type Refutation struct {
	Type       string       `json:"type"`
	Order      canon.Digest `json:"order"`
	Task       uint64       `json:"task"`
	Module     canon.Digest `json:"module"`
	Input      canon.Digest `json:"input"`
	Segment    uint32       `json:"segment"`
	Before     canon.Digest `json:"before"` // zero: it is the first
	Link       canon.Digest `json:"link"`
	Transcript canon.Digest `json:"transcript"`
}

// RefutationRequest is the body of POST /v1/refutations, with an auditor's token.
type RefutationRequest struct {
	Auditor    Key        `json:"auditor"`
	Refutation Refutation `json:"refutation"`
	Signature  Signature  `json:"signature"`
}

// Refuted answers POST /v1/refutations.
type Refuted struct {
	Caught []Key `json:"caught"` // who signed the wrong segment as their own
}

// CheckpointList answers GET /v1/orders/<digest>/tasks/<task>/checkpoints.
type CheckpointList struct {
	Checkpoints []CheckpointInfo `json:"checkpoints"` // by segments
}

// CheckpointInfo is a checkpoint that the hub has of a task.
type CheckpointInfo struct {
	Segments uint32       `json:"segments"`
	Worker   Key          `json:"worker"`
	SHA256   canon.Digest `json:"sha256"` // of the file under /c/
}

// Statement returns the canonical encoding, which is what is signed.
func (r *Refutation) Statement() ([]byte, error) {
	switch {
	case r.Type != RefutationType:
		return nil, canon.Fail("bounds", "refutation: type %q", r.Type)
	case r.Task > MaxTask || r.Segment >= MaxSegments:
		return nil, canon.Fail("bounds", "refutation: segment %d of task %d", r.Segment, r.Task)
	case (r.Segment == 0) != (r.Before == canon.Digest{}):
		return nil, canon.Fail("bounds", "refutation: no link is before the first segment, and one before every other")
	}
	return canon.Encode(r)
}

// ParseRefutation reads a refutation's canonical encoding.
func ParseRefutation(statement []byte) (*Refutation, error) {
	var r Refutation
	if err := canon.Decode(statement, MaxVote, RefutationType, &r); err != nil {
		return nil, err
	}
	_, err := r.Statement()
	return &r, err
}

// SignRefutation returns the auditor's signature of r.
func SignRefutation(r *Refutation, auditor ed25519.PrivateKey) (Signature, error) {
	statement, err := r.Statement()
	if err != nil {
		return Signature{}, err
	}
	return Signature(ed25519.Sign(auditor, statement)), nil
}

// VerifyRefutation checks the auditor's signature of r.
func VerifyRefutation(r *Refutation, auditor Key, sig Signature) error {
	statement, err := r.Statement()
	if err != nil {
		return err
	}
	if !ed25519.Verify(auditor[:], statement, sig[:]) {
		return canon.Fail(CodeVoteSignature, "refutation of a vote on task %d of order %s: the signature is not auditor %s's", r.Task, r.Order.Short(), auditor)
	}
	return nil
}

// Refutes reports whether these are the links of a transcript that r refutes.
func (r *Refutation) Refutes(links []byte) bool {
	at := int(r.Segment) * LinkSize
	if len(links) < at+LinkSize || canon.Digest(links[at:]) == r.Link {
		return false
	}
	return r.Segment == 0 || canon.Digest(links[at-LinkSize:]) == r.Before
}
