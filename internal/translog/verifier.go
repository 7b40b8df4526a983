package translog

import (
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/canon"
)

// MaxAhead is how far a cosignature may be ahead of the reader's clock.
const MaxAhead = 10 * time.Minute

// Verifier is what somebody trusts: a log's key, and how many of which
// witnesses must have cosigned.
type Verifier struct {
	log       VKey
	witnesses []VKey
	quorum    int
}

// NewVerifier reads the keys. quorum is how many of the witnesses must have
// cosigned; 0 asks for none of them.
func NewVerifier(log string, witnesses []string, quorum int) (*Verifier, error) {
	v := &Verifier{quorum: quorum}
	var err error
	if v.log, err = ParseVKey(LogKey, log); err != nil {
		return nil, err
	}
	names, keys := map[string]bool{v.log.Name: true}, map[[32]byte]bool{v.log.key: true}
	for _, text := range witnesses {
		w, err := ParseVKey(WitnessKey, text)
		if err != nil {
			return nil, err
		}
		if names[w.Name] || keys[w.key] {
			return nil, fmt.Errorf("witness key %s: its name or its key stands twice, and would be counted twice", w)
		}
		names[w.Name], keys[w.key] = true, true
		v.witnesses = append(v.witnesses, w)
	}
	if quorum < 0 || quorum > len(witnesses) {
		return nil, fmt.Errorf("%d of %d witnesses can never cosign", quorum, len(witnesses))
	}
	return v, nil
}

// Log is the log's key.
func (v *Verifier) Log() VKey { return v.log }

// Witnesses is how many witnesses there are, and how many must have cosigned.
func (v *Verifier) Witnesses() (n, quorum int) { return len(v.witnesses), v.quorum }

// Opened is a checkpoint that a Verifier believes.
type Opened struct {
	*Checkpoint
	Witnesses []string // names of those that cosigned, of the trusted ones
}

// Open verifies a checkpoint. Errors are of class log_proof, log_signature or
// log_witness.
func (v *Verifier) Open(text []byte, now time.Time) (*Opened, error) {
	c, err := ParseCheckpoint(text)
	if err != nil {
		return nil, err
	}
	if err := v.signed(c); err != nil {
		return nil, err
	}
	return v.witnessed(c, now)
}

// signed makes sure that the log signed it.
func (v *Verifier) signed(c *Checkpoint) error {
	if c.Origin != v.log.Name {
		return canon.Fail(ClassSignature, "the checkpoint is of the log %q, not of %q", c.Origin, v.log.Name)
	}
	body, signed := c.Body(), false
	for _, s := range c.Signatures {
		if !s.by(v.log) {
			continue
		}
		if _, ok := s.verify(v.log, body); !ok {
			return canon.Fail(ClassSignature, "the log's signature of its checkpoint does not verify")
		}
		signed = true
	}
	if !signed {
		return canon.Fail(ClassSignature, "the checkpoint is not signed by the log key %s", v.log)
	}
	return nil
}

// witnessed makes sure that enough witnesses cosigned it.
func (v *Verifier) witnessed(c *Checkpoint, now time.Time) (*Opened, error) {
	o := &Opened{Checkpoint: c}
	body, latest := c.Body(), now.Add(MaxAhead).Unix()
	for _, w := range v.witnesses {
		counts := false
		for _, s := range c.Signatures {
			if !s.by(w) {
				continue
			}
			at, ok := s.verify(w, body)
			if !ok {
				return nil, canon.Fail(ClassWitness, "the cosignature of witness %s does not verify", w.Name)
			}
			counts = counts || int64(at) <= latest
		}
		if counts {
			o.Witnesses = append(o.Witnesses, w.Name)
		}
	}
	if len(o.Witnesses) < v.quorum {
		return nil, canon.Fail(ClassWitness, "cosigned by %d of %d witnesses, %d are needed", len(o.Witnesses), len(v.witnesses), v.quorum)
	}
	return o, nil
}

// CheckProof makes sure that an entry is in the log. Errors are of class
// too_large, log_proof, log_signature, log_inclusion or log_witness.
func (v *Verifier) CheckProof(entry, proof []byte, now time.Time) (*Opened, error) {
	p, err := ParseProof(proof)
	if err != nil {
		return nil, err
	}
	if err := v.signed(p.Checkpoint); err != nil {
		return nil, err
	}
	if err := tlog.CheckRecord(p.Path, p.Checkpoint.Size, p.Checkpoint.Root, p.Index, tlog.RecordHash(entry)); err != nil {
		return nil, canon.Fail(ClassInclusion, "the log does not have the statement where the proof says: leaf %d of %d", p.Index, p.Checkpoint.Size)
	}
	return v.witnessed(p.Checkpoint, now)
}

// Cosignature returns the first of the lines that is the witness's good
// cosignature of c.
func Cosignature(witness VKey, c *Checkpoint, all []Signature) (Signature, bool) {
	body := c.Body()
	for _, s := range all {
		if _, ok := s.verify(witness, body); ok && s.by(witness) {
			return s, true
		}
	}
	return Signature{}, false
}
