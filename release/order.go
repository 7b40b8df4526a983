package release

import (
	"strings"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/policy"
)

// Order is one job: a release, its inputs, and when its results count.
type Order struct {
	Type             string       `json:"type"`
	Title            string       `json:"title"`
	ReleaseSHA256    canon.Digest `json:"release_sha256"`
	After            *After       `json:"after,omitempty"`
	Input            Input        `json:"input"`
	Parameters       []string     `json:"parameters,omitempty"`
	Redundancy       Redundancy   `json:"redundancy"`
	AuditPermille    int          `json:"audit_permille,omitempty"`
	CompletePermille int          `json:"complete_permille"`
	Priority         int          `json:"priority"`
	DeadlineSeconds  int          `json:"deadline_seconds,omitempty"`
	NotBefore        canon.Time   `json:"not_before"`
	Expires          canon.Time   `json:"expires"`
}

// After makes an order wait for another one, until that one is done or this
// share of its tasks has a verdict.
type After struct {
	Order    canon.Digest `json:"order"`
	Permille int          `json:"permille"`
}

// Redundancy has exactly one member.
type Redundancy struct {
	Vote     *Vote     `json:"vote,omitempty"`
	First    *First    `json:"first,omitempty"`
	Adaptive *Adaptive `json:"adaptive,omitempty"`
}

// Voices is how many must agree on an outcome at least, and how many lanes a
// task may take to get there.
func (r Redundancy) Voices() (agree, of int) {
	switch {
	case r.First != nil:
		return 1, 1
	case r.Adaptive != nil:
		return 1, MaxLanes
	}
	return r.Vote.Agree, r.Vote.Of
}

// Rule is the name of the member that is there.
func (r Redundancy) Rule() string {
	switch {
	case r.First != nil:
		return "first"
	case r.Adaptive != nil:
		return "adaptive"
	}
	return "vote"
}

// First accepts the first outcome that comes.
type First struct{}

// Adaptive accepts an outcome that is credible enough by what its workers have
// shown before: docs/spec/job.md, "Credibility".
type Adaptive struct {
	ErrorPPB       int `json:"error_ppb"`
	ChecksPermille int `json:"checks_permille"`
	FaultyPermille int `json:"faulty_permille"`
	LiesPermille   int `json:"lies_permille"`
}

// DefaultAdaptive is what tools propose.
var DefaultAdaptive = Adaptive{ErrorPPB: 1000, ChecksPermille: 100, FaultyPermille: 350, LiesPermille: 100}

func (a *Adaptive) good() bool {
	within := func(n, from, to int) bool { return n >= from && n <= to }
	return within(a.ErrorPPB, 1, 1_000_000) && within(a.ChecksPermille, 10, 1000) && within(a.FaultyPermille, 1, 400) && within(a.LiesPermille, 0, 999)
}

// Vote accepts an outcome when Agree of at most Of lanes report it.
type Vote struct {
	Agree int `json:"agree"`
	Of    int `json:"of"`
}

// Bounds of Order.Parameters.
const (
	MaxParameters     = 16
	MaxParameterChars = 4096 // in all of them
)

// MaxLanes is the largest Vote.Of.
const MaxLanes = 16

