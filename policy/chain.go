package policy

import (
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/keys"
)

// MaxChain is the largest number of policies in a chain.
const MaxChain = 64

// Root is what a reader pins: whom it trusts to make policies.
type Root struct {
	Keys      []keys.PublicKey
	Threshold int
	Floor     int64 // the lowest version to take; 0: any
}

// Signed is a policy with its bundle of signatures, neither verified.
type Signed struct {
	Statement  []byte `json:"statement"`
	Signatures []byte `json:"signatures"`
}

// Seen is what a reader remembers, so that nobody can lead it back. The zero
// Seen has seen nothing.
type Seen struct {
	Policy       int64        `json:"policy"` // highest version accepted
	PolicySHA256 canon.Digest `json:"policy_sha256"`
	ClockKey     string       `json:"clock_key"`
	Index        uint64       `json:"index"` // highest sequence accepted, of that clock key
}

// Check makes sure that the threshold can be met by different keys.
func (r *Root) Check() error {
	if len(r.Keys) > MaxRoots || r.Threshold < 1 || r.Threshold > len(r.Keys) {
		return canon.Fail("bounds", "root: threshold %d of %d keys", r.Threshold, len(r.Keys))
	}
	if k, twice := keys.Repeated(r.Keys); twice {
		return canon.Fail("bounds", "root: key %s stands twice", k)
	}
	return nil
}

// Open verifies a chain of policies from what is pinned to the last of them,
// and returns that one. Errors have a failure class of statement.md, section
// "policy/v1".
func (r *Root) Open(chain []Signed, seen Seen, now time.Time) (*Policy, Seen, error) {
	p, err := r.verify(chain, &seen)
	if err != nil {
		return nil, seen, err
	}
	if err := p.Current(now); err != nil {
		return nil, seen, err
	}
	if p.Version < r.Floor {
		return nil, seen, canon.Fail("rollback", "policy version %d is under the floor of %d", p.Version, r.Floor)
	}
	seen.Policy, seen.PolicySHA256 = p.Version, canon.Sum(chain[len(chain)-1].Statement)
	return p, seen, nil
}

// Verify is Open for old policies: it asks neither for expiry nor for the floor.
func (r *Root) Verify(chain []Signed) (*Policy, error) { return r.verify(chain, &Seen{}) }

// verify walks the chain, and makes sure that it leads through what was seen.
func (r *Root) verify(chain []Signed, seen *Seen) (last *Policy, err error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	if len(chain) == 0 || len(chain) > MaxChain {
		return nil, canon.Fail("policy_chain", "a chain of %d policies, 1 to %d allowed", len(chain), MaxChain)
	}
	for _, s := range chain {
		next, err := r.follow(last, s)
		if err != nil {
			return nil, err
		}
		if next.Version == seen.Policy && canon.Sum(s.Statement) != seen.PolicySHA256 {
			return nil, canon.Fail("rollback", "policy version %d is another one than was seen before", next.Version)
		}
		if last == nil && next.Version > max(seen.Policy, 1) && seen.Policy > 0 && r.Floor <= seen.Policy {
			return nil, canon.Fail("rollback", "the chain begins after policy version %d, which was seen before", seen.Policy)
		}
		last = next
	}
	if last.Version < seen.Policy {
		return nil, canon.Fail("rollback", "policy version %d; version %d was seen before", last.Version, seen.Policy)
	}
	return last, nil
}

// follow opens the policy that comes after last; nil: the first one.
func (r *Root) follow(last *Policy, s Signed) (*Policy, error) {
	if len(s.Statement) > MaxBytes {
		return nil, canon.Fail("too_large", "policy: %d bytes, at most %d allowed", len(s.Statement), MaxBytes)
	}
	blocks, err := keys.Split(s.Signatures)
	if err != nil {
		return nil, err
	}
	before, k := r.Keys, r.Threshold
	if last != nil {
		before, k = last.RootKeys, last.Threshold
	}
	if err := threshold("the root keys before it", before, k, s.Statement, blocks); err != nil {
		return nil, err
	}
	p, err := Parse(s.Statement)
	if err != nil {
		return nil, err
	}
	if last != nil && p.Version != last.Version+1 {
		return nil, canon.Fail("policy_chain", "policy version %d does not follow version %d", p.Version, last.Version)
	}
	return p, threshold("its own root keys", p.RootKeys, p.Threshold, s.Statement, blocks)
}

func threshold(whose string, trusted []keys.PublicKey, k int, statement []byte, blocks [][]byte) error {
	if _, err := keys.Threshold(trusted, k, statement, blocks); err != nil {
		return &canon.Error{Class: "threshold", Msg: "policy: by " + whose, Err: err}
	}
	return nil
}

// Signers returns which of trusted signed the statement, each once. It is for
// people who gather signatures.
func Signers(trusted []keys.PublicKey, s Signed) ([]keys.PublicKey, error) {
	blocks, err := keys.Split(s.Signatures)
	if err != nil || len(blocks) == 0 {
		return nil, err
	}
	signers, err := keys.Threshold(trusted, 1, s.Statement, blocks)
	if canon.ClassOf(err) == "signature_unknown_key" || canon.ClassOf(err) == "signature_invalid" {
		return nil, nil
	}
	return signers, err
}
