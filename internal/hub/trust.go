package hub

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/job"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/policy"
	"github.com/countersign/countersign/release"
)

// trusted is what the hub knows of the root of trust. It is replaced as a
// whole and never changed.
type trusted struct {
	policy.Trust
	chain []policy.Signed
	index signed
	seen  policy.Seen
}

// openTrust verifies the policies on disk and those that the operator gave,
// from the pinned root keys, and the last index.
func (h *Hub) openTrust() error {
	kept, err := h.statements(store.Policy)
	if err != nil {
		return err
	}
	var chain []policy.Signed
	for _, st := range kept {
		chain = append(chain, policy.Signed{Statement: st.Bytes, Signatures: st.Signature})
	}
	more := slices.DeleteFunc(slices.Clone(h.opt.Policies), func(s policy.Signed) bool {
		return slices.ContainsFunc(chain, func(c policy.Signed) bool { return string(c.Statement) == string(s.Statement) })
	})
	t := &trusted{chain: append(chain, more...)}
	if len(t.chain) == 0 {
		return fmt.Errorf("the hub has no policy yet: give it the first")
	}
	if t.Policy, t.seen, err = h.opt.Root.Open(t.chain, policy.Seen{}, h.now()); err != nil {
		return fmt.Errorf("reading the policy: %w", err)
	}
	for _, s := range more {
		if _, err := h.store.PutStatement(store.Policy, store.Statement{Bytes: s.Statement, Signature: s.Signatures, At: h.now()}); err != nil {
			return err
		}
	}
	h.openIndex(t)
	h.trust.Store(t)
	return nil
}

// openIndex takes the last index back, if it still counts for this policy.
func (h *Hub) openIndex(t *trusted) {
	st, found, err := h.store.Index()
	if err != nil || !found {
		return
	}
	x, seen, err := t.Policy.OpenIndex(st.Bytes, st.Signature, t.seen, h.now())
	if canon.ClassOf(err) == "expiry" { // what it says stays known
		if x, err = policy.ParseIndex(st.Bytes); err == nil {
			seen.ClockKey, seen.Index = t.Policy.ClockKey, x.Sequence // and nobody may go back behind it
		}
	}
	if err != nil {
		h.log.Warn("the last index counts no more", "code", canon.ClassOf(err), "error", err)
		return
	}
	t.Index, t.index, t.seen = x, signed{st.Bytes, st.Signature}, seen
}

// postPolicy admits the policy that comes next.
func (h *Hub) postPolicy(w http.ResponseWriter, r *http.Request) error {
	f, err := newForm(w, r, policy.MaxBytes+keys.MaxBundle)
	if err != nil {
		return err
	}
	var s policy.Signed
	if s.Statement, err = f.read("statement", policy.MaxBytes); err != nil {
		return err
	}
	if s.Signatures, err = f.read("signature", keys.MaxBundle); err != nil {
		return err
	}
	h.turn.Lock()
	defer h.turn.Unlock()
	was := h.trust.Load()
	digest := canon.Sum(s.Statement)
	if slices.ContainsFunc(was.chain, func(c policy.Signed) bool { return canon.Sum(c.Statement) == digest }) {
		return answer(w, http.StatusOK, wire.PolicyAdmitted{Policy: digest, Version: was.Policy.Version})
	}
	t := &trusted{chain: append(slices.Clone(was.chain), s)}
	if t.Policy, t.seen, err = h.opt.Root.Open(t.chain, was.seen, h.now()); err != nil {
		return err
	}
	if t.Policy.ClockKey == was.Policy.ClockKey {
		t.Index, t.index = was.Index, was.index
	}
	if _, err := h.store.PutStatement(store.Policy, store.Statement{Bytes: s.Statement, Signature: s.Signatures, At: h.now()}); err != nil {
		return err
	}
	if err := h.notary.advance(); err != nil {
		return err
	}
	h.follow(t)
	h.log.Info("policy admitted", "policy", digest, "version", t.Policy.Version, "expires", t.Policy.Expires)
	h.metrics.admitted.WithLabelValues("policy").Inc()
	return answer(w, http.StatusCreated, wire.PolicyAdmitted{Policy: digest, Version: t.Policy.Version})
}

// postIndex takes an index over, if it is not older than the one at hand.
func (h *Hub) postIndex(w http.ResponseWriter, r *http.Request) error {
	f, err := newForm(w, r, policy.MaxIndex+maxSignature)
	if err != nil {
		return err
	}
	var s signed
	if s.statement, err = f.read("statement", policy.MaxIndex); err != nil {
		return err
	}
	if s.signature, err = f.read("signature", maxSignature); err != nil {
		return err
	}
	h.turn.Lock()
	defer h.turn.Unlock()
	t := *h.trust.Load()
	if t.Index, t.seen, err = t.Policy.OpenIndex(s.statement, s.signature, t.seen, h.now()); err != nil {
		return err
	}
	t.index = s
	if err := h.store.PutIndex(store.Statement{Bytes: s.statement, Signature: s.signature, At: h.now()}); err != nil {
		return err
	}
	h.follow(&t)
	h.log.Info("index admitted", "sequence", t.Index.Sequence, "expires", t.Index.Expires, "revoked", len(t.Index.Revoked), "halt", t.Index.Halt)
	h.metrics.admitted.WithLabelValues("index").Inc()
	return answer(w, http.StatusCreated, wire.IndexAdmitted{Sequence: t.Index.Sequence, Expires: t.Index.Expires})
}

