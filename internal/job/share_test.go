package job

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/countersign/countersign/internal/canon"
)

// of gives an order to a researcher.
func (o Order) of(researcher string) Order {
	o.Researcher = researcher
	return o
}

// TestFairShare: however many orders each researcher has, and however the
// workers come, go and finish, the leases that researchers hold differ by one
// at most while all have work.
func TestFairShare(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		cfg := Config{NewID: counterIDs(), UnsafeOneNetwork: true}
		m := New(cfg)
		researchers := rapid.IntRange(2, 4).Draw(rt, "researchers")
		var all []Order
		for r := range researchers {
			for n := range rapid.IntRange(1, 6).Draw(rt, "orders") {
				o := spec(fmt.Sprint(r, n), 1<<30, 1, 1).of(fmt.Sprint(r))
				all = append(all, o)
				m.Admit(t0, o)
			}
		}
		m.Settle(t0)
		var held []Lease
		served := map[string]int{}
		take := func(actions []Action) {
			for _, l := range lent(actions) {
				held = append(held, l)
				for _, o := range all {
					if o.ID == l.Order {
						served[o.Researcher]++
					}
				}
			}
		}
		for n := range rapid.IntRange(1, 12).Draw(rt, "workers") {
			m.Connect(SessionID(n+1), key(n), net(n))
			take(m.Want(t0, SessionID(n+1), rapid.IntRange(1, 4).Draw(rt, "want")))
		}
		for range 200 {
			// The one that was lent first ends first: all tasks take as long.
			l := held[0]
			held = held[1:]
			_, actions := m.Cast(t0, ballotOf(l, "a"))
			take(actions)
		}
		least, most := 1<<30, 0
		for _, n := range served {
			least, most = min(least, n), max(most, n)
		}
		if len(served) < researchers || most-least > len(held)+1 {
			rt.Fatalf("served with %d leases held: %v", len(held), served)
		}
		now := map[string]int{}
		for _, o := range all {
			info, _ := m.Info(o.ID)
			now[o.Researcher] += info.Leases
		}
		for _, a := range now {
			for _, b := range now {
				if a-b > 1 {
					rt.Fatalf("held: %v", now)
				}
			}
		}
	})
}

// TestShareOfOne: the orders of one researcher take turns, and have together
// what another has with one.
func TestShareOfOne(t *testing.T) {
	m := running(t, Config{}, spec("a1", 100, 1, 1).of("a"), spec("a2", 100, 1, 1).of("a"), spec("a3", 100, 1, 1).of("a"), spec("b", 100, 1, 1).of("b"))
	m.Connect(1, key(1), net(1))
	got := orders(lent(m.Want(t0, 1, 12)))
	for name, want := range map[string]int{"a1": 2, "a2": 2, "a3": 2, "b": 6} {
		if n := got[spec(name, 1, 1, 1).ID]; n != want {
			t.Errorf("order %s holds %d leases, want %d", name, n, want)
		}
	}
}

// released makes an order one of another release.
func (o Order) released(name string) Order {
	o.Release = canon.Sum([]byte(name))
	return o
}

// TestLocality: a worker stays with the module that it has, eight leases long
// after the one whose turn it was; then it is another's turn. It does not stay
// where something of a higher priority waits.
func TestLocality(t *testing.T) {
	a, b := spec("a", 1<<20, 1, 1).of("a").released("a"), spec("b", 1<<20, 1, 1).of("b").released("b")
	m := running(t, Config{}, a, b)
	m.Connect(1, key(1), net(1))
	l := lent(m.Want(t0, 1, 1))[0]
	run, last := 0, l.Order
	for n := range 200 {
		_, actions := m.Cast(t0, ballotOf(l, "a"))
		l = lent(actions)[0]
		run++
		if l.Order != last && run != 1+maxStay || l.Order == last && run > maxStay {
			t.Fatalf("lease %d: another order after %d leases", n, run)
		}
		if l.Order != last {
			run, last = 0, l.Order
		}
	}
	high := spec("high", 1, 1, 1).of("c").released("c")
	high.Priority = 9
	m.Admit(t0, high)
	if _, actions := m.Cast(t0, ballotOf(l, "a")); lent(actions)[0].Order != high.ID {
		t.Error("a worker stays with its module where a higher priority waits")
	}
}

// TestLocalityStarvesNobody: with many workers that all have one module, a
// researcher who comes later has as much before each of them had 9 leases.
func TestLocalityStarvesNobody(t *testing.T) {
	const workers = 10
	m := running(t, Config{}, spec("a", 1<<20, 1, 1).of("a").released("a"))
	var held []Lease
	for n := range workers {
		m.Connect(SessionID(n+1), key(n), net(n))
		held = append(held, lent(m.Want(t0, SessionID(n+1), 1))...)
	}
	m.Admit(t0, spec("b", 1<<20, 1, 1).of("b").released("b"))
	for range workers * (1 + maxStay) {
		_, actions := m.Cast(t0, ballotOf(held[0], "a"))
		held = append(held[1:], lent(actions)...)
	}
	if got := orders(held)[spec("b", 1, 1, 1).ID]; got != workers/2 {
		t.Errorf("the newcomer's order holds %d of %d leases", got, workers)
	}
}

// TestSlowStart: what a worker may hold doubles with each vote, up to what it
// wants, and falls by half with each failure.
func TestSlowStart(t *testing.T) {
	o := spec("o", 1<<20, 1, 1)
	o.Seconds = time.Hour
	m := running(t, Config{First: 2}, o)
	m.Connect(1, key(1), net(1))
	held := lent(m.Want(t0, 1, 10))
	for _, want := range []int{2, 4, 8, 10, 10} {
		if len(held) != want {
			t.Fatalf("it holds %d leases, not %d", len(held), want)
		}
		_, actions := m.Cast(t0, ballotOf(held[0], "a"))
		held = append(held[1:], lent(actions)...)
	}
	now := t0
	for n, want := range []int{10, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1, 1} { // room for 32, 16, 8, 4, 2, 1
		_, _, actions := m.Return(now, 1, held[0].ID, true)
		now = now.Add(maxRest)
		held = append(held[1:], lent(append(actions, m.Tick(now)...))...)
		if len(held) != want {
			t.Fatalf("after %d failures it holds %d leases, not %d", n+1, len(held), want)
		}
	}
}
