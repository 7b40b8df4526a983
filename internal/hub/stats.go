package hub

import (
	"context"
	"hash/maphash"
	"maps"
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/job"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/wire"
)

// stats is what is counted of an order: of the facts, which are counted again at
// every start, and of leases, which are not facts, since the hub started.
type stats struct {
	mu       sync.Mutex
	votes    map[string]uint64 // by how the task ended
	spent    uint64            // fuel of votes
	verified uint64            // fuel of accepted outcomes, once for each task
	agreeing uint64            // voices for them
	workers  *sketch
	networks *sketch

	lent, taken uint64
	returned    map[string]uint64 // by reason
	times       *durations        // from lease to vote
}

var sketchSeed = maphash.MakeSeed()

// vote counts a vote that is on disk.
func (s *stats) vote(v *store.Vote) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.workers == nil {
		s.votes, s.workers, s.networks = map[string]uint64{}, new(sketch), new(sketch)
	}
	s.votes[string(v.End)]++
	s.spent = plus(s.spent, v.Fuel)
	s.workers.add(maphash.Comparable(sketchSeed, v.Worker))
	s.networks.add(maphash.Comparable(sketchSeed, v.Net))
}

// plus adds fuel, of which there may be more than the sum can hold.
func plus(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}

// forgetVotes is for an order whose votes were removed.
func (s *stats) forgetVotes() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.votes, s.spent, s.workers, s.networks = nil, 0, nil, nil
}

// verdict counts an accepted outcome, or takes it back.
func (s *stats) verdict(v *store.Verdict, back bool) {
	if v.Undecided {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if back {
		s.verified -= min(s.verified, v.Outcome.Fuel)
		s.agreeing -= min(s.agreeing, uint64(v.Agree))
		return
	}
	s.verified = plus(s.verified, v.Outcome.Fuel)
	s.agreeing += uint64(v.Agree)
}

func (s *stats) lend() {
	s.mu.Lock()
	s.lent++
	s.mu.Unlock()
}

// took counts a lease whose vote was taken.
func (s *stats) took(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken++
	if s.times == nil {
		s.times = new(durations)
	}
	s.times.add(d)
}

// back counts a lease that ended without a vote.
func (s *stats) back(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.returned == nil {
		s.returned = map[string]uint64{}
	}
	s.returned[reason]++
}

// record notes what an action says about an order. Under h.mu.
func (h *Hub) record(a job.Action) {
	switch a := a.(type) {
	case job.Lend:
		if o, err := h.catalog.order(a.Lease.Order); err == nil {
			o.stats.lend()
		}
	case job.Reclaimed:
		if o, err := h.catalog.order(a.Lease.Order); err == nil {
			o.stats.back(string(a.Why))
		}
	case job.Decide:
		if o, err := h.catalog.order(a.Order); err == nil {
			v := durableVerdict(a)
			o.stats.verdict(&v, false)
		}
	}
}

// uncount takes a verdict back that holds no more.
func (h *Hub) uncount(v *store.Verdict) {
	if o, err := h.catalog.order(v.Order); err == nil {
		o.stats.verdict(v, true)
	}
}

// took counts a lease whose vote was taken. One that the hub knows by its token
// only says when it began, too.
func (h *Hub) took(l job.Lease) {
	if o, err := h.catalog.order(l.Order); err == nil && !l.Since.IsZero() {
		o.stats.took(max(h.now().Sub(l.Since), 0))
	}
}

// statistics is all of that, for an order that stands as info says.
func (h *Hub) statistics(o *orderEntry, info *wire.OrderInfo) *wire.Statistics {
	s := &o.stats
	s.mu.Lock()
	defer s.mu.Unlock()
	w := &wire.Statistics{Votes: map[string]uint64{}, FuelSpent: s.spent, FuelVerified: s.verified, Agreeing: s.agreeing,
		Since: canon.TimeOf(h.since), Lent: s.lent, Taken: s.taken, Returned: map[string]uint64{}}
	maps.Copy(w.Votes, s.votes)
	maps.Copy(w.Returned, s.returned)
	if s.workers != nil {
		w.Workers, w.Networks = s.workers.count(), s.networks.count()
	}
	if n := info.Accepted + info.Undecided; n > 0 {
		w.VotesPerVerdict = float64(info.Votes) / float64(n)
	}
	if s.times != nil {
		w.MedianSeconds, w.P90Seconds = s.times.quantile(0.5), s.times.quantile(0.9)
	}
	return w
}

// timeline is what happened to an order until it came into a state.
func (h *Hub) timeline(ctx context.Context, o *orderEntry, state string) ([]wire.Moment, error) {
	all, err := h.store.Timeline(o.digest)
	if n := len(all); err == nil && (n == 0 || all[n-1].State != state) { // it is on its way to the disk
		if err = h.settled(ctx); err == nil {
			all, err = h.store.Timeline(o.digest)
		}
	}
	if err != nil {
		return nil, err
	}
	line := []wire.Moment{{At: canon.TimeOf(o.admitted), State: wire.Admitted}}
	for _, m := range all {
		line = append(line, wire.Moment{At: canon.TimeOf(m.At), State: m.State, Reason: m.Reason, Accepted: m.Accepted, Undecided: m.Undecided, Withdrawn: m.Withdrawn})
	}
	return line, nil
}

// getOrder answers with all that is known of an order.
func (h *Hub) getOrder(w http.ResponseWriter, r *http.Request) error {
	o, err := h.pathOrder(r)
	if err != nil {
		return err
	}
	info := h.orderInfo(o)
	info.Statistics = h.statistics(o, &info)
	if info.Timeline, err = h.timeline(r.Context(), o, info.State); err != nil {
		return err
	}
	return answer(w, http.StatusOK, info)
}
