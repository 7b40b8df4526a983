package hub

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/job"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/release"
)

// load gives the machine all facts on disk. Statements are verified again: by
// the policy of today, at the time of their admission. What it no longer
// admits is kept, shown, and not lent.
func (h *Hub) load() error {
	for _, step := range []func() error{h.loadReleases, h.loadOrders, h.loadStops, h.loadKills, h.loadVerdicts, h.loadWithdrawals, h.loadRefutations, h.loadCheckpoints, h.loadVotes} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// statements returns those of a kind in the order of admission.
func (h *Hub) statements(kind store.Kind) ([]store.Statement, error) {
	var all []store.Statement
	err := h.store.Statements(kind, func(st store.Statement) error { all = append(all, st); return nil })
	slices.SortFunc(all, func(a, b store.Statement) int { return cmp.Compare(a.Seq, b.Seq) })
	return all, err
}

func (h *Hub) loadReleases() error {
	trust := h.trust.Load()
	all, err := h.statements(store.Release)
	if err != nil {
		return err
	}
	for _, st := range all {
		r, _, err := release.Open(st.Bytes, st.Signature, trust.Policy, st.At)
		if err != nil {
			h.withhold(wire.KillRelease, st.Digest, err)
			if r, err = release.Parse(st.Bytes); err != nil {
				return fmt.Errorf("release %s: %w", st.Digest.Short(), err)
			}
		}
		if err := trust.GoodRelease(st.Digest, r.Name, r.Version); err != nil && canon.ClassOf(err) != "halted" {
			h.withhold(wire.KillRelease, st.Digest, err)
		}
		if err := h.loadModule(r); err != nil {
			h.withhold(wire.KillRelease, st.Digest, err)
		}
		h.catalog.addRelease(&releaseEntry{r, st.Digest, st.Seq}, signed{st.Bytes, st.Signature})
	}
	return nil
}

// loadModule reads a release's module, which makes sure that it is unchanged.
func (h *Hub) loadModule(r *release.Release) error {
	module, err := h.module(r.ModuleSHA256)
	if err != nil {
		return err
	}
	return r.CheckModule(module)
}

// module returns a module or source of a release.
func (h *Hub) module(d canon.Digest) ([]byte, error) {
	return h.modules.get(d, func() ([]byte, error) { return h.store.Blob(d, release.MaxModule) })
}

// withhold keeps a release or order from being lent as long as this hub runs.
func (h *Hub) withhold(scope wire.Scope, d canon.Digest, why error) {
	h.log.Warn("not lent any more", "scope", scope, "digest", d, "code", canon.ClassOf(why), "error", why)
	h.machine.Stop(h.now(), scope, d, "not admitted by this hub any more: "+printable(why.Error(), 120))
}

func (h *Hub) loadOrders() error {
	trust := h.trust.Load()
	all, err := h.statements(store.Order)
	if err != nil {
		return err
	}
	for _, st := range all {
		o, who, err := release.OpenOrder(st.Bytes, st.Signature, trust.Policy, h.named, st.At)
		if err != nil {
			h.withhold(wire.KillOrder, st.Digest, err)
			if o, err = release.ParseOrder(st.Bytes); err != nil {
				return fmt.Errorf("order %s: %w", st.Digest.Short(), err)
			}
		}
		if err := trust.Good("order", st.Digest); err != nil && canon.ClassOf(err) != "halted" {
			h.withhold(wire.KillOrder, st.Digest, err)
		}
		rel, err := h.catalog.release(o.ReleaseSHA256)
		if err != nil {
			return fmt.Errorf("order %s: %w", st.Digest.Short(), err)
		}
		entry := &orderEntry{Order: o, digest: st.Digest, release: rel, seq: st.Seq, blob: st.Input}
		if who != nil {
			entry.researcher = who.Key.String() // nobody's order is stopped
		}
		if entry.input, err = h.loadInputs(entry); err != nil {
			h.withhold(wire.KillOrder, st.Digest, err)
			entry.input = withheld{err}
		}
		h.catalog.addOrder(entry, signed{st.Bytes, st.Signature})
		h.perform(h.machine.Admit(h.now(), entry.spec()))
		if o.Input.Outputs != nil && st.Input != (canon.Digest{}) {
			h.perform(h.machine.Gathered(h.now(), st.Digest))
		}
	}
	return nil
}

// named finds the release that an order names.
func (h *Hub) named(d canon.Digest) (*release.Release, error) {
	r, err := h.catalog.release(d)
	if err != nil {
		return nil, err
	}
	return r.Release, nil
}

func (h *Hub) loadInputs(o *orderEntry) (taskInputs, error) {
	if o.Input.IsStated() {
		return statedInputs{&o.Input}, nil
	}
	if o.Input.Outputs != nil {
		return h.loadOutputs(o)
	}
	file, err := h.blob(o)
	if err != nil {
		return nil, err
	}
	in, err := scanInputs(o.Order, file)
	if err != nil {
		file.Close() // it was only read
		return nil, err
	}
	in.from(file)
	return in, nil
}

// loadOutputs opens inputs that were gathered before the hub started.
func (h *Hub) loadOutputs(o *orderEntry) (taskInputs, error) {
	in := &outputInputs{}
	if o.blob == (canon.Digest{}) {
		return in, nil
	}
	f, err := h.openOutputs(o, o.blob)
	if err != nil {
		return nil, err
	}
	in.set(f)
	return in, nil
}

// spec is what the machine needs of an order.
func (o *orderEntry) spec() job.Order {
	agree, of := o.Redundancy.Voices()
	spec := job.Order{ID: o.digest, Release: o.ReleaseSHA256, Tasks: o.Tasks(), Agree: agree, Of: of, First: o.Redundancy.First != nil,
		CompletePermille: o.CompletePermille, Priority: o.Priority, Researcher: o.researcher, NotBefore: o.NotBefore.Time(), Expires: o.ends(), Seconds: o.release.seconds(),
		Deadline: time.Duration(o.DeadlineSeconds) * time.Second}
	if a := o.Redundancy.Adaptive; a != nil {
		scope, _, _ := strings.Cut(o.release.Name, "/")
		spec.Adaptive = &job.Adaptive{Scope: scope, ErrorPPB: a.ErrorPPB, ChecksPermille: a.ChecksPermille, Faulty: a.FaultyPermille, Lies: a.LiesPermille}
	}
	if o.After != nil {
		spec.After, spec.AfterPermille, spec.Gather = o.After.Order, o.After.Permille, o.Input.Outputs != nil
	}
	return spec
}

func (h *Hub) loadStops() error {
	all, err := h.statements(store.Stop)
	if err != nil {
		return err
	}
	for _, st := range all {
		s, err := release.ParseStop(st.Bytes)
		if err != nil {
			return fmt.Errorf("stop %s: %w", st.Digest.Short(), err)
		}
		// Stopping needs no trust: a stop stays, whoever may sign today.
		h.catalog.addStop(st.Digest, signed{st.Bytes, st.Signature})
		h.perform(h.applyStop(s))
	}
	return nil
}

// applyStop brings a researcher's stop into effect.
func (h *Hub) applyStop(s *release.Stop) []job.Action {
	if s.Task != nil {
		return h.machine.StopTask(h.now(), s.TargetSHA256, *s.Task, s.Reason)
	}
	return h.machine.Stop(h.now(), wire.Scope(s.Target), s.TargetSHA256, s.Reason)
}

func (h *Hub) loadKills() error {
	return h.store.Kills(func(k store.Kill) error {
		h.perform(h.applyKill(h.now(), k))
		return nil
	})
}

// applyKill brings an operator's kill or resume into effect.
func (h *Hub) applyKill(now time.Time, k store.Kill) []job.Action {
	switch {
	case k.Resume:
		h.halt = ""
		return h.rehalt(now)
	case k.Scope == wire.KillAll:
		h.halt = k.Reason
		return h.rehalt(now)
	case k.Scope == wire.KillTask:
		order, task, err := wire.ParseTaskTarget(k.Target)
		if err != nil {
			h.log.Error("a kill names no task", "target", k.Target)
			return nil
		}
		return h.machine.StopTask(now, order, task, k.Reason)
	}
	d, err := canon.ParseDigest(k.Target)
	if err != nil {
		h.log.Error("a kill names no digest", "target", k.Target)
		return nil
	}
	return h.machine.Stop(now, k.Scope, d, k.Reason)
}

func (h *Hub) loadVerdicts() error {
	return h.store.Verdicts(func(v store.Verdict) error {
		h.results.Add(1)
		h.perform(h.machine.Verdict(h.now(), verdictFact(v)))
		return nil
	})
}

func (h *Hub) loadVotes() error {
	return h.store.Votes(func(v store.Vote) error {
		h.counted(v.Order)
		_, actions := h.machine.Cast(h.now(), fact(v))
		h.perform(actions)
		return nil
	})
}

// counted notes a vote that is on disk.
func (h *Hub) counted(order canon.Digest) {
	h.stored.Add(1)
	if o, err := h.catalog.order(order); err == nil {
		o.votes.Add(1)
	}
}

// fact is a durable vote as the machine takes it.
func fact(v store.Vote) job.Vote {
	return job.Vote{Order: v.Order, Task: v.Task, Lane: v.Lane, Worker: v.Worker, Net: v.Net, Lease: v.Lease, Resumed: v.From > 0, Outcome: v.Outcome()}
}

// printable cuts s to n characters of printable ASCII.
func printable(s string, n int) string {
	b := []byte(s[:min(len(s), n)])
	for i, c := range b {
		if c < 0x20 || c > 0x7e {
			b[i] = '?'
		}
	}
	return string(b)
}
