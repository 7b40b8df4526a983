package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/keys"
)

// New returns a policy without clock key, log key, origins and revoked keys.
func New(version int64, root Root, expires time.Time, researchers ...Researcher) *Policy {
	return &Policy{Type: Type, Version: version, RootKeys: root.Keys, Threshold: root.Threshold, Researchers: researchers,
		Witnesses: []string{}, Origins: []string{}, RevokedKeys: []keys.PublicKey{}, Expires: canon.TimeOf(expires)}
}

// Sign encodes p and signs it with root keys.
func (p *Policy) Sign(roots ...keys.SecretKey) (s Signed, err error) {
	if s.Statement, err = p.Encode(); err != nil {
		return s, err
	}
	for _, k := range roots {
		s.Signatures = append(s.Signatures, keys.Sign(k, s.Statement, p.Comment())...)
	}
	return s, nil
}

// Comment is what signatures of p say to people.
func (p *Policy) Comment() string { return fmt.Sprintf("%s version %d", Type, p.Version) }

// Revoked reports whether the key's signatures count no more.
func (p *Policy) Revoked(k keys.PublicKey) bool { return slices.Contains(p.RevokedKeys, k) }

// Trust is a verified policy with a verified index; Index is nil where the
// policy names no clock key, or where none has come yet.
type Trust struct {
	Policy *Policy
	Index  *Index
}

// Current checks that nothing has expired, and that there is an index where
// one is needed.
func (t Trust) Current(now time.Time) error {
	if err := t.Policy.Current(now); err != nil {
		return err
	}
	if t.Policy.ClockKey == "" {
		return nil
	}
	if t.Index == nil {
		return canon.Fail("index_missing", "policy version %d names a clock key, and there is no index", t.Policy.Version)
	}
	return t.Index.Current(now)
}

// Good refuses an order, or another statement but a release, that the index
// halts or revokes.
func (t Trust) Good(what string, digest canon.Digest) error {
	if t.Index == nil {
		return nil
	}
	return t.Index.Good(what, digest)
}

// GoodRelease refuses a release that the index halts, revokes or has a higher
// floor for.
func (t Trust) GoodRelease(digest canon.Digest, name string, version int64) error {
	if t.Index == nil {
		return nil
	}
	return t.Index.GoodRelease(digest, name, version)
}
