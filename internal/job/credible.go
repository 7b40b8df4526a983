package job

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"

	"github.com/countersign/countersign/internal/wire"
)

// weighed is an outcome with the voices that count for it, by group.
type weighed struct {
	outcome wire.Outcome
	voices  map[int]int // weight by group
	sum     int
}

// weigh counts votes by credibility: docs/spec/job.md, "Credibility". It
// depends on the votes and on what is known of their workers.
func (m *Machine) weigh(t *task) tally {
	o := t.order
	votes := t.counted()
	groups := m.groups(t, votes)
	y := tally{voices: voices(groups)}
	all := m.outcomes(t, votes, groups)
	promised, more := m.weighPromised(t)
	strongest := weighed{}
	if len(all) > 0 {
		strongest = all[0]
		y.best, y.agree = strongest.outcome, len(strongest.voices)
		y.lead = len(all) == 1 || all[1].sum < strongest.sum
		y.doubt = doubt(all, strongest.sum)
	}
	least := 1
	if m.picked(t) {
		least = 2
	}
	y.won = y.lead && y.agree >= least && y.doubt <= o.Adaptive.error()
	if y.voices+more < laneFactor*o.Of && (len(strongest.voices)+more < least || doubt(all, strongest.sum+promised) > o.Adaptive.error()) {
		y.need = 1
	}
	return y
}

func (a *Adaptive) error() float64 { return float64(a.ErrorPPB) / 1e9 }

// outcomes lists what was voted for and weighs anything, the strongest first.
func (m *Machine) outcomes(t *task, votes []ballot, groups []int) (all []weighed) {
	for i, b := range votes {
		weight := m.weightOf(t, b)
		if weight == 0 {
			continue
		}
		at := slices.IndexFunc(all, func(w weighed) bool { return w.outcome == b.outcome })
		if at < 0 {
			at = len(all)
			all = append(all, weighed{outcome: b.outcome, voices: map[int]int{}})
		}
		w := &all[at]
		if more := weight - w.voices[groups[i]]; more > 0 {
			w.voices[groups[i]] += more
			w.sum += more
		}
	}
	slices.SortFunc(all, func(a, b weighed) int {
		if a.sum != b.sum {
			return b.sum - a.sum
		}
		return bytes.Compare(a.outcome.Transcript[:], b.outcome.Transcript[:])
	})
	return all
}

// weightOf is what the least trusted of those behind a vote weighs.
func (m *Machine) weightOf(t *task, b ballot) int {
	if b.resumed && t.order.rounds[t.num] > 0 {
		return 0 // whose work that was is forgotten
	}
	return m.weightAt(t, b.worker, b.lane)
}

func (m *Machine) weightAt(t *task, worker wire.Key, lane uint32) int {
	weight := m.weight(t.order, worker)
	if ln := t.had(lane); ln != nil {
		for _, a := range ln.authors {
			weight = min(weight, m.weight(t.order, a.worker))
		}
	}
	return weight
}

// weighPromised adds up the leases whose votes will be voices of their own.
func (m *Machine) weighPromised(t *task) (sum, n int) {
	votes := t.counted()
	for _, l := range t.held {
		heard := func(b ballot) bool { return m.linked(t, l.seat(), b.seat()) }
		if weight := m.weightAt(t, l.Worker, l.Lane); weight > 0 && !slices.ContainsFunc(votes, heard) {
			sum, n = sum+weight, n+1
		}
	}
	return sum, n
}

// doubt is the chance that the strongest of all outcomes is wrong, if it weighs
// so much.
func doubt(all []weighed, strongest int) float64 {
	against := math.Exp2(-float64(strongest) / bit) // that none is right
	for i := 1; i < len(all); i++ {
		against += math.Exp2(float64(all[i].sum-strongest) / bit)
	}
	return against / (1 + against)
}

// secret is a number that nobody but the hub knows, for one purpose and task.
func (t *task) secret(purpose string) uint64 {
	h := sha256.New()
	h.Write([]byte("countersign.adaptive/v1 " + purpose + "\n"))
	h.Write(t.order.secret[:])
	h.Write(t.order.ID[:])
	h.Write(binary.BigEndian.AppendUint64(nil, t.num))
	return binary.BigEndian.Uint64(h.Sum(nil))
}

// picked reports whether a task is checked by a second voice, whoever votes.
func (m *Machine) picked(t *task) bool {
	return t.secret("check")%1000 < uint64(t.order.Adaptive.ChecksPermille)
}

// evidence fills in what a verdict rests on, and what it says about voters.
func (m *Machine) evidence(t *task, y tally, d *Decide) {
	d.Weighed, d.Round = true, t.order.rounds[t.num]
	if d.Undecided {
		return
	}
	d.DoubtPPB = max(1, int(math.Ceil(y.doubt*1e9)))
	for _, b := range t.votes {
		weighs := m.weightOf(t, b) > 0
		agrees := b.outcome == d.Outcome
		if agrees && weighs {
			d.Behind = t.behindVote(d.Behind, b)
		}
		if !t.alone(b) {
			continue
		}
		switch {
		case !agrees:
			d.Caught = append(d.Caught, b.worker)
		case weighs && d.Agree > 1:
			d.Passed = append(d.Passed, b.worker)
		}
	}
	for _, keys := range [][]wire.Key{d.Behind, d.Passed, d.Caught} {
		slices.SortFunc(keys, func(a, b wire.Key) int { return bytes.Compare(a[:], b[:]) })
	}
}

// behindVote adds the worker of a vote and the authors of its lane.
func (t *task) behindVote(all []wire.Key, b ballot) []wire.Key {
	add := func(k wire.Key) {
		if !slices.Contains(all, k) {
			all = append(all, k)
		}
	}
	add(b.worker)
	if ln := t.had(b.lane); ln != nil {
		for _, a := range ln.authors {
			add(a.worker)
		}
	}
	return all
}

// alone reports whether a vote is the work of nobody but its worker.
func (t *task) alone(b ballot) bool {
	return !b.resumed && len(t.behindVote(nil, b)) == 1
}
