package job

import (
	"bytes"
	"net/netip"
	"slices"

	"github.com/countersign/countersign/internal/wire"
)

// network is the net that a worker counts as, when told apart.
type network struct {
	net    netip.Prefix
	worker wire.Key // set if each worker is a network
}

func (m *Machine) network(net netip.Prefix, worker wire.Key) network {
	if m.cfg.UnsafeOneNetwork {
		return network{worker: worker}
	}
	return network{net: net}
}

// tally counts votes as docs/spec/job.md says. It depends on the set of votes
// and of checkpoints alone, not on their order.
type tally struct {
	voices int // of all votes
	best   wire.Outcome
	agree  int     // voices for best
	lead   bool    // no other outcome has as many
	need   int     // lanes to lend beside those that are lent
	won    bool    // best is accepted
	doubt  float64 // that best is right, where credibility counts
}

func (m *Machine) tally(t *task) tally {
	if t.order.Adaptive != nil {
		return m.weigh(t)
	}
	var y tally
	votes := t.counted()
	groups := m.groups(t, votes)
	y.voices = voices(groups)
	for i, b := range votes {
		alike := func(other ballot) bool { return other.outcome == b.outcome }
		if slices.ContainsFunc(votes[:i], alike) {
			continue // this outcome is counted already
		}
		var backing []int
		for j, other := range votes {
			if alike(other) {
				backing = append(backing, groups[j])
			}
		}
		switch agree := voices(backing); {
		case agree > y.agree:
			y.best, y.agree, y.lead = b.outcome, agree, true
		case agree == y.agree:
			y.lead = false
		}
	}
	if t.order.First && len(votes) > 0 {
		y.best, y.agree, y.lead = earliest(votes), 1, true
	}
	// So many voices at first that agree can be reached, then one at a time.
	y.need = max(t.order.Agree-y.voices, 1) - m.promised(t)
	y.won = y.lead && y.agree >= t.order.Agree
	return y
}

// earliest is the outcome that counts if the first does. There is a choice only
// when a crash lost the verdict on it; any will do, if it is always the same.
func earliest(votes []ballot) wire.Outcome {
	return slices.MinFunc(votes, func(a, b ballot) int { return bytes.Compare(a.worker[:], b.worker[:]) }).outcome
}

// voices counts groups.
func voices(groups []int) int {
	n := 0
	for i, g := range groups {
		if !slices.Contains(groups[:i], g) {
			n++
		}
	}
	return n
}

// groups numbers votes of a task: those that are linked, also by way of
// others, have one number.
func (m *Machine) groups(t *task, votes []ballot) []int {
	groups := make([]int, len(votes))
	for i, b := range votes {
		groups[i] = i
		for j, other := range votes[:i] {
			if groups[j] != groups[i] && m.linked(t, b.seat(), other.seat()) {
				merge(groups[:i+1], groups[i], groups[j])
			}
		}
	}
	return groups
}

func merge(groups []int, from, into int) {
	for i, g := range groups {
		if g == from {
			groups[i] = into
		}
	}
}

// promised counts the leases whose votes will be voices of their own.
func (m *Machine) promised(t *task) int {
	n, votes := 0, t.counted()
	for _, l := range t.held {
		heard := func(b ballot) bool { return m.linked(t, l.seat(), b.seat()) }
		if !slices.ContainsFunc(votes, heard) {
			n++
		}
	}
	return n
}

// seat is who is, or was, in which lane.
type seat struct {
	worker wire.Key
	net    netip.Prefix
	lane   uint32
}

func (b *ballot) seat() seat { return seat{b.worker, b.net, b.lane} }
func (l *lease) seat() seat  { return seat{l.Worker, l.Net, l.Lane} }

// linked reports whether one network is behind both. That of any author is
// behind all votes of its lane.
func (m *Machine) linked(t *task, a, b seat) bool {
	if m.network(a.net, a.worker) == m.network(b.net, b.worker) {
		return true
	}
	if len(t.lanes) == 0 {
		return false
	}
	behind := m.behind(t, b)
	return slices.ContainsFunc(m.behind(t, a), func(n network) bool { return slices.Contains(behind, n) })
}

// behind lists the networks whose work a vote may stand on.
func (m *Machine) behind(t *task, s seat) []network {
	all := []network{m.network(s.net, s.worker)}
	if ln := t.had(s.lane); ln != nil {
		for _, a := range ln.authors {
			all = append(all, m.network(a.net, a.worker))
		}
	}
	return all
}

// lost reports whether the task is given up.
func (y tally) lost(o *order) bool { return y.voices >= laneFactor*o.Of }
