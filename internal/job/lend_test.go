package job

import (
	"testing"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

func spec(name string, tasks uint64, agree, of int) Order {
	return Order{ID: canon.Sum([]byte(name)), Release: canon.Sum([]byte("release")), Tasks: tasks, Agree: agree, Of: of,
		CompletePermille: 1000, NotBefore: t0, Expires: t0.Add(time.Hour), Seconds: time.Minute}
}

func running(t *testing.T, cfg Config, orders ...Order) *Machine {
	t.Helper()
	if cfg.NewID == nil {
		cfg.NewID = counterIDs()
	}
	if cfg.First == 0 {
		cfg.First = wire.MaxWant
	}
	m := New(cfg)
	for _, o := range orders {
		m.Admit(t0, o)
	}
	m.Settle(t0)
	return m
}

// lent returns the leases among actions.
func lent(actions []Action) (all []Lease) {
	for _, a := range actions {
		if l, ok := a.(Lend); ok {
			all = append(all, l.Lease)
		}
	}
	return all
}

func has[A Action](actions []Action) (a A, found bool) {
	for _, x := range actions {
		if a, found = x.(A); found {
			return a, true
		}
	}
	return a, false
}

func ballotOf(l Lease, s string) Vote {
	return Vote{Order: l.Order, Task: l.Task, Lane: l.Lane, Worker: l.Worker, Net: l.Net, Lease: l.ID, Outcome: outcome(s)}
}

// TestFirstOfTwo: a crash lost the verdict on the first outcome, when another
// was on disk. One of them counts, always the same, and nobody repeats the task.
func TestFirstOfTwo(t *testing.T) {
	o := spec("o", 1, 1, 1)
	o.First = true
	for _, votes := range [][]Vote{{{Worker: key(1), Net: net(1), Outcome: outcome("a")}, {Worker: key(2), Net: net(2), Outcome: outcome("b")}},
		{{Worker: key(2), Net: net(2), Outcome: outcome("b")}, {Worker: key(1), Net: net(1), Outcome: outcome("a")}}} {
		m := New(Config{NewID: counterIDs()})
		m.Admit(t0, o)
		for _, v := range votes {
			v.Order = o.ID
			m.Cast(t0, v)
		}
		if d, ok := has[Decide](m.Settle(t0)); !ok || d.Outcome != outcome("a") || d.Agree != 1 {
			t.Fatalf("%+v", d)
		}
	}
}

// TestPassesOver: a worker that has voted on the first needy tasks still gets
// the one behind them.
func TestPassesOver(t *testing.T) {
	m := running(t, Config{}, spec("o", 3, 3, 5))
	m.Connect(1, key(1), net(1))
	m.Connect(2, key(2), net(2))
	first := lent(m.Want(t0, 1, 2))
	m.Want(t0, 1, 0)
	for _, l := range first {
		m.Cast(t0, ballotOf(l, "a"))
	}
	second := lent(m.Want(t0, 2, 3))
	if len(second) != 3 {
		t.Fatalf("the second worker gets %d leases, want 3", len(second))
	}
	var fresh Lease
	for _, l := range second {
		if l.Lane == 0 {
			fresh = l
		}
	}
	third := lent(m.Want(t0, 1, 3))
	if len(third) != 1 || third[0].Task != fresh.Task {
		t.Fatalf("the first worker gets %+v, want only task %d", third, fresh.Task)
	}
}

func TestPriorityAndRoundRobin(t *testing.T) {
	high := spec("high", 2, 1, 1)
	high.Priority = 5
	m := running(t, Config{}, spec("a", 4, 1, 1), spec("b", 4, 1, 1), high)
	m.Connect(1, key(1), net(1))
	got := lent(m.Want(t0, 1, 8))
	if len(got) != 8 {
		t.Fatalf("%d leases", len(got))
	}
	for i, l := range got {
		if (l.Order == high.ID) != (i < 2) {
			t.Errorf("lease %d is of order %s", i, l.Order.Short())
		}
		if i >= 4 && l.Order != got[i-2].Order {
			t.Errorf("lease %d: the two orders of equal priority do not take turns", i)
		}
	}
	if got[2].Order == got[3].Order {
		t.Error("one order is served twice in a row")
	}
}

func TestReclaimAtDeadline(t *testing.T) {
	m := running(t, Config{}, spec("o", 1, 1, 1))
	m.Connect(1, key(1), net(1))
	m.Connect(2, key(2), net(2))
	l := lent(m.Want(t0, 1, 1))[0]
	if want := t0.Add(time.Minute + DefaultGrace); !l.Until.Equal(want) {
		t.Fatalf("lent until %s, want %s", l.Until, want)
	}
	m.Want(t0, 1, 0)
	if a, idle := has[Idle](m.Want(t0, 2, 1)); !idle || a.Session != 2 {
		t.Error("the second worker is not told to idle")
	}
	if got := lent(m.Tick(l.Until.Add(-time.Second))); len(got) != 0 {
		t.Fatalf("lent before the deadline: %+v", got)
	}
	actions := m.Tick(l.Until)
	if got := lent(actions); len(got) != 1 || got[0].Worker != key(2) {
		t.Fatalf("at the deadline: %+v", actions)
	}
	if r, ok := has[Reclaimed](actions); !ok || r.Why != Expired {
		t.Errorf("reclaimed: %+v", r)
	}
	if e, ok := has[EndLease](actions); !ok || e.Session != 1 || e.Lease != l.ID {
		t.Errorf("the first worker is not told: %+v", e)
	}
	// It is late, but its vote is as good as any.
	if v, actions := m.Cast(l.Until, ballotOf(l, "a")); v != wire.Agreed {
		t.Errorf("the late vote is %s", v)
	} else if e, ok := has[EndLease](actions); !ok || e.Session != 2 {
		t.Errorf("the second worker works on: %+v", actions)
	}
}

func TestReclaimAfterDisconnect(t *testing.T) {
	for _, back := range []bool{false, true} {
		m := running(t, Config{}, spec("o", 1, 1, 1))
		m.Connect(1, key(1), net(1))
		l := lent(m.Want(t0, 1, 1))[0]
		m.Disconnect(t0, 1)
		m.Connect(2, key(1), net(1))
		m.Connect(3, key(3), net(3))
		m.Want(t0, 3, 1)
		if back {
			if _, ok := m.Alive(2, l.ID); !ok {
				t.Fatal("the lease is not known")
			}
			if _, ok := m.Alive(3, l.ID); ok {
				t.Fatal("another worker shows it as its own")
			}
		}
		actions := m.Tick(t0.Add(DefaultReclaim))
		if r, is := has[Reclaimed](actions); is == back || is && r.Why != Vanished {
			t.Errorf("back %v: %+v", back, actions)
		}
	}
}

// TestLostVerdictTie: votes came in after a verdict, and a crash kept the
// verdict from the disk. Two outcomes then have enough votes; neither is taken
// until one leads.
func TestLostVerdictTie(t *testing.T) {
	m := New(Config{NewID: counterIDs()})
	o := spec("o", 1, 2, 3)
	m.Admit(t0, o)
	for i, s := range []string{"a", "b", "a", "b"} {
		m.Cast(t0, Vote{Order: o.ID, Worker: key(i), Net: net(i), Outcome: outcome(s)})
	}
	if d, decided := has[Decide](m.Settle(t0)); decided {
		t.Fatalf("decided: %+v", d)
	}
	m.Connect(1, key(9), net(9))
	l := lent(m.Want(t0, 1, 1))
	if len(l) != 1 {
		t.Fatal("no further lane")
	}
	if v, _ := m.Cast(t0, ballotOf(l[0], "b")); v != wire.Agreed {
		t.Errorf("the vote that gives the lead is %s", v)
	}
}

func TestUndecided(t *testing.T) {
	m := running(t, Config{}, spec("o", 1, 2, 3))
	var actions []Action
	for i := range 9 {
		m.Connect(SessionID(i+1), key(i), net(i))
		l := lent(m.Want(t0, SessionID(i+1), 1))
		if len(l) != 1 {
			t.Fatalf("worker %d gets %d lanes", i, len(l))
		}
		_, actions = m.Cast(t0, ballotOf(l[0], string(rune('a'+i))))
		if d, is := has[Decide](actions); is != (i == 8) || is && !d.Undecided {
			t.Fatalf("after %d votes: %+v", i+1, actions)
		}
	}
	if info, _ := m.Info(spec("o", 1, 2, 3).ID); info.State != Done || info.Undecided != 1 || info.Accepted != 0 {
		t.Errorf("%+v", info)
	}
}

// TestOneNetworkCountsOnce: two votes of one network, which a restart can let
// happen, are one.
func TestOneNetworkCountsOnce(t *testing.T) {
	for _, unsafe := range []bool{false, true} {
		m := New(Config{NewID: counterIDs(), UnsafeOneNetwork: unsafe})
		o := spec("o", 1, 2, 3)
		m.Admit(t0, o)
		m.Settle(t0)
		m.Cast(t0, Vote{Order: o.ID, Worker: key(1), Net: net(1), Outcome: outcome("a")})
		_, actions := m.Cast(t0, Vote{Order: o.ID, Worker: key(2), Net: net(1), Outcome: outcome("a")})
		if _, decided := has[Decide](actions); decided != unsafe {
			t.Errorf("one network %v: decided %v", unsafe, decided)
		}
	}
}

func TestStopReachesEverybody(t *testing.T) {
	m := running(t, Config{}, spec("o", 5, 1, 1))
	m.Connect(1, key(1), net(1))
	l := lent(m.Want(t0, 1, 2))
	actions := m.Stop(t0, wire.KillRelease, canon.Sum([]byte("release")), "wrong")
	if b, ok := has[Broadcast](actions); !ok || b.Scope != wire.KillOrder || b.Target != l[0].Order.String() {
		t.Errorf("%+v", actions)
	}
	if n, _ := m.Leases(); n != 0 {
		t.Errorf("%d leases are left", n)
	}
	if err := m.Admissible(l[0].Order, l[0].Task); canon.ClassOf(err) != wire.CodeOrderEnded {
		t.Errorf("a vote on it: %v", err)
	}
	m.Admit(t0, spec("later", 5, 1, 1))
	if info, _ := m.Info(spec("later", 5, 1, 1).ID); info.State != Stopped || info.Reason != "wrong" {
		t.Errorf("an order of the stopped release: %+v", info)
	}
}

func TestOpenIsBounded(t *testing.T) {
	m := running(t, Config{MaxOpen: 10}, spec("o", 1<<40, 2, 3))
	m.Connect(1, key(1), net(1))
	leases := lent(m.Want(t0, 1, 4))
	for len(leases) > 0 {
		_, actions := m.Cast(t0, ballotOf(leases[0], "a"))
		leases = append(leases[1:], lent(actions)...)
	}
	if info, _ := m.Info(spec("o", 1, 2, 3).ID); info.Open != 10 {
		t.Errorf("%d tasks are begun", info.Open)
	}
}

func TestQueuedAndExpired(t *testing.T) {
	o := spec("o", 5, 1, 1)
	o.NotBefore = t0.Add(time.Minute)
	m := running(t, Config{}, o)
	m.Connect(1, key(1), net(1))
	if got := lent(m.Want(t0, 1, 1)); len(got) != 0 {
		t.Errorf("lent before its time: %+v", got)
	}
	if got := lent(m.Tick(t0.Add(time.Minute))); len(got) != 1 {
		t.Errorf("at its time: %+v", got)
	}
	actions := m.Tick(t0.Add(time.Hour))
	if b, ok := has[Broadcast](actions); !ok || b.Scope != wire.KillOrder {
		t.Errorf("expired: %+v", actions)
	}
	if info, _ := m.Info(o.ID); info.State != Ended {
		t.Errorf("state %s", info.State)
	}
}

// TestFailingWorkerRests: a worker that returns its leases gets new ones ever
// more slowly, until it has done something.
func TestFailingWorkerRests(t *testing.T) {
	m := running(t, Config{}, spec("o", 100, 1, 1))
	m.Connect(1, key(1), net(1))
	now := t0
	l := lent(m.Want(now, 1, 1))
	for _, rest := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		_, ok, actions := m.Return(now, 1, l[0].ID, true)
		if !ok || len(lent(actions)) != 0 {
			t.Fatalf("lent at once: %+v", actions)
		}
		if got := lent(m.Tick(now.Add(rest*time.Second - 1))); len(got) != 0 {
			t.Fatalf("lent before %d seconds", rest)
		}
		now = now.Add(rest * time.Second)
		if l = lent(m.Tick(now)); len(l) != 1 {
			t.Fatalf("not lent after %d seconds", rest)
		}
	}
	_, actions := m.Cast(now, ballotOf(l[0], "a"))
	if l = lent(actions); len(l) != 1 {
		t.Fatal("not lent after a vote")
	}
	_, _, actions = m.Return(now, 1, l[0].ID, false)
	if len(lent(actions)) != 1 {
		t.Fatal("not lent after a return without fault")
	}
}

