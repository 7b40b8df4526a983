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
// never from a hub. With a Policy, prefixes and ceilings hold too.
type Trust struct {
	Keys   []keys.PublicKey
	Policy *policy.Policy // nil: Keys alone
	// Log, if any, is the transparency log that must have every release.
	Log *translog.Verifier
}

// openRelease verifies a release.
func (t *Trust) openRelease(s signed, now time.Time) (*release.Release, error) {
	if t.Policy != nil {
		if err := t.Policy.Current(now); err != nil {
			return nil, err
		}
		r, _, err := release.Open(s.statement, s.signature, t.Policy, now)
		return r, err
	}
	r, _, err := release.OpenPinned(s.statement, s.signature, t.Keys, now)
	return r, err
}

// openOrder verifies an order of a release that has been verified.
func (t *Trust) openOrder(s signed, named func(canon.Digest) (*release.Release, error), now time.Time) (*release.Order, error) {
	if t.Policy != nil {
		o, _, err := release.OpenOrder(s.statement, s.signature, t.Policy, named, now)
		return o, err
	}
	o, _, err := release.OpenOrderPinned(s.statement, s.signature, t.Keys, now)
	if err != nil {
		return nil, err
	}
	_, err = named(o.ReleaseSHA256)
	return o, err
}
