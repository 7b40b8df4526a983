package monitor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/translog"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/policy"
	"github.com/countersign/countersign/release"
)

// Entry is a statement of the log, for people and programs.
type Entry struct {
	Index   int64        `json:"index"`
	Type    string       `json:"type"`
	Digest  canon.Digest `json:"digest"`
	Name    string       `json:"name"` // of the release that it is, or is about
	Version int64        `json:"version,omitempty"`
	Title   string       `json:"title,omitempty"`
	Target  string       `json:"target,omitempty"` // of a stop: what, and its digest
	Reason  string       `json:"reason,omitempty"`
	Key     string       `json:"key"` // that signed it; "" if it is none of those expected
	Check   string       `json:"check,omitempty"`
	Problem string       `json:"problem,omitempty"` // why it does not verify
}

// Unknown reports whether all that is wrong is that the signer is not expected.
func (e *Entry) Unknown() bool { return e.Check == "signature_unknown_key" }

// Covered reports whether a prefix covers the entry's release, as a policy's
// prefix would; of a release that is not known it cannot be ruled out.
func (e *Entry) Covered(prefix string) bool {
	r := policy.Researcher{Prefix: prefix}
	return prefix == "" || e.Name == "" || r.Covers(e.Name)
}

func (e *Entry) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s", e.Index, e.Type)
	if e.Name != "" {
		fmt.Fprintf(&b, " %s", e.Name)
	}
	if e.Version != 0 {
		fmt.Fprintf(&b, " version %d", e.Version)
	}
	if e.Title != "" {
		fmt.Fprintf(&b, " %q", e.Title)
	}
	if e.Target != "" {
		fmt.Fprintf(&b, " of %s: %q", e.Target, e.Reason)
	}
	fmt.Fprintf(&b, ", digest %s", e.Digest)
	if e.Key != "" {
		fmt.Fprintf(&b, ", signed by %s", e.Key)
	}
	if e.Problem != "" {
		fmt.Fprintf(&b, ", DOES NOT VERIFY: %s (%s)", e.Problem, e.Check)
	}
	return b.String()
}

// look reads an entry and verifies its statement.
func (m *Monitor) look(index int64, data []byte) (e Entry) {
	e = Entry{Index: index, Type: "unknown", Digest: canon.Sum(data)}
	problem := func(err error) {
		if err != nil && e.Problem == "" {
			e.Problem, e.Check = err.Error(), canon.ClassOf(err)
		}
	}
	st, sig, err := translog.SplitEntry(data)
	if err != nil {
		problem(err)
		return e
	}
	e.Digest = canon.Sum(st)
	problem(m.read(&e, st))
	if e.Type == "policy" {
		problem(m.follow(&e, policy.Signed{Statement: st, Signatures: sig}))
		return e
	}
	k, err := keys.Verify(m.opt.Keys, st, sig)
	if err == nil {
		e.Key = k.String()
	}
	problem(err)
	return e
}

// read fills in what a statement says.
func (m *Monitor) read(e *Entry, st []byte) error {
	typ, _ := canon.TypeOf(st)
	switch typ {
	case release.Type:
		e.Type = "release"
		r, err := release.Parse(st)
		if err != nil {
			return err
		}
		e.Name, e.Version = r.Name, r.Version
		m.names[e.Digest] = r.Name
	case release.OrderType:
		e.Type = "order"
		o, err := release.ParseOrder(st)
		if err != nil {
			return err
		}
		e.Title = o.Title
		return m.about(e, o.ReleaseSHA256)
	case release.StopType:
		e.Type = "stop"
		s, err := release.ParseStop(st)
		if err != nil {
			return err
		}
		e.Target, e.Reason = s.Names(), s.Reason
		return m.about(e, s.TargetSHA256)
	case policy.Type:
		e.Type = "policy"
		p, err := policy.Parse(st)
		if err != nil {
			return err
		}
		e.Version = p.Version
	default:
		return canon.Fail(translog.ClassEntry, "a statement of type %.70q, which this program does not know", typ)
	}
	return nil
}

// follow verifies a policy: from the pinned root keys, or else from those of the
// log's first, each must be signed as the one before it says.
func (m *Monitor) follow(e *Entry, s policy.Signed) error {
	chain := append(slices.Clone(m.chain), s)
	root := m.opt.Root
	if root == nil {
		first, err := policy.Parse(chain[0].Statement)
		if err != nil {
			return err
		}
		root = &policy.Root{Keys: first.RootKeys, Threshold: first.Threshold}
	}
	p, err := root.Verify(chain)
	if err != nil {
		return err
	}
	m.chain = chain
	e.Key = fmt.Sprintf("%d of %d root keys", p.Threshold, len(p.RootKeys))
	return nil
}

// about finds the name of what a statement is about, which the log must have
// before it.
func (m *Monitor) about(e *Entry, d canon.Digest) error {
	name, ok := m.names[d]
	if !ok {
		return canon.Fail(translog.ClassEntry, "it is about %s, which is not in the log before it", d.Short())
	}
	e.Name = name
	m.names[e.Digest] = name
	return nil
}
