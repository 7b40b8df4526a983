package wire

import (
	"crypto/ed25519"

	"github.com/countersign/countersign/internal/canon"
)

// AuditType is the type of an audit, a statement of its own.
const AuditType = "countersign.audit/v1"

// Audit is an auditor's statement of what a task comes to.
type Audit struct {
	Type       string       `json:"type"`
	Order      canon.Digest `json:"order"`
	Task       uint64       `json:"task"`
	Module     canon.Digest `json:"module"`
	Input      canon.Digest `json:"input"`
	End        End          `json:"end"`
	Code       uint32       `json:"code"`
	Fuel       uint64       `json:"fuel"`
	Output     canon.Digest `json:"output"`
	Segments   uint32       `json:"segments"`
	Transcript canon.Digest `json:"transcript"`
}

// AuditRequest is the body of POST /v1/audits, with an auditor's token.
type AuditRequest struct {
	Auditor   Key       `json:"auditor"`
	Audit     Audit     `json:"audit"`
	Signature Signature `json:"signature"`
	Output    []byte    `json:"output"`
}

// Audited answers POST /v1/audits.
type Audited struct {
	Verdict string `json:"verdict"` // decided (there was none), confirmed or overturned
}

// Outcome returns what votes must equal to agree.
func (a *Audit) Outcome() Outcome {
	return Outcome{a.End, a.Code, a.Fuel, a.Output, a.Segments, a.Transcript}
}

// Statement returns the canonical encoding, which is what is signed. Its bounds
// are those of a vote.
func (a *Audit) Statement() ([]byte, error) {
	as := Vote{Type: VoteType, Order: a.Order, Task: a.Task, Module: a.Module, Input: a.Input, End: a.End, Code: a.Code, Fuel: a.Fuel,
		Output: a.Output, Segments: a.Segments, Transcript: a.Transcript}
	if err := as.check(); err != nil {
		return nil, err
	}
	if a.Type != AuditType {
		return nil, canon.Fail("bounds", "audit: type %q", a.Type)
	}
	return canon.Encode(a)
}

// ParseAudit reads an audit's canonical encoding.
func ParseAudit(statement []byte) (*Audit, error) {
	var a Audit
	if err := canon.Decode(statement, MaxVote, AuditType, &a); err != nil {
		return nil, err
	}
	_, err := a.Statement()
	return &a, err
}

// SignAudit returns the auditor's signature of a.
func SignAudit(a *Audit, auditor ed25519.PrivateKey) (Signature, error) {
	statement, err := a.Statement()
	if err != nil {
		return Signature{}, err
	}
	return Signature(ed25519.Sign(auditor, statement)), nil
}

// VerifyAudit checks the auditor's signature of a.
func VerifyAudit(a *Audit, auditor Key, sig Signature) error {
	statement, err := a.Statement()
	if err != nil {
		return err
	}
	if !ed25519.Verify(auditor[:], statement, sig[:]) {
		return canon.Fail(CodeVoteSignature, "audit of task %d of order %s: the signature is not auditor %s's", a.Task, a.Order.Short(), auditor)
	}
	return nil
}
