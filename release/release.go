// Package release has the statements that researchers sign: releases (which
// module may run, under which limits), orders (what to run it on), stops and pauses.
// Their format is docs/spec/statement.md.
package release

import (
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/policy"
)

// Statement types.
const (
	Type      = "countersign.release/v1"
	OrderType = "countersign.order/v1"
	StopType  = "countersign.stop/v1"
	PauseType = "countersign.pause/v1"
)

const (
	// MaxStatement is the cap on a release, order, stop or pause, in bytes.
	MaxStatement = 16 << 10
	// MaxModule is the largest module, in bytes.
	MaxModule = 16 << 20
	// MaxAge is how far ahead a release or an order may expire.
	MaxAge = 90 * 24 * time.Hour
	// ABI and CostTable are the only ones of this version.
	ABI       = "countersign/1"
	CostTable = "v1"

	maxVersion = 1<<31 - 1
	maxText    = 200
)

// Release is a researcher's statement about one module.
type Release struct {
	Type         string       `json:"type"`
	Name         string       `json:"name"`
	Version      int64        `json:"version"`
	ModuleSHA256 canon.Digest `json:"module_sha256"`
	ModuleLength int64        `json:"module_length"` // bytes
	SourceSHA256 canon.Digest `json:"source_sha256"`
	ABI          string       `json:"abi"`
	CostTable    string       `json:"cost_table"`
	Limits       Limits       `json:"limits"`
	Purpose      string       `json:"purpose"`
	Expires      canon.Time   `json:"expires"`
}

// Limits bound one task.
type Limits struct {
	TaskFuel    uint64 `json:"task_fuel"`
	SegmentFuel uint64 `json:"segment_fuel"`
	MemoryPages uint64 `json:"memory_pages"` // of 64 KiB
	Seconds     uint64 `json:"seconds"`
	OutputBytes uint64 `json:"output_bytes"`
}

// Largest values of Limits.
const (
	maxPages   = 16384
	maxSeconds = 86400
	maxOutput  = 1 << 20
)

// Parse reads a release and checks its bounds; signature and expiry are Open's.
func Parse(statement []byte) (*Release, error) {
	var r Release
	if err := canon.Decode(statement, MaxStatement, Type, &r); err != nil {
		return nil, err
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return &r, nil
}

// Encode returns the canonical encoding of r, if its values are in bounds.
func (r *Release) Encode() ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	return canon.Encode(r)
}

// Sign encodes r and signs it.
func (r *Release) Sign(key keys.SecretKey) (statement, signature []byte, err error) {
	statement, err = r.Encode()
	if err != nil {
		return nil, nil, err
	}
	return statement, keys.Sign(key, statement, comment(Type, r.Name, r.Version)), nil
}

// Open verifies a release: signature by a researcher of p, encoding, bounds,
// expiry, name and ceilings, in this order. Errors have a failure class of
// statement.md, section "Opening a release".
func Open(statement, signature []byte, p *policy.Policy, now time.Time) (*Release, *policy.Researcher, error) {
	who, err := openSignature(statement, signature, p)
	if err != nil {
		return nil, nil, err
	}
	r, err := Parse(statement)
	if err != nil {
		return nil, nil, err
	}
	if err := canon.CheckExpiry(r.label(), r.Expires, now, MaxAge); err != nil {
		return nil, nil, err
	}
	if !who.Covers(r.Name) {
		return nil, nil, canon.Fail("name_prefix", "%s: key %s may sign names under %q only", r.label(), who.Key, who.Prefix)
	}
	if err := r.underCeilings(who.Ceilings); err != nil {
		return nil, nil, err
	}
	return r, who, nil
}

// OpenPinned verifies a release as a worker does that trusts some keys and has
// no policy: signature, encoding, bounds and expiry.
func OpenPinned(statement, signature []byte, trusted []keys.PublicKey, now time.Time) (*Release, keys.PublicKey, error) {
	key, err := verify(statement, signature, trusted)
	if err != nil {
		return nil, keys.PublicKey{}, err
	}
	r, err := Parse(statement)
	if err != nil {
		return nil, keys.PublicKey{}, err
	}
	if err := canon.CheckExpiry(r.label(), r.Expires, now, MaxAge); err != nil {
		return nil, keys.PublicKey{}, err
	}
	return r, key, nil
}

