package job

import (
	"encoding/binary"
	"fmt"
	"maps"
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
	return wire.Outcome{End: wire.EndExit, Fuel: 7, Output: canon.Sum([]byte(s)), Segments: 1, Transcript: canon.Sum([]byte("link of " + s))}
}

// sim drives a machine with random events, believes nothing that it says, and
// checks what it does against the rules.
type sim struct {
	rt          *rapid.T
	cfg         Config
	m           *Machine
	now         time.Time
	orders      map[canon.Digest]Order
	stops       []target
	off         map[canon.Digest]map[uint64]bool // tasks that were stopped
	votes       map[canon.Digest]map[uint64][]Vote
	kept        map[laneKey]*keptLane
	offered     map[wire.LeaseID]time.Time
	verdicts    map[canon.Digest]map[uint64]Decide
	facts       []fact
	live        map[wire.LeaseID]Lease
	past        []Lease // ended without a vote: late ones may come
	sessions    map[SessionID]int
	want        map[SessionID]int
	held        map[SessionID]map[wire.LeaseID]bool
	next        SessionID
	halted      bool
	room        map[SessionID]int
	took        map[SessionID]pace
	gather      map[canon.Digest]bool // orders whose inputs are asked for: true, and made
	behind      time.Duration         // the clock, for having been set back
	narrow      bool                  // one order of one task: everybody meets there
	rounds      map[canon.Digest]map[uint64]uint32
	suspects    []wire.Key
	refutations []Refutation
	refuted     map[canon.Digest]map[uint64]map[canon.Digest]bool
	nested      bool
}

// laneKey names a lane, and keptLane is what the simulated disk has of it.
type laneKey struct {
	order canon.Digest
	task  uint64
	lane  uint32
}

type keptLane struct {
	segments uint32
	file     canon.Digest
	authors  map[wire.Key]string // and their networks
	stumbled bool                // perhaps: it need not be lent any more
}

func newSim(rt *rapid.T, cfg Config) *sim {
	s := &sim{rt: rt, cfg: cfg, now: t0, orders: map[canon.Digest]Order{}, votes: map[canon.Digest]map[uint64][]Vote{}, kept: map[laneKey]*keptLane{}, offered: map[wire.LeaseID]time.Time{},
		verdicts: map[canon.Digest]map[uint64]Decide{}, live: map[wire.LeaseID]Lease{}, sessions: map[SessionID]int{},
		want: map[SessionID]int{}, held: map[SessionID]map[wire.LeaseID]bool{}, room: map[SessionID]int{}, took: map[SessionID]pace{}, gather: map[canon.Digest]bool{}, off: map[canon.Digest]map[uint64]bool{}, rounds: map[canon.Digest]map[uint64]uint32{}, refuted: map[canon.Digest]map[uint64]map[canon.Digest]bool{}}
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
			s.stumbled(a.Lease)
			s.ended(a.Lease.ID)
		case Decide:
			s.decided(a)
		case Gather:
			s.asked(a.Order)
		case Suspect:
			s.suspects = append(s.suspects, a.Worker)
		case Withdraw:
			s.withdraw(a.Verdict)
		case Broadcast:
			for id, l := range s.live {
				if a.Scope == wire.KillAll || a.Target == l.Order.String() || a.Target == wire.TaskTarget(l.Order, l.Task) {
					s.ended(id)
				}
			}
		}
	}
	if s.nested {
		return
	}
	s.nested = true
	for len(s.suspects) > 0 {
		worker := s.suspects[0]
		s.suspects = s.suspects[1:]
		s.recheck(worker)
	}
	s.nested = false
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
	if o.Gather && !s.gather[o.ID] || !o.Gather && !s.farEnough(o) {
		s.rt.Fatalf("lent before the order that it follows is far enough: %+v", l)
	}
	if s.off[l.Order][l.Task] {
		s.rt.Fatalf("lent a stopped task: %+v", l)
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
	if lasts := l.Until.Sub(l.Since); lasts > o.Seconds+DefaultGrace || o.Deadline > 0 && lasts > o.Deadline {
		s.rt.Fatalf("lent for %s: %+v", lasts, l)
	}
	s.lentLane(l, me)
	s.lentTail(a)
	if s.held[a.Session][l.ID] = true; len(s.held[a.Session]) > s.want[a.Session] {
		s.rt.Fatalf("session %d wants %d leases and has %d", a.Session, s.want[a.Session], len(s.held[a.Session]))
	}
	if len(s.held[a.Session]) > s.room[a.Session] {
		s.rt.Fatalf("session %d has room for %d leases and has %d", a.Session, s.room[a.Session], len(s.held[a.Session]))
	}
	if o.First && (len(s.votes[l.Order][l.Task]) > 0 || slices.ContainsFunc(slices.Collect(maps.Values(s.live)), func(x Lease) bool { return x.Order == l.Order && x.Task == l.Task })) {
		s.rt.Fatalf("a task whose first outcome counts is lent twice: %+v", l)
	}
	if l.Lane > wire.MaxLane {
		s.rt.Fatalf("lane %d", l.Lane)
	}
	s.live[l.ID] = l
}

