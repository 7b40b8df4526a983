package release

import (
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/policy"
)

// Pause pauses an order or lets it go on. Of those of an order the one with the
// highest sequence holds.
type Pause struct {
	Type        string       `json:"type"`
	OrderSHA256 canon.Digest `json:"order_sha256"`
	Sequence    uint64       `json:"sequence"`
	Paused      bool         `json:"paused"`
	Reason      string       `json:"reason"`
	Issued      canon.Time   `json:"issued"`
}

const maxSequence = 1<<53 - 1

// NewPause returns a pause of an order, or what ends one. Its sequence is the
// time, so whoever signs needs to remember nothing.
func NewPause(order canon.Digest, paused bool, reason string, now time.Time) *Pause {
	return &Pause{Type: PauseType, OrderSHA256: order, Sequence: uint64(now.UnixMilli()), Paused: paused, Reason: reason, Issued: canon.TimeOf(now)}
}

// ParsePause reads a pause and checks its bounds.
func ParsePause(statement []byte) (*Pause, error) {
	var p Pause
	if err := canon.Decode(statement, MaxStatement, PauseType, &p); err != nil {
		return nil, err
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return &p, nil
}

// Sign encodes p and signs it.
func (p *Pause) Sign(key keys.SecretKey) (statement, signature []byte, err error) {
	if err := p.check(); err != nil {
		return nil, nil, err
	}
	if statement, err = canon.Encode(p); err != nil {
		return nil, nil, err
	}
	return statement, keys.Sign(key, statement, PauseType+" "+p.OrderSHA256.Short()), nil
}

// OpenPause verifies a pause. releaseName is called with the order, and returns
// the name of its release.
func OpenPause(statement, signature []byte, p *policy.Policy, releaseName func(order canon.Digest) (string, error)) (*Pause, *policy.Researcher, error) {
	who, err := openSignature(statement, signature, p)
	if err != nil {
		return nil, nil, err
	}
	s, err := ParsePause(statement)
	if err != nil {
		return nil, nil, err
	}
	name, err := releaseName(s.OrderSHA256)
	if err != nil {
		return nil, nil, err
	}
	if !who.Covers(name) {
		return nil, nil, canon.Fail("name_prefix", "pause: key %s may pause names under %q only, not %q", who.Key, who.Prefix, name)
	}
	return s, who, nil
}

func (p *Pause) check() error {
	switch {
	case p.Type != PauseType:
		return canon.Fail("bounds", "pause: type %q", p.Type)
	case p.Sequence < 1 || p.Sequence > maxSequence:
		return canon.Fail("bounds", "pause: sequence %d, 1 to %d allowed", p.Sequence, uint64(maxSequence))
	case !validText(p.Reason):
		return canon.Fail("bounds", "pause: reason has %d characters, 1 to %d allowed", len(p.Reason), maxText)
	}
	return nil
}
