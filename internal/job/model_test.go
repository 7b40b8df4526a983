package job

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

var t0 = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

func counterIDs() func() wire.LeaseID {
	var n uint64
	return func() (id wire.LeaseID) {
		n++
		binary.BigEndian.PutUint64(id[8:], n)
		return id
	}
}

func key(n int) (k wire.Key) {
	binary.BigEndian.PutUint64(k[:], uint64(n)+1)
	return k
}

func net(n int) netip.Prefix {
	return NetOf(netip.AddrFrom4([4]byte{10, byte(n >> 8), byte(n), 7}))
}

func outcome(s string) wire.Outcome {
	return wire.Outcome{End: wire.EndExit, Fuel: 7, Output: canon.Sum([]byte(s))}
}

// sim drives a machine with random events, believes nothing that it says, and
// checks what it does against the rules.
type sim struct {
	rt       *rapid.T
	cfg      Config
	m        *Machine
	now      time.Time
	orders   map[canon.Digest]Order
	stops    []target
	votes    map[canon.Digest]map[uint64][]Vote
	verdicts map[canon.Digest]map[uint64]Decide
	facts    []fact
	live     map[wire.LeaseID]Lease
	past     []Lease // ended without a vote: late ones may come
	sessions map[SessionID]int
	want     map[SessionID]int
	held     map[SessionID]map[wire.LeaseID]bool
	next     SessionID
	halted   bool
}

func newSim(rt *rapid.T, cfg Config) *sim {
	s := &sim{rt: rt, cfg: cfg, now: t0, orders: map[canon.Digest]Order{}, votes: map[canon.Digest]map[uint64][]Vote{},
		verdicts: map[canon.Digest]map[uint64]Decide{}, live: map[wire.LeaseID]Lease{}, sessions: map[SessionID]int{},
		want: map[SessionID]int{}, held: map[SessionID]map[wire.LeaseID]bool{}}
	s.m = New(cfg)
	s.carry(s.m.Settle(s.now))
	return s
}

func (s *sim) netOf(v Vote) string {
	if s.cfg.UnsafeOneNetwork {
		return v.Worker.String()
	}
	return v.Net.String()
}

// carry checks and carries out actions.
func (s *sim) carry(actions []Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case Lend:
			s.lent(a)
		case EndLease:
			s.ended(a.Lease)
		case Reclaimed:
			s.ended(a.Lease.ID)
		case Decide:
			s.decided(a)
		case Broadcast:
			for id, l := range s.live {
				if a.Scope == wire.KillAll || a.Target == l.Order.String() {
					s.ended(id)
				}
			}
		}
	}
}

func (s *sim) lent(a Lend) {
	l := a.Lease
	o := s.orders[l.Order]
	switch {
	case s.halted:
		s.rt.Fatalf("lent while halted: %+v", l)
	case l.Task >= o.Tasks:
		s.rt.Fatalf("lent task %d of %d", l.Task, o.Tasks)
	case s.now.Before(o.NotBefore) || !s.now.Before(o.Expires):
		s.rt.Fatalf("lent out of the order's time: %+v", l)
	case slices.ContainsFunc(s.stops, func(t target) bool { return t.digest == l.Order || t.digest == o.Release }):
		s.rt.Fatalf("lent of a stopped order: %+v", l)
	}
	if _, is := s.verdicts[l.Order][l.Task]; is {
		s.rt.Fatalf("lent a decided task: %+v", l)
	}
	me := s.netOf(Vote{Worker: l.Worker, Net: l.Net})
	for _, other := range s.live {
		if other.Order == l.Order && other.Task == l.Task && (other.Worker == l.Worker || s.netOf(Vote{Worker: other.Worker, Net: other.Net}) == me) {
			s.rt.Fatalf("two lanes of task %d lent to one worker or network: %+v and %+v", l.Task, other, l)
		}
	}
	for _, v := range s.votes[l.Order][l.Task] {
		if v.Worker == l.Worker || s.netOf(v) == me {
			s.rt.Fatalf("lent to a network that voted: %+v, %+v", v, l)
		}
	}
	if s.held[a.Session][l.ID] = true; len(s.held[a.Session]) > s.want[a.Session] {
		s.rt.Fatalf("session %d wants %d leases and has %d", a.Session, s.want[a.Session], len(s.held[a.Session]))
	}
	if l.Lane > wire.MaxLane {
		s.rt.Fatalf("lane %d", l.Lane)
	}
	s.live[l.ID] = l
}

func (s *sim) ended(id wire.LeaseID) {
	if l, is := s.live[id]; is {
		s.past = append(s.past, l)
	}
	delete(s.live, id)
	for _, h := range s.held {
		delete(h, id)
	}
}