// lentLane checks that the right lane is lent, from the right checkpoint.
func (s *sim) lentLane(l Lease, me string) {
	at := laneKey{l.Order, l.Task, l.Lane}
	for key, k := range s.kept {
		if key.order != l.Order || key.task != l.Task {
			continue
		}
		for worker, net := range k.authors {
			if key != at && (worker == l.Worker || net == me) {
				s.rt.Fatalf("an author of lane %d is lent lane %d: %+v", key.lane, l.Lane, l)
			}
		}
		if key != at && s.openFor(key, l.Worker, me) && !k.stumbled && (s.kept[at] == nil || k.segments > s.kept[at].segments) {
			s.rt.Fatalf("lane %d is open at %d segments, but lent is %+v", key.lane, k.segments, l)
		}
	}
	switch k := s.kept[at]; {
	case k == nil && l.From != canon.Digest{}:
		s.rt.Fatalf("lent from a checkpoint that is not kept: %+v", l)
	case k != nil && l.From != k.file:
		s.rt.Fatalf("lent from %s, kept is %s", l.From, k.file)
	case k != nil && !s.openFor(at, l.Worker, me):
		s.rt.Fatalf("lent a lane that is not open: %+v", l)
	}
}

// pace is how long a session took for its last lane.
type pace struct {
	order canon.Digest
	took  time.Duration
}

// lentTail checks that no task has more lanes than it needs, but for one that
// a worker takes for one much slower.
func (s *sim) lentTail(a Lend) {
	o := s.orders[a.Lease.Order]
	if o.Adaptive != nil {
		return // what a task needs is no number there: TestAdaptive
	}
	_, heard := s.support(o.ID, a.Lease.Task)
	need, slow := max(o.Agree-heard, 1), false
	p := s.took[a.Session]
	for key := range s.kept {
		if key.order == o.ID && key.task == a.Lease.Task {
			return // a lane may be one that has no voice
		}
	}
	for _, l := range s.live {
		if l.Order == o.ID && l.Task == a.Lease.Task {
			if !s.heard(l) {
				need--
			}
			slow = slow || p.order == o.ID && p.took > 0 && s.now.Sub(l.Since) >= tailFactor*p.took
		}
	}
	if need < 0 || need == 0 && !slow {
		s.rt.Fatalf("a lane that the task does not need: %+v, pace %+v", a, p)
	}
}

// heard reports whether a lease's network has voted on its task, by a late vote.
func (s *sim) heard(l Lease) bool {
	net := s.netOf(Vote{Worker: l.Worker, Net: l.Net})
	return slices.ContainsFunc(s.counted(l.Order, l.Task), func(v Vote) bool { return s.netOf(v) == net })
}

// openFor reports whether a worker may go on with a lane that has a checkpoint.
func (s *sim) openFor(at laneKey, worker wire.Key, net string) bool {
	for _, l := range s.live {
		if l.Order == at.order && l.Task == at.task && l.Lane == at.lane {
			return false
		}
	}
	for _, v := range s.votes[at.order][at.task] {
		if v.Lane == at.lane {
			return false
		}
	}
	for key, k := range s.kept {
		if key.order != at.order || key.task != at.task || key.lane == at.lane {
			continue
		}
		for w, n := range k.authors {
			if w == worker || n == net {
				return false
			}
		}
	}
	return true
}

func (s *sim) stumbled(l Lease) {
	if k := s.kept[laneKey{l.Order, l.Task, l.Lane}]; k != nil && l.From == k.file {
		k.stumbled = true
	}
}

