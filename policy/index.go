package policy

import (
	"bytes"
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/keys"
)

// IndexType is the index's statement type.
const IndexType = "countersign.index/v1"

const (
	// MaxIndex is the cap on an index, in bytes.
	MaxIndex = 256 << 10
	// MaxIndexAge is how long an index may hold.
	MaxIndexAge = 24 * time.Hour

	maxFloors  = 1024
	maxRevoked = 2048
)

// Index says what is still good. Lists without elements are empty, never nil.
type Index struct {
	Type          string         `json:"type"`
	Sequence      uint64         `json:"sequence"`
	PolicyVersion int64          `json:"policy_version"`
	Floors        []Floor        `json:"floors"`
	Revoked       []canon.Digest `json:"revoked"`
	Halt          string         `json:"halt"`
	Issued        canon.Time     `json:"issued"`
	Expires       canon.Time     `json:"expires"`
}

// Floor is the lowest good version of a release.
type Floor struct {
	Name    string `json:"name"`
	Version int64  `json:"version"`
}

// ParseIndex reads an index and checks its bounds, nothing else.
func ParseIndex(data []byte) (*Index, error) {
	var x Index
	if err := canon.Decode(data, MaxIndex, IndexType, &x); err != nil {
		return nil, err
	}
	if err := x.check(); err != nil {
		return nil, err
	}
	return &x, nil
}

// Sign encodes x and signs it.
func (x *Index) Sign(key keys.SecretKey) (statement, signature []byte, err error) {
	if err := x.check(); err != nil {
		return nil, nil, err
	}
	if statement, err = canon.Encode(x); err != nil {
		return nil, nil, err
	}
	if len(statement) > MaxIndex {
		return nil, nil, canon.Fail("too_large", "index: %d bytes, at most %d allowed", len(statement), MaxIndex)
	}
	return statement, keys.Sign(key, statement, fmt.Sprintf("%s sequence %d", IndexType, x.Sequence)), nil
}

// OpenIndex verifies an index under p. Errors have a failure class of
// statement.md, section "index/v1".
func (p *Policy) OpenIndex(statement, signature []byte, seen Seen, now time.Time) (*Index, Seen, error) {
	clock, ok := p.Clock()
	if !ok {
		return nil, seen, canon.Fail("signature_unknown_key", "policy version %d names no clock key", p.Version)
	}
	if len(statement) > MaxIndex {
		return nil, seen, canon.Fail("too_large", "index: %d bytes, at most %d allowed", len(statement), MaxIndex)
	}
	if _, err := keys.Verify([]keys.PublicKey{clock}, statement, signature); err != nil {
		return nil, seen, err
	}
	x, err := ParseIndex(statement)
	if err != nil {
		return nil, seen, err
	}
	if err := x.Current(now); err != nil {
		return nil, seen, err
	}
	if p.Version < x.PolicyVersion {
		return nil, seen, canon.Fail("policy_version", "index %d wants policy version %d or later, this is %d", x.Sequence, x.PolicyVersion, p.Version)
	}
	if seen.ClockKey == p.ClockKey && x.Sequence < seen.Index {
		return nil, seen, canon.Fail("rollback", "index %d; %d was seen before", x.Sequence, seen.Index)
	}
	seen.ClockKey, seen.Index = p.ClockKey, x.Sequence
	return x, seen, nil
}

// Current checks that x has not expired.
func (x *Index) Current(now time.Time) error {
	return canon.CheckExpiry(fmt.Sprintf("index %d", x.Sequence), x.Expires, now, MaxIndexAge)
}

func (x *Index) check() error {
	switch {
	case x.Type != IndexType:
		return canon.Fail("bounds", "index: type %q", x.Type)
	case x.Sequence < 1 || x.Sequence > canon.MaxInteger:
		return canon.Fail("bounds", "index: sequence %d is not from 1 to 2^53-1", x.Sequence)
	case x.PolicyVersion < 1 || x.PolicyVersion > maxVersion:
		return canon.Fail("bounds", "index: policy_version %d is not from 1 to 2^31-1", x.PolicyVersion)
	case len(x.Floors) > maxFloors:
		return canon.Fail("bounds", "index: %d floors, at most %d allowed", len(x.Floors), maxFloors)
	case len(x.Revoked) > maxRevoked:
		return canon.Fail("bounds", "index: %d revoked digests, at most %d allowed", len(x.Revoked), maxRevoked)
	case len(x.Halt) > maxText:
		return canon.Fail("bounds", "index: halt has %d characters, at most %d allowed", len(x.Halt), maxText)
	case !x.Issued.Time().Before(x.Expires.Time()) || x.Expires.Time().Sub(x.Issued.Time()) > MaxIndexAge:
		return canon.Fail("bounds", "index: issued %s, expires %s: want at most 24 hours", x.Issued, x.Expires)
	}
	return x.checkLists()
}

func (x *Index) checkLists() error {
	for i, f := range x.Floors {
		if !ValidName(f.Name) || f.Version < 1 || f.Version > maxVersion {
			return canon.Fail("bounds", "index: floor %.80q version %d", f.Name, f.Version)
		}
		if i > 0 && x.Floors[i-1].Name >= f.Name {
			return canon.Fail("bounds", "index: floors are not ascending at %q", f.Name)
		}
	}
	for i := 1; i < len(x.Revoked); i++ {
		if bytes.Compare(x.Revoked[i-1][:], x.Revoked[i][:]) >= 0 {
			return canon.Fail("bounds", "index: revoked digests are not ascending at %s", x.Revoked[i].Short())
		}
	}
	return nil
}

// Good refuses a statement that the index halts or revokes.
func (x *Index) Good(what string, digest canon.Digest) error {
	if x.Halt != "" {
		return canon.Fail("halted", "everything is halted: %s", x.Halt)
	}
	for _, d := range x.Revoked {
		if d == digest {
			return canon.Fail("revoked", "%s %s is revoked", what, digest.Short())
		}
	}
	return nil
}

// GoodRelease refuses a release that the index halts, revokes or has a higher
// floor for.
func (x *Index) GoodRelease(digest canon.Digest, name string, version int64) error {
	if err := x.Good("release", digest); err != nil {
		return err
	}
	for _, f := range x.Floors {
		if f.Name == name && version < f.Version {
			return canon.Fail("floor", "release %q version %d: only version %d and later are good", name, version, f.Version)
		}
	}
	return nil
}
