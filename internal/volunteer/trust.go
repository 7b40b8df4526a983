package volunteer

import (
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/translog"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/policy"
	"github.com/countersign/countersign/release"
)

// Trust says whose statements count. It comes from whoever runs this program,
// never from a hub. With Root or Policy, prefixes and ceilings hold too.
type Trust struct {
	// Root is who makes policies. The policy that holds, and the index, are
	// fetched from the hub and followed: Follow.
	Root   *policy.Root
	Follow Follow

	Policy *policy.Policy   // instead of Root: this one, for ever
	Keys   []keys.PublicKey // instead of both: every statement of these keys
	// Log, if any, is the transparency log that must have every release. With
	// Root the policy says that.
	Log *translog.Verifier
}

// Follow says how the policy and the index of Trust.Root are followed.
type Follow struct {
	// State is the file that remembers what was seen, so that nobody can lead
	// back behind it. "": it is forgotten at the end.
	State string
	// Every is the longest time between two looks. 0: 5 minutes.
	Every time.Duration
}

func (t *Trust) empty() bool { return t.Root == nil && t.Policy == nil && len(t.Keys) == 0 }

// anchor is where trust comes from. At returns what to go by at a time, or the
// failure for which nothing may run.
type anchor interface {
	at(now time.Time) (*believed, error)
}

// believed is what a volunteer goes by at one moment. It does not change.
type believed struct {
	policy.Trust // Policy is nil: the keys alone count
	keys         []keys.PublicKey
	log          *translog.Verifier
}

// pinned is trust that nothing changes.
type pinned struct{ *Trust }

func (p pinned) at(now time.Time) (*believed, error) {
	if p.Policy != nil {
		if err := p.Policy.Current(now); err != nil {
			return nil, err
		}
	}
	return &believed{Trust: policy.Trust{Policy: p.Policy}, keys: p.Keys, log: p.Log}, nil
}

// openRelease verifies a release.
func (b *believed) openRelease(s signed, now time.Time) (*release.Release, error) {
	if b.Policy == nil {
		r, _, err := release.OpenPinned(s.statement, s.signature, b.keys, now)
		return r, err
	}
	r, _, err := release.Open(s.statement, s.signature, b.Policy, now)
	if err != nil {
		return nil, err
	}
	return r, b.GoodRelease(canon.Sum(s.statement), r.Name, r.Version)
}

// openOrder verifies an order of a release that named has verified.
func (b *believed) openOrder(s signed, named func(canon.Digest) (*release.Release, error), now time.Time) (*release.Order, error) {
	if b.Policy == nil {
		o, _, err := release.OpenOrderPinned(s.statement, s.signature, b.keys, now)
		if err != nil {
			return nil, err
		}
		_, err = named(o.ReleaseSHA256)
		return o, err
	}
	o, _, err := release.OpenOrder(s.statement, s.signature, b.Policy, named, now)
	if err != nil {
		return nil, err
	}
	return o, b.Good("order", canon.Sum(s.statement))
}

// still verifies again what a task was begun by.
func (b *believed) still(order, rel signed, now time.Time) error {
	_, err := b.openOrder(order, func(canon.Digest) (*release.Release, error) { return b.openRelease(rel, now) }, now)
	return err
}