// tick lets the machine look at the time. What it remembers of checkpoints that
// are not recent it forgets then, also those that a jump put into the future.
func (s *sim) tick() {
	maps.DeleteFunc(s.offered, func(_ wire.LeaseID, at time.Time) bool { return !recent(s.now, at) })
	s.carry(s.m.Tick(s.now))
}

// checkpoint does what a hub does with one: ask, make durable, tell.
func (s *sim) checkpoint(l Lease, segments uint32) {
	at, net := laneKey{l.Order, l.Task, l.Lane}, s.netOf(Vote{Worker: l.Worker, Net: l.Net})
	c := Checkpoint{Order: l.Order, Task: l.Task, Lane: l.Lane, Worker: l.Worker, Net: l.Net, Segments: segments,
		File: canon.Sum(fmt.Append(nil, l.ID, segments))}
	has, keep := s.m.Offer(s.now, l.ID, c)
	k, o := s.kept[at], s.orders[l.Order]
	_, decided := s.verdicts[l.Order][l.Task]
	late := !s.now.Before(o.Expires)
	want := !decided && !late && s.rounds[l.Order][l.Task] == 0 && (k == nil || segments > k.segments) && !s.elsewhere(at, l.Worker, net) && s.votedIn(at) == 0 &&
		(s.now.Before(s.offered[l.ID]) || s.now.Sub(s.offered[l.ID]) >= wire.KeptEvery)
	if info, _ := s.m.Info(l.Order); info.State != Running && info.State != Queued {
		want = false
	}
	if keep != want {
		s.rt.Fatalf("checkpoint of %d segments by %+v: keep %v, want %v (kept: %+v)", segments, l, keep, want, k)
	}
	if k != nil && !decided && has != 0 && has != k.segments {
		s.rt.Fatalf("the hub says that it has %d segments, of %d", has, k.segments)
	}
	if !keep {
		return
	}
	if k == nil {
		k = &keptLane{authors: map[wire.Key]string{}}
		s.kept[at] = k
	}
	k.segments, k.file, k.authors[l.Worker], k.stumbled = segments, c.File, net, false
	s.offered[l.ID] = s.now
	s.fact(func(m *Machine) { m.Keep(s.now, c) })
	has, actions := s.m.Keep(s.now, c)
	if has != segments {
		s.rt.Fatalf("kept %d segments, the hub says %d", segments, has)
	}
	s.carry(actions)
}

func (s *sim) votedIn(at laneKey) (n int) {
	for _, v := range s.votes[at.order][at.task] {
		if v.Lane == at.lane {
			n++
		}
	}
	return n
}

// elsewhere reports whether a worker or network is in another lane of the task.
func (s *sim) elsewhere(at laneKey, worker wire.Key, net string) bool {
	for _, v := range s.votes[at.order][at.task] {
		if v.Lane != at.lane && (v.Worker == worker || s.netOf(v) == net) {
			return true
		}
	}
	for _, l := range s.live {
		if l.Order == at.order && l.Task == at.task && l.Lane != at.lane && (l.Worker == worker || s.netOf(Vote{Worker: l.Worker, Net: l.Net}) == net) {
			return true
		}
	}
	for key, k := range s.kept {
		for w, n := range k.authors {
			if key.order == at.order && key.task == at.task && key.lane != at.lane && (w == worker || n == net) {
				return true
			}
		}
	}
	return false
}

// farEnough reports whether an order may begin as far as the one before goes.
func (s *sim) farEnough(o Order) bool {
	if o.After == (canon.Digest{}) {
		return true
	}
	prev := s.orders[o.After]
	n := uint64(len(s.verdicts[prev.ID])) * 1000
	return n >= uint64(o.AfterPermille)*prev.Tasks || n >= uint64(prev.CompletePermille)*prev.Tasks
}

func (s *sim) asked(id canon.Digest) {
	made, again := s.gather[id]
	if made || again || !s.farEnough(s.orders[id]) {
		s.rt.Fatalf("inputs are asked for: made %v, asked for before %v", made, again)
	}
	s.gather[id] = false
}

// gathered makes the inputs of an order that they are asked of, if there is one.
func (s *sim) gathered() bool {
	for n := range 6 {
		id := canon.Sum([]byte{byte(n)})
		if made, asked := s.gather[id]; asked && !made {
			s.gather[id] = true
			s.fact(func(m *Machine) { m.Gathered(s.now, id) })
			s.carry(s.m.Gathered(s.now, id))
			return true
		}
	}
	return false
}

