package job

import (
	"testing"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

func stateOf(t *testing.T, m *Machine, o Order) State {
	t.Helper()
	info, ok := m.Info(o.ID)
	if !ok {
		t.Fatal("the order is not admitted")
	}
	return info.State
}

func followers(permille int, gather bool) (first, second Order) {
	first, second = spec("first", 4, 1, 1), spec("second", 3, 1, 1)
	second.After, second.AfterPermille, second.Gather = first.ID, permille, gather
	return first, second
}

// TestAfterShare: an order begins when the one before has the share, not sooner.
func TestAfterShare(t *testing.T) {
	first, second := followers(500, false)
	m := running(t, Config{}, first, second)
	for task, want := range []State{Queued, Running} {
		m.Verdict(t0, Verdict{Order: first.ID, Task: uint64(task), Undecided: false})
		m.Tick(t0)
		if got := stateOf(t, m, second); got != want {
			t.Errorf("after %d of 4 tasks: %s, want %s", task+1, got, want)
		}
	}
}

// TestAfterDone: done counts whatever the share.
func TestAfterDone(t *testing.T) {
	first, second := followers(1000, false)
	first.CompletePermille = 250
	m := running(t, Config{}, first, second)
	m.Verdict(t0, Verdict{Order: first.ID, Task: 0, Undecided: true})
	m.Tick(t0)
	if got := stateOf(t, m, second); got != Running {
		t.Errorf("state %s", got)
	}
}

// TestAfterEnds: what follows an order that ended early ends, along a chain,
// unless it could begin already.
func TestAfterEnds(t *testing.T) {
	first, second := followers(500, false)
	third := spec("third", 3, 1, 1)
	third.After, third.AfterPermille = second.ID, 1000
	stop := func(m *Machine) { m.Stop(t0, wire.KillOrder, first.ID, "wrong"); m.Tick(t0) }
	m := running(t, Config{}, first, second, third)
	stop(m)
	if a, b := stateOf(t, m, second), stateOf(t, m, third); a != Stopped || b != Stopped {
		t.Errorf("stopped: %s, %s", a, b)
	}
	m = running(t, Config{}, first, second)
	m.Verdict(t0, Verdict{Order: first.ID, Task: 0, Undecided: false})
	m.Verdict(t0, Verdict{Order: first.ID, Task: 1, Undecided: false})
	stop(m)
	if got := stateOf(t, m, second); got != Running {
		t.Errorf("stopped after its share: %s", got)
	}
	first.Expires = t0.Add(time.Minute)
	m = running(t, Config{}, first, second)
	m.Tick(t0.Add(time.Minute))
	if got := stateOf(t, m, second); got != Ended {
		t.Errorf("expired: %s", got)
	}
}

// TestGather: nothing is lent before the inputs are there; they are asked for once.
func TestGather(t *testing.T) {
	first, second := followers(250, true)
	m := running(t, Config{}, first, second)
	m.Connect(1, key(1), net(1))
	if _, asked := has[Gather](m.Tick(t0)); asked {
		t.Error("asked for before there are results")
	}
	m.Verdict(t0, Verdict{Order: first.ID, Task: 0, Undecided: false})
	if g, asked := has[Gather](m.Tick(t0)); !asked || g.Order != second.ID {
		t.Errorf("asked %v for %s", asked, g.Order.Short())
	}
	if _, again := has[Gather](m.Tick(t0)); again {
		t.Error("asked for again")
	}
	for _, l := range lent(m.Want(t0, 1, 10)) {
		if l.Order == second.ID {
			t.Error("lent without inputs")
		}
	}
	if got := orders(lent(m.Gathered(t0, second.ID))); got[second.ID] != 3 {
		t.Errorf("lent when gathered: %v", got)
	}
	if _, asked := has[Gather](m.Tick(t0)); asked {
		t.Error("asked for when gathered")
	}
}

// TestGatheredFirst: the fact may come before its order, as at a restart.
func TestGatheredFirst(t *testing.T) {
	first, second := followers(1000, true)
	m := New(Config{NewID: counterIDs()})
	m.Gathered(t0, second.ID)
	m.Admit(t0, first)
	m.Admit(t0, second)
	if _, asked := has[Gather](m.Settle(t0)); asked || stateOf(t, m, second) != Running {
		t.Errorf("asked %v, state %s", asked, stateOf(t, m, second))
	}
}

func orders(leases []Lease) map[canon.Digest]int {
	n := map[canon.Digest]int{}
	for _, l := range leases {
		n[l.Order]++
	}
	return n
}