func (s *sim) decided(d Decide) {
	o := s.orders[d.Order]
	if old, is := s.verdicts[d.Order][d.Task]; is {
		s.rt.Fatalf("decided twice: %+v, %+v", old, d)
	}
	for outcome, nets := range s.support(d.Order, d.Task) {
		switch {
		case outcome == d.Outcome && !d.Undecided && len(nets) < o.Agree:
			s.rt.Fatalf("accepted with %d of %d votes: %+v", len(nets), o.Agree, d)
		case outcome != d.Outcome && !d.Undecided && len(nets) >= d.Agree:
			s.rt.Fatalf("accepted without a lead: %+v", d)
		}
	}
	if !d.Undecided && len(s.support(d.Order, d.Task)[d.Outcome]) != d.Agree {
		s.rt.Fatalf("accepted with votes that are not there: %+v", d)
	}
	if d.Undecided && len(s.votes[d.Order][d.Task]) < laneFactor*o.Of {
		s.rt.Fatalf("given up after %d votes: %+v", len(s.votes[d.Order][d.Task]), d)
	}
	if s.verdicts[d.Order] == nil {
		s.verdicts[d.Order] = map[uint64]Decide{}
	}
	s.verdicts[d.Order][d.Task] = d
	s.facts = append(s.facts, fact{func(m *Machine) { m.Verdict(s.now, d.Order, d.Task, d.Undecided) }, &d})
}

// fact is what a hub has on disk, and how it tells a machine when it starts.
type fact struct {
	tell    func(*Machine)
	verdict *Decide
}

func (s *sim) fact(f func(*Machine)) { s.facts = append(s.facts, fact{tell: f}) }

func (s *sim) support(order canon.Digest, task uint64) map[wire.Outcome]map[string]bool {
	all := map[wire.Outcome]map[string]bool{}
	for _, v := range s.votes[order][task] {
		if all[v.Outcome] == nil {
			all[v.Outcome] = map[string]bool{}
		}
		all[v.Outcome][s.netOf(v)] = true
	}
	return all
}

// cast does what a hub does with a result: ask, make durable, count.
func (s *sim) cast(l Lease, out wire.Outcome) {
	if s.m.Admissible(l.Order, l.Task) != nil {
		return
	}
	delete(s.live, l.ID)
	for _, h := range s.held {
		delete(h, l.ID)
	}
	v := Vote{Order: l.Order, Task: l.Task, Lane: l.Lane, Worker: l.Worker, Net: l.Net, Lease: l.ID, Outcome: out}
	if s.votes[l.Order] == nil {
		s.votes[l.Order] = map[uint64][]Vote{}
	}
	for _, old := range s.votes[l.Order][l.Task] {
		if old.Worker == v.Worker {
			v = old // the store keeps the first vote of a worker
		}
	}
	_, was := s.verdicts[l.Order][l.Task]
	if !slices.Contains(s.votes[l.Order][l.Task], v) {
		s.votes[l.Order][l.Task] = append(s.votes[l.Order][l.Task], v)
		s.fact(func(m *Machine) { m.Cast(s.now, v) })
	}
	verdict, actions := s.m.Cast(s.now, v)
	s.carry(actions)
	d, is := s.verdicts[l.Order][l.Task]
	want := wire.Pending
	switch {
	case was:
		want = wire.Late
	case is && !d.Undecided && d.Outcome == v.Outcome:
		want = wire.Agreed
	case is:
		want = wire.Outvoted
	}
	if verdict != want {
		s.rt.Fatalf("the vote counts as %s, want %s", verdict, want)
	}
}

func (s *sim) connect(worker int) SessionID {
	s.next++
	s.sessions[s.next] = worker
	s.held[s.next] = map[wire.LeaseID]bool{}
	s.m.Connect(s.next, key(worker), net(worker/2)) // two workers a network
	return s.next
}

func (s *sim) admit(o Order) {
	s.orders[o.ID] = o
	s.fact(func(m *Machine) { m.Admit(s.now, o) })
	s.carry(s.m.Admit(s.now, o))
}

func (s *sim) anySession() SessionID {
	ids := make([]SessionID, 0, len(s.sessions))
	for id := range s.sessions {
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		s.rt.Skip("nobody is connected")
	}
	slices.Sort(ids)
	return rapid.SampledFrom(ids).Draw(s.rt, "session")
}

func (s *sim) anyLease() Lease {
	all := make([]Lease, 0, len(s.live))
	for _, l := range s.live {
		all = append(all, l)
	}
	if len(all) == 0 {
		s.rt.Skip("nothing is lent")
	}
	slices.SortFunc(all, func(a, b Lease) int { return slices.Compare(a.ID[:], b.ID[:]) })
	return rapid.SampledFrom(all).Draw(s.rt, "lease")
}