// jump sets the clock to another time. When it goes back, no lease ends.
func (s *sim) jump(by time.Duration) {
	s.now = s.now.Add(by)
	s.behind -= min(by, 0)
	for id, l := range s.live {
		if l.Since.After(s.now) {
			l.Since = s.now
			s.live[id] = l
		}
	}
	before := len(s.live)
	s.tick()
	if lent, _ := s.m.Leases(); by < 0 && len(s.live) < before || lent != len(s.live) {
		s.rt.Fatalf("the clock goes %v: %d leases, then %d; the machine has %d", by, before, len(s.live), lent)
	}
	for _, l := range s.m.due {
		if most := s.now.Add(s.orders[l.Order].Seconds + DefaultGrace); l.due.After(most) {
			s.rt.Fatalf("the clock goes %v: a lease would end at %s, it is %s", by, l.due, s.now)
		}
	}
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
	if d.Audited {
		s.audited(d)
		return
	}
	if old, is := s.verdicts[d.Order][d.Task]; is {
		s.rt.Fatalf("decided twice: %+v, %+v", old, d)
	}
	if d.Stopped != s.off[d.Order][d.Task] || d.Stopped && !d.Undecided {
		s.rt.Fatalf("stopped: %v, but the verdict is %+v", s.off[d.Order][d.Task], d)
	}
	if d.Stopped {
		s.verdict(d)
		return
	}
	if o.Adaptive != nil {
		s.credible(o, d)
	}
	support, heard := s.support(d.Order, d.Task)
	for outcome, voices := range support {
		switch {
		case o.Adaptive != nil: // looked at already
		case outcome == d.Outcome && !d.Undecided && voices < o.Agree:
			s.rt.Fatalf("accepted with %d of %d voices: %+v", voices, o.Agree, d)
		case outcome != d.Outcome && !d.Undecided && voices >= d.Agree && !o.First:
			s.rt.Fatalf("accepted without a lead: %+v", d)
		}
	}
	if !d.Undecided && !o.First && o.Adaptive == nil && support[d.Outcome] != d.Agree {
		s.rt.Fatalf("accepted with voices that are not there: %+v", d)
	}
	if d.Undecided && heard < laneFactor*o.Of {
		s.rt.Fatalf("given up after %d voices: %+v", heard, d)
	}
	s.verdict(d)
}

// verdict makes a verdict a fact.
func (s *sim) verdict(d Decide) {
	if s.verdicts[d.Order] == nil {
		s.verdicts[d.Order] = map[uint64]Decide{}
	}
	s.verdicts[d.Order][d.Task] = d
	s.facts = append(s.facts, fact{tell: func(m *Machine) { m.Verdict(s.now, d.Fact()) }, verdict: &d})
}

// stopTask does what a hub does when it is told to: the stop is a fact before
// what follows from it.
func (s *sim) stopTask(id canon.Digest, task uint64) {
	if s.off[id] == nil {
		s.off[id] = map[uint64]bool{}
	}
	s.off[id][task] = true
	s.facts = append(s.facts, fact{tell: func(m *Machine) { m.StopTask(s.now, id, task, "test") }, barrier: true})
	s.carry(s.m.StopTask(s.now, id, task, "test"))
	if o, is := s.orders[id]; !is || task >= o.Tasks {
		return
	}
	for _, l := range s.live {
		if l.Order == id && l.Task == task {
			s.rt.Fatalf("a stopped task is lent still: %+v", l)
		}
	}
	if _, is := s.verdicts[id][task]; !is {
		s.rt.Fatalf("task %d is stopped and has no verdict", task)
	}
}

// fact is what a hub has on disk, and how it tells a machine when it starts.
type fact struct {
	tell    func(*Machine)
	verdict *Decide
	barrier bool // whatever is on disk before it stays
}

func (s *sim) fact(f func(*Machine)) { s.facts = append(s.facts, fact{tell: f}) }

// support counts the voices of each outcome, and all that are heard. Votes are
// spread over a graph, on which a voice is what hangs together.
func (s *sim) support(order canon.Digest, task uint64) (voices map[wire.Outcome]int, heard int) {
	seen := map[wire.Outcome]map[int]bool{}
	for i, g := range s.spread(order, task) {
		heard = max(heard, g)
		v := s.counted(order, task)[i]
		if seen[v.Outcome] == nil {
			seen[v.Outcome] = map[int]bool{}
		}
		seen[v.Outcome][g] = true
	}
	voices = map[wire.Outcome]int{}
	for outcome, groups := range seen {
		voices[outcome] = len(groups)
	}
	return voices, heard
}

