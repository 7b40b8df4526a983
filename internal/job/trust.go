package job

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

const (
	// halfLife is after how many days a passed check counts half.
	halfLife = 30
	// banDays is for how many days after a catch a worker counts nothing.
	banDays = 7
	// maxBits bounds the logarithm of odds, so that sums stay exact.
	maxBits = 60
	// bit is one bit of a logarithm.
	bit = 1024
)

// Adaptive is what the machine needs of an order's adaptive redundancy.
type Adaptive struct {
	Scope          string // whose checks count here
	ErrorPPB       int
	ChecksPermille int
	Faulty, Lies   int // permille
}

// who is a worker in a scope.
type who struct {
	scope  string
	worker wire.Key
}

// record is what is known of a worker. It follows from verdicts alone.
type record struct {
	passes map[int]int // by day
	caught []catch
	open   []*task // with a vote or checkpoint of this worker, some of them settled since
}

type catch struct {
	day     int
	order   canon.Digest
	task    uint64
	refuted bool // by an auditor's refutation, and not by a verdict
}

func (m *Machine) record(w who) *record {
	r := m.records[w]
	if r == nil {
		r = &record{passes: map[int]int{}}
		m.records[w] = r
	}
	return r
}

func dayOf(t time.Time) int { return int(t.Unix() / (24 * 60 * 60)) }

// caughtOn returns the last day on which a worker was caught, or -1.
func (r *record) caughtOn() int {
	day := -1
	for _, c := range r.caught {
		day = max(day, c.day)
	}
	return day
}

func (r *record) banned(today int) bool {
	day := r.caughtOn()
	return day >= 0 && today <= day+banDays
}

// checks is how many passed checks count today.
func (r *record) checks(today int) int {
	since, k := r.caughtOn(), 0
	for day, n := range r.passes {
		if age := max(today-day, 0) / halfLife; day > since && age < 32 {
			k += n >> age
		}
	}
	return k
}

// weight is the logarithm of the odds that a worker's outcome is right, in
// parts of a bit; 0: it counts nothing.
func (m *Machine) weight(o *order, worker wire.Key) int {
	r := m.records[who{o.Adaptive.Scope, worker}]
	if r == nil {
		return o.Adaptive.odds(0)
	}
	if today := dayOf(m.now); !r.banned(today) {
		return o.Adaptive.odds(r.checks(today))
	}
	return 0
}

// odds of a worker that has passed k checks: docs/spec/job.md, "Credibility".
func (a *Adaptive) odds(k int) int {
	f, s := float64(a.Faulty)/1000, float64(a.Lies)/1000
	fresh := math.Log2((1 - f) / f)
	best := fresh
	if k > 0 {
		best = max(best, math.Log2((float64(k)-f)/f))
	}
	if s > 0 {
		best = max(best, fresh-float64(k)*math.Log2(1-s))
	}
	return int(min(best, maxBits) * bit)
}

// banned reports whether a worker is lent nothing of an order.
func (m *Machine) banned(o *order, worker wire.Key) bool {
	if o.Adaptive == nil {
		return false
	}
	r := m.records[who{o.Adaptive.Scope, worker}]
	return r != nil && r.banned(dayOf(m.now))
}

// learn takes in what a verdict says about its voters, or takes it back.
func (m *Machine) learn(o *order, v Verdict, back bool) {
	if o.Adaptive == nil {
		return
	}
	day := dayOf(v.At)
	for _, k := range v.Passed {
		r := m.record(who{o.Adaptive.Scope, k})
		if back {
			r.passes[day]--
		} else {
			r.passes[day]++
		}
		m.unsettle(r)
	}
	for _, k := range v.Caught {
		m.catch(o, k, catch{day, v.Order, v.Task, false}, back)
	}
}

// catch notes that a worker was caught, or takes it back.
func (m *Machine) catch(o *order, worker wire.Key, c catch, back bool) {
	r := m.record(who{o.Adaptive.Scope, worker})
	r.caught = slices.DeleteFunc(r.caught, func(x catch) bool { return x == c })
	if !back {
		r.caught = append(r.caught, c)
		if !m.loading {
			m.do(Suspect{o.Adaptive.Scope, worker})
		}
	}
	m.unsettle(r)
}

// unsettle lets the tasks be weighed again that a worker has a part in.
func (m *Machine) unsettle(r *record) {
	r.open = slices.DeleteFunc(r.open, func(t *task) bool { return t.order.open[t.num] != t })
	m.stale = append(m.stale, r.open...)
}

// involve notes that a worker has a part in a task.
func (m *Machine) involve(t *task, worker wire.Key) {
	if t.order.Adaptive == nil {
		return
	}
	if r := m.record(who{t.order.Adaptive.Scope, worker}); !slices.Contains(r.open, t) {
		r.open = append(r.open, t)
	}
}

// newDay weighs everything again, because checks count less, and bans end.
func (m *Machine) newDay(now time.Time) {
	before := dayOf(m.now)
	m.now = now
	if dayOf(now) == before {
		return
	}
	for _, o := range m.admitted {
		for _, t := range o.open {
			if o.Adaptive != nil {
				m.stale = append(m.stale, t)
			}
		}
	}
}

// reconsider reviews the tasks whose workers are trusted otherwise now, and
// those that change by what comes of it.
func (m *Machine) reconsider() {
	for len(m.stale) > 0 && !m.loading {
		stale := m.stale
		m.stale = nil
		slices.SortFunc(stale, func(a, b *task) int {
			return cmp.Or(bytes.Compare(a.order.ID[:], b.order.ID[:]), cmp.Compare(a.num, b.num))
		})
		for _, t := range slices.Compact(stale) {
			if t.order.open[t.num] == t {
				m.review(t)
				m.restate(m.now, t.order)
			}
		}
	}
}

// suspects asks for all that caught workers decided to be weighed again.
func (m *Machine) suspects() {
	var all []who
	for w, r := range m.records {
		if len(r.caught) > 0 {
			all = append(all, w)
		}
	}
	slices.SortFunc(all, func(a, b who) int {
		return cmp.Or(cmp.Compare(a.scope, b.scope), bytes.Compare(a.worker[:], b.worker[:]))
	})
	for _, w := range all {
		m.do(Suspect{w.scope, w.worker})
	}
}

// Trust is how much a worker is trusted in a scope.
func (m *Machine) Trust(scope string, worker wire.Key) (checks int, banned bool) {
	r := m.records[who{scope, worker}]
	if r == nil {
		return 0, false
	}
	return r.checks(dayOf(m.now)), r.banned(dayOf(m.now))
}