func (s *sim) sessionOf(worker wire.Key) SessionID {
	var found SessionID
	for id, w := range s.sessions {
		if key(w) == worker && id > found {
			found = id
		}
	}
	return found
}

func (s *sim) events() map[string]func(*rapid.T) {
	draw := func(f func()) func(*rapid.T) { return func(rt *rapid.T) { s.rt = rt; f() } }
	return map[string]func(*rapid.T){
		"connect":    draw(func() { s.connect(rapid.IntRange(0, 13).Draw(s.rt, "worker")) }),
		"disconnect": draw(s.disconnect),
		"want": draw(func() {
			id := s.anySession()
			s.want[id] = rapid.IntRange(0, 5).Draw(s.rt, "want")
			if s.want[id] < len(s.held[id]) { // what is held stays
				s.want[id] = len(s.held[id])
			}
			s.carry(s.m.Want(s.now, id, s.want[id]))
		}),
		"vote": draw(func() {
			s.cast(s.anyLease(), outcome(rapid.SampledFrom([]string{"a", "a", "a", "b", "c"}).Draw(s.rt, "outcome")))
		}),
		"late": draw(func() {
			if len(s.past) > 0 {
				s.cast(rapid.SampledFrom(s.past).Draw(s.rt, "past"), outcome(rapid.SampledFrom([]string{"a", "b"}).Draw(s.rt, "outcome")))
			}
		}),
		"return": draw(func() {
			l := s.anyLease()
			s.ended(l.ID)
			_, ok, actions := s.m.Return(s.now, s.sessionOf(l.Worker), l.ID, rapid.Bool().Draw(s.rt, "failed"))
			s.carry(actions)
			if !ok && s.sessionOf(l.Worker) != 0 {
				s.rt.Fatalf("a lease that its worker returns is not known: %+v", l)
			}
			if !ok {
				s.live[l.ID] = l
			}
		}),
		"alive": draw(func() {
			l := s.anyLease()
			if id := s.sessionOf(l.Worker); id != 0 {
				s.alive(id, l)
			}
		}),
		"tick": draw(func() {
			s.now = s.now.Add(time.Duration(rapid.IntRange(0, 40).Draw(s.rt, "seconds")) * time.Second)
			s.carry(s.m.Tick(s.now))
		}),
		"order": draw(s.order),
		"stop": draw(func() {
			if rapid.IntRange(0, 9).Draw(s.rt, "really") == 0 {
				t := target{wire.KillOrder, canon.Sum([]byte{byte(rapid.IntRange(0, 5).Draw(s.rt, "order"))})}
				s.stops = append(s.stops, t)
				s.fact(func(m *Machine) { m.Stop(s.now, t.scope, t.digest, "test") })
				s.carry(s.m.Stop(s.now, t.scope, t.digest, "test"))
			}
		}),
		"halt": draw(func() {
			if rapid.IntRange(0, 9).Draw(s.rt, "really") == 0 {
				s.carry(s.m.Halt("test"))
				s.halted = true
			}
		}),
		"lift": draw(func() {
			s.halted = false
			s.carry(s.m.Lift(s.now))
		}),
		"restart": draw(func() {
			if rapid.IntRange(0, 4).Draw(s.rt, "really") == 0 {
				s.restart(rapid.IntRange(0, 2).Draw(s.rt, "verdicts lost"))
			}
		}),
		"kill lease": draw(func() {
			if rapid.IntRange(0, 4).Draw(s.rt, "really") == 0 {
				s.carry(s.m.KillLease(s.now, s.anyLease().ID, "test"))
			}
		}),
	}
}

// alive moves a lease whose connection broke to the worker's new one.
func (s *sim) alive(id SessionID, l Lease) {
	for _, h := range s.held {
		if h[l.ID] {
			return
		}
	}
	if _, ok := s.m.Alive(id, l.ID); !ok {
		s.rt.Fatalf("a lease that its worker shows is not known: %+v", l)
	}
	s.held[id][l.ID] = true
	s.want[id] = max(s.want[id], len(s.held[id])) // it brought more than it wants
}

func (s *sim) disconnect() {
	id := s.anySession()
	delete(s.sessions, id)
	delete(s.held, id)
	delete(s.want, id)
	s.carry(s.m.Disconnect(s.now, id))
}

func (s *sim) order() {
	n := rapid.IntRange(0, 5).Draw(s.rt, "order")
	id := canon.Sum([]byte{byte(n)})
	if _, is := s.orders[id]; is {
		s.admit(s.orders[id]) // again: changes nothing
		return
	}
	of := rapid.IntRange(1, 4).Draw(s.rt, "of")
	s.admit(Order{ID: id, Release: canon.Sum([]byte("release")), Tasks: uint64(rapid.IntRange(1, 12).Draw(s.rt, "tasks")),
		Agree: rapid.IntRange(of/2+1, of).Draw(s.rt, "agree"), Of: of, CompletePermille: rapid.SampledFrom([]int{1000, 500}).Draw(s.rt, "complete"),
		Priority: n % 3, NotBefore: s.now.Add(time.Duration(n-3) * 10 * time.Second), Expires: s.now.Add(24 * time.Hour), Seconds: 60 * time.Second})
}