// spread numbers the votes of a task: what hangs together has one number.
func (s *sim) spread(order canon.Digest, task uint64) []int {
	votes := s.counted(order, task)
	behind := make([]map[string]bool, len(votes))
	for i, v := range votes {
		behind[i] = map[string]bool{"net " + s.netOf(v): true}
		if k := s.kept[laneKey{order, task, v.Lane}]; k != nil {
			behind[i][fmt.Sprint("lane ", v.Lane)] = true
			for _, net := range k.authors {
				behind[i]["net "+net] = true
			}
		}
	}
	group := make([]int, len(votes))
	var spread func(i, g int)
	spread = func(i, g int) {
		group[i] = g
		for j := range votes {
			for what := range behind[i] {
				if group[j] == 0 && behind[j][what] {
					spread(j, g)
				}
			}
		}
	}
	n := 0
	for i := range votes {
		if group[i] == 0 {
			n++
			spread(i, n)
		}
	}
	return group
}

// cast does what a hub does with a result: ask, make durable, count.
func (s *sim) cast(l Lease, out wire.Outcome) {
	onItsWay := s.verdicts[l.Order][l.Task].Stopped && rapid.Bool().Draw(s.rt, "on its way to the disk when the task was stopped")
	if s.m.Admissible(l.Order, l.Task) != nil && !onItsWay {
		return
	}
	if d := s.verdicts[l.Order][l.Task]; d.Stopped && !onItsWay {
		s.rt.Fatalf("a vote on a stopped task is admissible: %+v", d)
	}
	delete(s.live, l.ID)
	for id, h := range s.held {
		if h[l.ID] {
			s.room[id] = min(2*s.room[id], wire.MaxWant)
			if d := s.now.Sub(l.Since); d > 0 && l.From == (canon.Digest{}) {
				s.took[id] = pace{l.Order, d}
			}
		}
		delete(h, l.ID)
	}
	v := Vote{Order: l.Order, Task: l.Task, Lane: l.Lane, Worker: l.Worker, Net: l.Net, Lease: l.ID, Resumed: l.From != canon.Digest{}, Outcome: out}
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
	var d Decide
	is := false
	for _, a := range actions {
		if x, ok := a.(Decide); ok && x.Order == l.Order && x.Task == l.Task {
			d, is = x, true
		}
	}
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
	s.room[s.next] = s.cfg.First
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
		"checkpoint": draw(func() {
			s.checkpoint(s.anyLease(), rapid.Uint32Range(1, 9).Draw(s.rt, "segments"))
		}),
		"late checkpoint": draw(func() {
			if len(s.past) > 0 {
				s.checkpoint(rapid.SampledFrom(s.past).Draw(s.rt, "past"), rapid.Uint32Range(1, 9).Draw(s.rt, "segments"))
			}
		}),
		"return": draw(func() { s.giveBack(s.anyLease(), rapid.Bool().Draw(s.rt, "failed")) }),
		"hand on": draw(func() {
			l := s.anyLease()
			s.checkpoint(l, rapid.Uint32Range(1, 9).Draw(s.rt, "segments"))
			if _, is := s.live[l.ID]; is {
				s.giveBack(l, false)
			}
		}),
		"newcomer": draw(func() {
			id := s.connect(rapid.IntRange(0, 13).Draw(s.rt, "worker"))
			s.want[id] = 1
			s.carry(s.m.Want(s.now, id, 1))
		}),
		"alive": draw(func() {
			l := s.anyLease()
			if id := s.sessionOf(l.Worker); id != 0 {
				s.alive(id, l)
			}
		}),
		"tick": draw(func() {
			s.now = s.now.Add(time.Duration(rapid.IntRange(0, 40).Draw(s.rt, "seconds")) * time.Second)
			s.tick()
		}),
		"work":     draw(s.work),
		"gathered": draw(func() { s.gathered() }),
		"clock": draw(func() {
			if rapid.IntRange(0, 9).Draw(s.rt, "really") == 0 {
				s.jump(rapid.SampledFrom([]time.Duration{-time.Hour, -time.Minute, time.Hour, 24 * time.Hour}).Draw(s.rt, "by"))
			}
		}),
		"order":  draw(s.order),
		"audit":  draw(s.audit),
		"refute": draw(s.refute),
		"stop": draw(func() {
			if rapid.IntRange(0, 9).Draw(s.rt, "really") == 0 {
				t := target{wire.KillOrder, canon.Sum([]byte{byte(rapid.IntRange(0, 5).Draw(s.rt, "order"))})}
				s.stops = append(s.stops, t)
				s.fact(func(m *Machine) { m.Stop(s.now, t.scope, t.digest, "test") })
				s.carry(s.m.Stop(s.now, t.scope, t.digest, "test"))
			}
		}),
		"stop task": draw(func() {
			if rapid.IntRange(0, 4).Draw(s.rt, "really") == 0 {
				s.stopTask(canon.Sum([]byte{byte(rapid.IntRange(0, 5).Draw(s.rt, "order"))}), uint64(rapid.IntRange(0, 12).Draw(s.rt, "task")))
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

// work lets a session do what it holds, in a while, and ask for more.
func (s *sim) work() {
	id := s.anySession()
	s.want[id] = 5
	s.carry(s.m.Want(s.now, id, 5))
	s.now = s.now.Add(time.Duration(rapid.IntRange(0, 9).Draw(s.rt, "seconds")) * time.Second)
	s.tick()
	mine := slices.SortedFunc(maps.Keys(s.held[id]), func(a, b wire.LeaseID) int { return slices.Compare(a[:], b[:]) })
	for _, l := range mine {
		if l, is := s.live[l]; is {
			s.cast(l, outcome("a"))
		}
	}
	s.tick()
}

func (s *sim) giveBack(l Lease, failed bool) {
	s.ended(l.ID)
	if failed {
		s.stumbled(l)
	}
	_, ok, actions := s.m.Return(s.now, s.sessionOf(l.Worker), l.ID, failed)
	s.carry(actions)
	if !ok && s.sessionOf(l.Worker) != 0 {
		s.rt.Fatalf("a lease that its worker returns is not known: %+v", l)
	}
	if !ok {
		s.live[l.ID] = l
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
	s.room[id] = max(s.room[id], len(s.held[id]))
}

func (s *sim) disconnect() {
	id := s.anySession()
	delete(s.sessions, id)
	delete(s.held, id)
	delete(s.want, id)
	s.carry(s.m.Disconnect(s.now, id))
}

func (s *sim) order() {
	n := 3
	if !s.narrow {
		n = rapid.IntRange(0, 5).Draw(s.rt, "order")
	}
	id := canon.Sum([]byte{byte(n)})
	if _, is := s.orders[id]; is {
		s.admit(s.orders[id]) // again: changes nothing
		return
	}
	of, tasks := rapid.IntRange(1, 4).Draw(s.rt, "of"), rapid.IntRange(1, 12).Draw(s.rt, "tasks")
	if s.narrow {
		tasks = 1
	}
	var adaptive *Adaptive
	if rapid.Bool().Draw(s.rt, "adaptive") {
		adaptive = &Adaptive{Scope: "x", ErrorPPB: 1_000_000, ChecksPermille: rapid.SampledFrom([]int{10, 500}).Draw(s.rt, "checks"), Faulty: 100, Lies: rapid.SampledFrom([]int{0, 500}).Draw(s.rt, "lies")}
	}
	first := adaptive == nil && of == 1 && rapid.Bool().Draw(s.rt, "first")
	agree := rapid.IntRange(of/2+1, of).Draw(s.rt, "agree")
	if adaptive != nil {
		agree, of = 1, 16
	}
	o := Order{ID: id, First: first, Adaptive: adaptive, Release: canon.Sum([]byte{'r', byte(n % 3)}), Researcher: fmt.Sprint(n % 2), Tasks: uint64(tasks),
		Agree: agree, Of: of, CompletePermille: rapid.SampledFrom([]int{1000, 500}).Draw(s.rt, "complete"),
		Priority: n / 3, NotBefore: s.now.Add(time.Duration(n-3) * 10 * time.Second), Expires: s.now.Add(24 * time.Hour), Seconds: 60 * time.Second,
		Deadline: rapid.SampledFrom([]time.Duration{0, 0, 10 * time.Second, 300 * time.Second}).Draw(s.rt, "deadline")}
	s.follow(&o)
	s.admit(o)
}

// follow lets an order follow one that is there, or none.
func (s *sim) follow(o *Order) {
	n := rapid.IntRange(0, 11).Draw(s.rt, "after")
	prev, is := s.orders[canon.Sum([]byte{byte(n)})]
	if is && prev.ID != o.ID {
		o.After, o.AfterPermille, o.Gather = prev.ID, rapid.SampledFrom([]int{1, 400, 1000}).Draw(s.rt, "permille"), rapid.Bool().Draw(s.rt, "gather")
	}
}

func (s *sim) dump(m *Machine) string {
	var text []byte
	for n := range 6 {
		id := canon.Sum([]byte{byte(n)})
		info, is := m.Info(id)
		if !is {
			continue
		}
		info.Leases, info.Open, info.Adaptive = 0, 0, nil
		text = fmt.Appendf(text, "%+v\n", info)
		o := m.orders[id]
		for num := range o.Tasks {
			if o.decided.has(o.perm.position(num)) {
				text = fmt.Appendf(text, "  %d decided %v\n", num, o.off[num])
			}
			t := o.open[num]
			if t == nil || len(t.votes)+len(t.lanes) == 0 {
				continue // begun without more leaves no trace
			}
			for _, ln := range slices.SortedFunc(slices.Values(t.lanes), func(a, b *lane) int { return int(a.num) - int(b.num) }) {
				authors := slices.SortedFunc(slices.Values(ln.authors), func(a, b author) int { return slices.Compare(a.worker[:], b.worker[:]) })
				text = fmt.Appendf(text, "  %d lane %d at %d %s by %v\n", num, ln.num, ln.segments, ln.file, authors)
			}
			votes := slices.Clone(t.votes)
			slices.SortFunc(votes, func(a, b ballot) int { return slices.Compare(a.worker[:], b.worker[:]) })
			y := m.tally(t)
			if o.Adaptive != nil {
				text = fmt.Appendf(text, "  %d %v round %d: %d voices, doubt %.6f\n", num, votes, o.rounds[num], y.agree, y.doubt)
				continue
			}
			text = fmt.Appendf(text, "  %d %v needs %d\n", num, votes, max(y.need+m.promised(t), 0))
		}
	}
	for w := range 14 {
		checks, banned := m.Trust("x", key(w))
		text = fmt.Appendf(text, "worker %d: %d %v\n", w, checks, banned)
	}
	return string(text)
}

func TestMachine(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		cfg := Config{NewID: counterIDs(), Key: [32]byte{9}, UnsafeOneNetwork: rapid.Bool().Draw(rt, "one network"), First: rapid.IntRange(1, 4).Draw(rt, "first")}
		if rapid.Bool().Draw(rt, "few open") {
			cfg.MaxOpen = 2
		}
		s := newSim(rt, cfg)
		s.narrow = rapid.Bool().Draw(rt, "narrow")
		s.order()
		rt.Repeat(s.events())
		s.rt = rt
		s.tick()
		s.replay()
		s.finish()
	})
}

// replay gives the facts to new machines in any order and expects the state
// of this one.
func (s *sim) replay() {
	want := s.dump(s.m)
	m := s.load()
	actions := m.Settle(s.now)
	for range s.orders { // a state may follow from that of an order that came later
		actions = append(actions, m.Tick(s.now)...)
	}
	for _, a := range actions {
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
	for i := len(s.facts) - 1; i >= 0 && lost > 0 && !s.facts[i].barrier; i-- {
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
	clear(s.offered)
	clear(s.sessions)
	clear(s.held)
	clear(s.want)
	maps.DeleteFunc(s.gather, func(_ canon.Digest, made bool) bool { return !made })
	s.m, s.halted = s.load(), false
	s.carry(s.m.Settle(s.now))
}

// finish lets enough honest workers work fairly, and expects every order to
// end.
func (s *sim) finish() {
	s.jump(s.behind) // somebody sets it right
	s.halted = false
	s.carry(s.m.Lift(s.now))
	for w := range 30 {
		id := s.connect(100 + 2*w)
		s.want[id] = 3
		s.carry(s.m.Want(s.now, id, 3))
	}
	end := s.now.Add(2000 * time.Second)
	for s.now.Before(end) {
		if s.over() {
			return
		}
		if s.gathered() {
			continue
		}
		if len(s.live) > 0 {
			s.cast(s.first(), outcome("a"))
			continue
		}
		s.now = s.now.Add(time.Second)
		s.tick()
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
		case info.State == Ended && s.now.Before(info.Expires) && info.After == (canon.Digest{}):
			s.rt.Fatalf("expired before its time: %+v", info)
		}
	}
	return true
}