// follow puts new trust into effect: what it does not admit is stopped now,
// at every worker.
func (h *Hub) follow(t *trusted) {
	h.trust.Store(t)
	h.closeOrigins()
	for _, r := range h.catalog.allReleases() {
		s, _ := h.catalog.statement(r.digest)
		_, _, err := release.Open(s.statement, s.signature, t.Policy, h.admittedAt(r.Expires))
		if err == nil {
			err = t.GoodRelease(r.digest, r.Name, r.Version)
		}
		h.revoke(wire.KillRelease, r.digest, err)
	}
	for _, o := range h.catalog.allOrders() {
		s, _ := h.catalog.statement(o.digest)
		_, _, err := release.OpenOrder(s.statement, s.signature, t.Policy, h.named, h.admittedAt(o.Expires))
		if err == nil {
			err = t.Good("order", o.digest)
		}
		h.revoke(wire.KillOrder, o.digest, err)
	}
	h.lookAtTrust()
	h.repage()
}

// admittedAt is a time at which a statement's expiry is no reason to refuse it:
// the machine sees to that one.
func (h *Hub) admittedAt(expires canon.Time) time.Time {
	if now := h.now(); now.Before(expires.Time()) {
		return now
	}
	return expires.Time().Add(-time.Second)
}

// revoke stops what is not good, for as long as this hub runs. A halt is not
// about one release, and is lifted.
func (h *Hub) revoke(scope wire.Scope, d canon.Digest, why error) {
	if why == nil || canon.ClassOf(why) == "halted" {
		return
	}
	h.work(func(m *job.Machine) []job.Action {
		if _, is := m.StopReason(scope, d); is {
			return nil
		}
		h.log.Warn("stopped by the policy or the index", "scope", scope, "digest", d, "code", canon.ClassOf(why), "error", why)
		return m.Stop(h.now(), scope, d, printable(why.Error(), 160))
	})
}

// lookAtTrust halts everything while the policy has expired, or the index is
// missing, stale or says so, and warns before. The ticker calls it.
func (h *Hub) lookAtTrust() {
	t, now := h.trust.Load(), h.now()
	err := t.Current(now)
	if err == nil {
		err = t.Good("everything", canon.Digest{})
	}
	info, changed := h.trustInfo(t, now), false
	h.work(func(*job.Machine) []job.Action {
		if info.Warning != h.warned {
			changed = true
			if h.warned = info.Warning; info.Warning != "" {
				h.log.Warn("trust: "+info.Warning, "index", info.Index)
			} else {
				h.log.Info("trust is in order", "index", info.Index)
			}
		}
		h.distrust = ""
		if err != nil {
			h.distrust = printable(err.Error(), wire.MaxReason)
		}
		return h.rehalt(now)
	})
	if changed {
		h.repage()
	}
}

// rehalt halts the machine when an operator or the trust says so, and lifts
// the halt when neither does. Under h.mu.
func (h *Hub) rehalt(now time.Time) []job.Action {
	if reason := cmp.Or(h.halt, h.distrust); reason != "" {
		return h.machine.Halt(reason)
	}
	return h.machine.Lift(now)
}

// States of the index, in wire.TrustInfo.
const (
	indexNone    = "none" // no clock key, none needed
	indexMissing = "missing"
	indexFresh   = "fresh"
	indexAging   = "aging" // two thirds of its time are over
	indexStale   = "stale"
)

func (h *Hub) trustInfo(t *trusted, now time.Time) wire.TrustInfo {
	info := wire.TrustInfo{PolicyVersion: t.Policy.Version, PolicyExpires: t.Policy.Expires, Index: indexNone}
	if left := t.Policy.Expires.Time().Sub(now); left <= 0 {
		info.Warning = fmt.Sprintf("the policy expired at %s: nothing is lent until a new one comes", t.Policy.Expires)
	} else if left < 30*24*time.Hour {
		info.Warning = fmt.Sprintf("the policy expires at %s: root keys must sign a new one", t.Policy.Expires)
	}
	if t.Policy.ClockKey == "" {
		return info
	}
	x := t.Index
	if x == nil {
		info.Index, info.Warning = indexMissing, "there is no index yet: nothing is lent until the clock key's comes (signer clock)"
		return info
	}
	info.Index, info.IndexSequence, info.IndexExpires = indexFresh, x.Sequence, &x.Expires
	life, left := x.Expires.Time().Sub(x.Issued.Time()), x.Expires.Time().Sub(now)
	switch {
	case left <= 0:
		info.Index, info.Warning = indexStale, fmt.Sprintf("the index went stale at %s: nothing is lent until a new one comes (signer clock)", x.Expires)
	case left < life/3:
		info.Index, info.Warning = indexAging, fmt.Sprintf("the index goes stale at %s, and nothing will be lent then: see to signer clock", x.Expires)
	}
	return info
}

func (h *Hub) getPolicy(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin")
	var chain wire.PolicyChain
	for _, s := range h.trust.Load().chain {
		chain.Policies = append(chain.Policies, wire.SignedPolicy(s))
	}
	return answer(w, http.StatusOK, chain)
}

func (h *Hub) getIndex(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin")
	t := h.trust.Load()
	if t.Index == nil {
		return refusal(wire.CodeNotFound, "there is no index here")
	}
	return answer(w, http.StatusOK, wire.SignedIndex{Statement: t.index.statement, Signature: t.index.signature})
}

// current makes sure that the hub's policy may be used, and that there is room.
func (h *Hub) current() error {
	t := h.trust.Load()
	if err := t.Policy.Current(h.now()); err != nil {
		return refusal(wire.CodePolicy, "this hub's %v", err)
	}
	return h.roomy()
}

var errNoRoot = errors.New("the hub pins no root keys: give it those that sign its policy, and their threshold")
