package job

import (
	"net/netip"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

// Checkpoint is the fact of a durable checkpoint.
type Checkpoint struct {
	Order    canon.Digest
	Task     uint64
	Lane     uint32
	Worker   wire.Key
	Net      netip.Prefix
	Segments uint32
	File     canon.Digest
}

// lane is what is known of a lane that had a checkpoint.
type lane struct {
	num      uint32
	segments uint32
	file     canon.Digest
	authors  []author
	stumbles int // leases in a row that went on from here and came to nothing
}

// author had a checkpoint kept in a lane.
type author struct {
	worker wire.Key
	net    netip.Prefix
}

// place is a lane to be lent. The zero place is the first lane of a fresh task.
type place struct {
	lane uint32
	from canon.Digest
}

// maxStumbles is how often a checkpoint may come to nothing before its lane is
// not lent again: it may be one that nobody can go on from.
const maxStumbles = 2

// had returns what is known of a lane, or nil if it never had a checkpoint.
func (t *task) had(num uint32) *lane {
	for _, ln := range t.lanes {
		if ln.num == num {
			return ln
		}
	}
	return nil
}

// Offer reports whether a checkpoint should be kept, and how many segments of
// its lane are kept already. After one that should be, the lease's next must
// come wire.KeptEvery later.
func (m *Machine) Offer(now time.Time, id wire.LeaseID, c Checkpoint) (has uint32, keep bool) {
	o := m.orders[c.Order]
	if o == nil || !o.admitted || o.state != Running && o.state != Queued && o.state != Paused || c.Task >= o.Tasks || o.rounds[c.Task] > 0 || o.decided.has(o.perm.position(c.Task)) {
		return 0, false
	}
	if t := o.open[c.Task]; t != nil { // a restart forgets leases
		if ln := t.had(c.Lane); ln != nil {
			has = ln.segments
		}
		if c.Segments <= has || t.voted(c.Lane) || m.elsewhere(t, c.Worker, c.Net, c.Lane) {
			return has, false
		}
	}
	if last, is := m.offered[id]; is && recent(now, last) {
		return has, false
	}
	m.offered[id] = now
	return has, true
}

// recent reports whether a checkpoint of then is too near for another. A moment
// in the future is of a clock that was set back since.
func recent(now, then time.Time) bool { return !then.After(now) && now.Sub(then) < wire.KeptEvery }

// Has returns how many segments of a lane are kept.
func (m *Machine) Has(id canon.Digest, task uint64, num uint32) uint32 {
	if o := m.orders[id]; o != nil && o.open[task] != nil {
		if ln := o.open[task].had(num); ln != nil {
			return ln.segments
		}
	}
	return 0
}

// forgetOffers forgets those that slow nobody down any more.
func (m *Machine) forgetOffers(now time.Time) {
	for id, at := range m.offered {
		if !recent(now, at) {
			delete(m.offered, id)
		}
	}
}

// Keep takes a checkpoint that is on disk. It returns how many segments of the
// lane are kept now.
func (m *Machine) Keep(now time.Time, c Checkpoint) (has uint32, actions []Action) {
	o := m.order(c.Order)
	o.when(func() { has = m.keep(o, c) })
	m.feed(now, feedSessions)
	return has, m.done()
}

func (m *Machine) keep(o *order, c Checkpoint) uint32 {
	if c.Task >= o.Tasks || o.rounds[c.Task] > 0 || o.decided.has(o.perm.position(c.Task)) {
		return 0
	}
	t := o.begin(c.Task)
	ln := t.had(c.Lane)
	if ln == nil {
		ln = &lane{num: c.Lane}
		t.lanes = append(t.lanes, ln)
	}
	if who := (author{c.Worker, c.Net}); !slices.Contains(ln.authors, who) {
		ln.authors = append(ln.authors, who)
		m.involve(t, c.Worker)
	}
	if c.Segments > ln.segments {
		ln.segments, ln.file, ln.stumbles = c.Segments, c.File, 0
	}
	m.review(t)
	return ln.segments
}

// place returns the lane that a worker may take of a task: the open one that
// it is an author of, or else the open one that is furthest, or a new one.
func (m *Machine) place(t *task, worker wire.Key, net netip.Prefix) (place, bool) {
	if m.busy(t, worker, net) {
		return place{}, false
	}
	var best *lane
	for _, ln := range t.lanes {
		if t.open(ln) && !m.elsewhere(t, worker, net, ln.num) && (best == nil || ln.segments > best.segments || ln.segments == best.segments && ln.num < best.num) {
			best = ln
		}
	}
	if best != nil {
		return place{best.num, best.file}, true
	}
	num := t.newLane()
	return place{lane: num}, num <= wire.MaxLane && !m.elsewhere(t, worker, net, num)
}

// open reports whether somebody may go on with a lane.
func (t *task) open(ln *lane) bool {
	return ln.stumbles < maxStumbles && !t.voted(ln.num) && !slices.ContainsFunc(t.held, func(l *lease) bool { return l.Lane == ln.num })
}

func (t *task) voted(lane uint32) bool {
	return slices.ContainsFunc(t.votes, func(b ballot) bool { return b.lane == lane })
}

// busy reports whether a worker or its network holds a lane of the task or has
// voted on it.
func (m *Machine) busy(t *task, worker wire.Key, net netip.Prefix) bool {
	return slices.ContainsFunc(t.votes, func(b ballot) bool { return m.same(b.worker, b.net, worker, net) }) ||
		slices.ContainsFunc(t.held, func(l *lease) bool { return m.same(l.Worker, l.Net, worker, net) })
}

// elsewhere reports whether a worker or its network holds, has voted in or is
// an author of another lane of the task.
func (m *Machine) elsewhere(t *task, worker wire.Key, net netip.Prefix, lane uint32) bool {
	for _, b := range t.votes {
		if b.lane != lane && m.same(b.worker, b.net, worker, net) {
			return true
		}
	}
	for _, l := range t.held {
		if l.Lane != lane && m.same(l.Worker, l.Net, worker, net) {
			return true
		}
	}
	for _, ln := range t.lanes {
		wrote := func(a author) bool { return m.same(a.worker, a.net, worker, net) }
		if ln.num != lane && slices.ContainsFunc(ln.authors, wrote) {
			return true
		}
	}
	return false
}

func (m *Machine) same(w1 wire.Key, n1 netip.Prefix, w2 wire.Key, n2 netip.Prefix) bool {
	return w1 == w2 || m.network(n1, w1) == m.network(n2, w2)
}

// newLane returns the lowest lane number that nobody holds, has voted in or is
// an author of. Where it would tell a worker that another was there before, the
// numbers are mixed.
func (t *task) newLane() uint32 {
	mix := uint32(0)
	if t.order.Adaptive != nil {
		mix = uint32(t.secret("lane")) & wire.MaxLane
	}
	for i := uint32(0); ; i++ {
		n := i ^ mix
		if !slices.ContainsFunc(t.held, func(l *lease) bool { return l.Lane == n }) && !t.voted(n) && t.had(n) == nil {
			return n
		}
	}
}

// stumble notes that a lease went on from a checkpoint and came no further.
func (l *lease) stumble() {
	if ln := l.task.had(l.Lane); ln != nil && l.From != (canon.Digest{}) && ln.file == l.From {
		ln.stumbles++
	}
}
