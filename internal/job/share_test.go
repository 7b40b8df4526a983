package job

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// of gives an order to a researcher.
func (o Order) of(researcher string) Order {
	o.Researcher = researcher
	return o
}

// TestFairShare: however many orders each researcher has, and however the
// workers come, go and finish, the leases that researchers hold differ by one
// at most while all have work, and so do those of the orders of one.
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