func (s *sim) dump(m *Machine) string {
	var text []byte
	for n := range 6 {
		id := canon.Sum([]byte{byte(n)})
		info, is := m.Info(id)
		if !is {
			continue
		}
		info.Leases, info.Open = 0, 0
		text = fmt.Appendf(text, "%+v\n", info)
		o := m.orders[id]
		for num := range o.Tasks {
			if o.decided.has(o.perm.position(num)) {
				text = fmt.Appendf(text, "  %d decided\n", num)
			}
			t := o.open[num]
			if t == nil || len(t.votes) == 0 {
				continue // begun without votes leaves no trace
			}
			votes := slices.Clone(t.votes)
			slices.SortFunc(votes, func(a, b ballot) int { return slices.Compare(a.worker[:], b.worker[:]) })
			text = fmt.Appendf(text, "  %d %v needs %d\n", num, votes, max(m.tally(t).lanes(t)+len(t.held), 0))
		}
	}
	return string(text)
}

func TestMachine(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		cfg := Config{NewID: counterIDs(), Key: [32]byte{9}, UnsafeOneNetwork: rapid.Bool().Draw(rt, "one network")}
		if rapid.Bool().Draw(rt, "few open") {
			cfg.MaxOpen = 2
		}
		s := newSim(rt, cfg)
		s.order()
		rt.Repeat(s.events())
		s.rt = rt
		s.carry(s.m.Tick(s.now))
		s.replay()
		s.finish()
	})
}

// replay gives the facts to new machines in any order and expects the state
// of this one.
func (s *sim) replay() {
	want := s.dump(s.m)
	m := s.load()
	for _, a := range m.Settle(s.now) {
		if d, is := a.(Decide); is {
			s.rt.Fatalf("after a replay, decided again: %+v", d)
		}
	}
	if got := s.dump(m); got != want {
		s.rt.Fatalf("a replay gives\n%s\nthe state was\n%s", got, want)
	}
}

// load gives a new machine the facts in any order, some twice.
func (s *sim) load() *Machine {
	facts := append(slices.Clone(s.facts), s.facts[:len(s.facts)/2]...)
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(s.rt, "order of facts"), 0))
	r.Shuffle(len(facts), func(i, j int) { facts[i], facts[j] = facts[j], facts[i] })
	m := New(s.cfg)
	for _, f := range facts {
		f.tell(m)
	}
	return m
}

// restart goes on with a new machine that has the facts. A crash may have kept
// the last verdicts from the disk, never the votes that they stand on.
func (s *sim) restart(lost int) {
	for i := len(s.facts) - 1; i >= 0 && lost > 0; i-- {
		if d := s.facts[i].verdict; d != nil {
			delete(s.verdicts[d.Order], d.Task)
			s.facts = slices.Delete(s.facts, i, i+1)
			lost--
		}
	}
	for _, l := range s.live {
		s.past = append(s.past, l)
	}
	clear(s.live)
	clear(s.sessions)
	clear(s.held)
	clear(s.want)
	s.m, s.halted = s.load(), false
	s.carry(s.m.Settle(s.now))
}

// finish lets enough honest workers work fairly, and expects every order to
// end.
func (s *sim) finish() {
	s.halted = false
	s.carry(s.m.Lift(s.now))
	for w := range 14 {
		id := s.connect(100 + 2*w)
		s.want[id] = 3
		s.carry(s.m.Want(s.now, id, 3))
	}
	end := s.now.Add(2000 * time.Second)
	for s.now.Before(end) {
		if s.over() {
			return
		}
		if len(s.live) > 0 {
			s.cast(s.first(), outcome("a"))
			continue
		}
		s.now = s.now.Add(time.Second)
		s.carry(s.m.Tick(s.now))
	}
	s.rt.Fatalf("orders do not end:\n%s", s.dump(s.m))
}

func (s *sim) first() (first Lease) {
	for _, l := range s.live {
		if first.ID == (wire.LeaseID{}) || slices.Compare(l.ID[:], first.ID[:]) < 0 {
			first = l
		}
	}
	return first
}

func (s *sim) over() bool {
	for id := range s.orders {
		switch info, _ := s.m.Info(id); {
		case info.State == Queued || info.State == Running:
			return false
		case info.State == Ended && s.now.Before(info.Expires):
			s.rt.Fatalf("expired before its time: %+v", info)
		}
	}
	return true
}