// verify checks the cap and the signature; nothing has been parsed before.
func verify(statement, signature []byte, trusted []keys.PublicKey) (keys.PublicKey, error) {
	if len(statement) > MaxStatement {
		return keys.PublicKey{}, canon.Fail("too_large", "statement: %d bytes, at most %d allowed", len(statement), MaxStatement)
	}
	return keys.Verify(trusted, statement, signature)
}

func openSignature(statement, signature []byte, p *policy.Policy) (*policy.Researcher, error) {
	key, err := verify(statement, signature, append(p.Keys(), p.RevokedKeys...))
	if err != nil {
		return nil, err
	}
	if p.Revoked(key) {
		return nil, canon.Fail("revoked", "signature by key %s, which policy version %d revokes", key, p.Version)
	}
	return p.ByKey(key), nil
}

func (r *Release) label() string { return label("release", r.Name, r.Version) }

func (r *Release) check() error {
	switch {
	case r.Type != Type:
		return canon.Fail("bounds", "release: type %q", r.Type)
	case !policy.ValidName(r.Name):
		return canon.Fail("bounds", "release: name %.80q: want up to %d of a-z, 0-9 and -, in parts joined by /", r.Name, policy.MaxName)
	case r.Version < 1 || r.Version > maxVersion:
		return canon.Fail("bounds", "release %q: version %d is not from 1 to 2^31-1", r.Name, r.Version)
	case r.ModuleLength < 8 || r.ModuleLength > MaxModule:
		return canon.Fail("bounds", "%s: module_length %d is not from 8 to %d", r.label(), r.ModuleLength, MaxModule)
	case r.ABI != ABI:
		return canon.Fail("bounds", "%s: abi %.40q is not %s", r.label(), r.ABI, ABI)
	case r.CostTable != CostTable:
		return canon.Fail("bounds", "%s: cost_table %.40q is not %s", r.label(), r.CostTable, CostTable)
	case !validText(r.Purpose):
		return canon.Fail("bounds", "%s: purpose has %d characters, 1 to %d allowed", r.label(), len(r.Purpose), maxText)
	}
	return r.Limits.check(r.label())
}

func (l *Limits) check(label string) error {
	for _, b := range []struct {
		name          string
		value, lo, hi uint64
	}{
		{"task_fuel", l.TaskFuel, 1, canon.MaxInteger},
		{"segment_fuel", l.SegmentFuel, 1, l.TaskFuel},
		{"memory_pages", uint64(l.MemoryPages), 1, maxPages},
		{"seconds", uint64(l.Seconds), 1, maxSeconds},
		{"output_bytes", uint64(l.OutputBytes), 0, maxOutput},
	} {
		if b.value < b.lo || b.value > b.hi {
			return canon.Fail("bounds", "%s: %s %d is not from %d to %d", label, b.name, b.value, b.lo, b.hi)
		}
	}
	return nil
}

func (r *Release) underCeilings(c policy.Ceilings) error {
	for _, b := range []struct {
		name           string
		value, ceiling uint64
	}{
		{"task_fuel", r.Limits.TaskFuel, c.TaskFuel},
		{"memory_pages", uint64(r.Limits.MemoryPages), uint64(c.MemoryPages)},
		{"seconds", uint64(r.Limits.Seconds), uint64(c.Seconds)},
	} {
		if b.value > b.ceiling {
			return canon.Fail("ceiling", "%s: %s %d is over the policy's ceiling of %d for this key", r.label(), b.name, b.value, b.ceiling)
		}
	}
	return nil
}

// CheckModule checks length, then digest, of the bytes that are about to run.
func (r *Release) CheckModule(module []byte) error {
	if int64(len(module)) != r.ModuleLength {
		return canon.Fail("module_length", "%s: module has %d bytes, %d are signed", r.label(), len(module), r.ModuleLength)
	}
	if canon.Sum(module) != r.ModuleSHA256 {
		return canon.Fail("module_sha256", "%s: the module's sha256 is not the signed one", r.label())
	}
	return nil
}