func BenchmarkVote(b *testing.B) {
	m := New(Config{NewID: counterIDs()})
	m.Admit(t0, spec("o", 1<<40, 2, 3))
	m.Settle(t0)
	var queue []Lease
	for i := range 1000 {
		m.Connect(SessionID(i+1), key(i), net(i))
		queue = append(queue, lent(m.Want(t0, SessionID(i+1), 2))...)
	}
	out := outcome("a")
	b.ReportAllocs()
	for b.Loop() {
		l := queue[0]
		_, actions := m.Cast(t0, Vote{Order: l.Order, Task: l.Task, Lane: l.Lane, Worker: l.Worker, Net: l.Net, Lease: l.ID, Outcome: out})
		queue = append(queue[1:], lent(actions)...)
	}
}

// TestRest: a machine that rests lends nothing, and ends nothing.
func TestRest(t *testing.T) {
	m := running(t, Config{}, spec("o", 9, 2, 3))
	m.Connect(1, key(1), net(1))
	held := lent(m.Want(t0, 1, 1))
	if len(held) != 1 {
		t.Fatalf("%d leases", len(held))
	}
	if _, is := has[EndLease](m.Rest(t0, true)); is {
		t.Error("a lease ends")
	}
	m.Connect(2, key(2), net(2))
	actions := m.Want(t0, 2, 3)
	if _, idle := has[Idle](actions); len(lent(actions)) != 0 || !idle {
		t.Errorf("while it rests: %v", actions)
	}
	if _, alive := m.Alive(1, held[0].ID); !alive {
		t.Error("the lease has ended")
	}
	if _, actions := m.Cast(t0, ballotOf(held[0], "x")); len(lent(actions)) != 0 {
		t.Error("the vote brings another lease")
	}
	if got := lent(m.Rest(t0, false)); len(got) != 4 {
		t.Errorf("%d leases afterwards, want 4", len(got))
	}
}