// ParseOrder reads an order and checks its bounds.
func ParseOrder(statement []byte) (*Order, error) {
	var o Order
	if err := canon.Decode(statement, MaxStatement, OrderType, &o); err != nil {
		return nil, err
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	return &o, nil
}

// Encode returns the canonical encoding of o, if its values are in bounds.
func (o *Order) Encode() ([]byte, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	return canon.Encode(o)
}

// Sign encodes o and signs it.
func (o *Order) Sign(key keys.SecretKey) (statement, signature []byte, err error) {
	statement, err = o.Encode()
	if err != nil {
		return nil, nil, err
	}
	return statement, keys.Sign(key, statement, OrderType+" "+o.Title), nil
}

// OpenOrder verifies an order against the policy and the release it names,
// which the caller has opened: named is called with the order's release digest.
func OpenOrder(statement, signature []byte, p *policy.Policy, named func(canon.Digest) (*Release, error), now time.Time) (*Order, *policy.Researcher, error) {
	who, err := openSignature(statement, signature, p)
	if err != nil {
		return nil, nil, err
	}
	o, err := ParseOrder(statement)
	if err != nil {
		return nil, nil, err
	}
	if err := canon.CheckExpiry(o.label(), o.Expires, now, MaxAge); err != nil {
		return nil, nil, err
	}
	r, err := named(o.ReleaseSHA256)
	if err != nil {
		return nil, nil, err
	}
	if !who.Covers(r.Name) {
		return nil, nil, canon.Fail("name_prefix", "%s: key %s may order names under %q only, not %q", o.label(), who.Key, who.Prefix, r.Name)
	}
	if n := o.Tasks(); n > who.Ceilings.Tasks {
		return nil, nil, canon.Fail("ceiling", "%s: %d tasks are over the policy's ceiling of %d for this key", o.label(), n, who.Ceilings.Tasks)
	}
	return o, who, nil
}

// OpenOrderPinned verifies an order as a worker does that trusts some keys and
// has no policy: signature, encoding, bounds and expiry.
func OpenOrderPinned(statement, signature []byte, trusted []keys.PublicKey, now time.Time) (*Order, keys.PublicKey, error) {
	key, err := verify(statement, signature, trusted)
	if err != nil {
		return nil, keys.PublicKey{}, err
	}
	o, err := ParseOrder(statement)
	if err != nil {
		return nil, keys.PublicKey{}, err
	}
	if err := canon.CheckExpiry(o.label(), o.Expires, now, MaxAge); err != nil {
		return nil, keys.PublicKey{}, err
	}
	return o, key, nil
}

// RunFor is how long one task may run at a worker, by the order and its release.
func (o *Order) RunFor(r *Release) time.Duration {
	seconds := r.Limits.Seconds
	if o.DeadlineSeconds > 0 {
		seconds = min(seconds, uint64(o.DeadlineSeconds))
	}
	return time.Duration(seconds) * time.Second
}

func (o *Order) label() string { return "order \"" + o.Title + "\"" }

func (o *Order) check() error {
	switch {
	case o.Type != OrderType:
		return canon.Fail("bounds", "order: type %q", o.Type)
	case !validText(o.Title):
		return canon.Fail("bounds", "order: title has %d characters, 1 to %d allowed", len(o.Title), maxText)
	case o.AuditPermille < 0 || o.AuditPermille > 1000 || o.AuditPermille > 0 && o.Redundancy.First != nil:
		return canon.Fail("bounds", "%s: audit_permille %d: 1 to 1000 are possible, and none where the first outcome counts", o.label(), o.AuditPermille)
	case o.CompletePermille < 1 || o.CompletePermille > 1000:
		return canon.Fail("bounds", "%s: complete_permille %d is not from 1 to 1000", o.label(), o.CompletePermille)
	case o.Priority < 0 || o.Priority > 9:
		return canon.Fail("bounds", "%s: priority %d is not from 0 to 9", o.label(), o.Priority)
	case o.DeadlineSeconds < 0 || o.DeadlineSeconds > maxSeconds:
		return canon.Fail("bounds", "%s: deadline_seconds %d is over %d", o.label(), o.DeadlineSeconds, maxSeconds)
	case o.After != nil && (o.After.Permille < 1 || o.After.Permille > 1000):
		return canon.Fail("bounds", "%s: after %d permille: 1 to 1000 are possible", o.label(), o.After.Permille)
	case o.After == nil && o.Input.Outputs != nil:
		return canon.Fail("bounds", "%s: its inputs are the outputs of another order, but it follows none", o.label())
	case len(o.Parameters) > MaxParameters || len(strings.Join(o.Parameters, "")) > MaxParameterChars:
		return canon.Fail("bounds", "%s: at most %d parameters of %d characters together", o.label(), MaxParameters, MaxParameterChars)
	case !o.NotBefore.Time().Before(o.Expires.Time()):
		return canon.Fail("bounds", "%s: expires at %s, not after not_before %s", o.label(), o.Expires, o.NotBefore)
	}
	if err := o.Redundancy.check(o.label()); err != nil {
		return err
	}
	return o.Input.check(o.label())
}

func (r Redundancy) check(label string) error {
	switch v := r.Vote; {
	case !(v != nil && r.First == nil && r.Adaptive == nil || v == nil && (r.First == nil) != (r.Adaptive == nil)):
		return canon.Fail("bounds", "%s: want exactly one redundancy rule", label)
	case v != nil && (v.Agree < 1 || v.Of < v.Agree || v.Of > MaxLanes || 2*v.Agree <= v.Of):
		return canon.Fail("bounds", "%s: vote %d of %d: want more than half, of at most %d", label, v.Agree, v.Of, MaxLanes)
	case r.Adaptive != nil && !r.Adaptive.good():
		return canon.Fail("bounds", "%s: %+v: want error_ppb from 1 to 1000000, checks_permille from 10 to 1000, faulty_permille from 1 to 400 and lies_permille up to 999", label, *r.Adaptive)
	}
	return nil
}
