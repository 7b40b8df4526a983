package job

import (
	"testing"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

func reached(l Lease, segments uint32) Checkpoint {
	return Checkpoint{Order: l.Order, Task: l.Task, Lane: l.Lane, Worker: l.Worker, Net: l.Net, Segments: segments, File: canon.Digest{byte(segments), l.ID[15]}}
}

// keep offers and keeps a checkpoint.
func keep(t *testing.T, m *Machine, now time.Time, l Lease, segments uint32) {
	t.Helper()
	c := reached(l, segments)
	if has, ok := m.Offer(now, l.ID, c); !ok {
		t.Fatalf("a checkpoint of %d segments is not kept: the hub has %d", segments, has)
	}
	if has, _ := m.Keep(now, c); has != segments {
		t.Fatalf("the hub has %d segments of %d", has, segments)
	}
}

// arrive connects a worker of a network of its own, and lets it have a lease.
func arrive(t *testing.T, m *Machine, n int) Lease {
	t.Helper()
	m.Connect(SessionID(n), key(n), net(n))
	got := lent(m.Want(t0, SessionID(n), 1))
	if len(got) != 1 {
		t.Fatalf("worker %d gets %d leases", n, len(got))
	}
	m.Want(t0, SessionID(n), 0)
	return got[0]
}

func leave(m *Machine, l Lease, n int) { m.Return(t0, SessionID(n), l.ID, false) }

// TestResume: who comes next goes on from where the furthest was left.
func TestResume(t *testing.T) {
	m := running(t, Config{}, spec("o", 1, 3, 5))
	a, b := arrive(t, m, 1), arrive(t, m, 2)
	keep(t, m, t0, a, 4)
	keep(t, m, t0, b, 7)
	leave(m, a, 1)
	leave(m, b, 2)
	if c := arrive(t, m, 3); c.Lane != b.Lane || c.From != reached(b, 7).File {
		t.Errorf("the third goes on with lane %d from %s", c.Lane, c.From.Short())
	}
	// The first is an author, of the lane that is not the furthest.
	if again := lent(m.Want(t0, 1, 1)); len(again) != 1 || again[0].Lane != a.Lane || again[0].From != reached(a, 4).File {
		t.Errorf("the first goes on with %+v", again)
	}
	// The second is an author of a lane that another has, and gets no other.
	if again := lent(m.Want(t0, 2, 1)); len(again) != 0 {
		t.Errorf("the second goes on with %+v", again)
	}
	if d := arrive(t, m, 4); d.Lane != 2 || d.From != (canon.Digest{}) {
		t.Errorf("the fourth gets %+v", d)
	}
}

// TestLinkedVotes: whoever built on one checkpoint has one voice.
func TestLinkedVotes(t *testing.T) {
	m := running(t, Config{}, spec("o", 1, 2, 3))
	a := arrive(t, m, 1)
	keep(t, m, t0, a, 4)
	leave(m, a, 1)
	b := arrive(t, m, 2)
	if v, _ := m.Cast(t0, ballotOf(b, "a")); v != wire.Pending {
		t.Errorf("one vote is %s", v)
	}
	if v, _ := m.Cast(t0, ballotOf(a, "a")); v != wire.Pending {
		t.Errorf("two votes of one lane are %s", v)
	}
	c := arrive(t, m, 3)
	if v, _ := m.Cast(t0, ballotOf(c, "a")); v != wire.Agreed {
		t.Errorf("a vote of another lane is %s", v)
	}
}

// TestAuthorsAreBehindVotes: a liar whose checkpoint another went on from has
// no second voice in a lane that it had before.
func TestAuthorsAreBehindVotes(t *testing.T) {
	m := running(t, Config{}, spec("o", 1, 2, 3))
	old := arrive(t, m, 1) // lane 0, returned without a checkpoint
	leave(m, old, 1)
	arrive(t, m, 4) // takes lane 0
	a := lent(m.Want(t0, 1, 1))[0]
	if a.Lane == old.Lane {
		t.Fatal("the liar has its lane again")
	}
	m.Want(t0, 1, 0)
	keep(t, m, t0, a, 4)
	leave(m, a, 1)
	b := arrive(t, m, 2) // honest, and goes on from the lie
	m.Cast(t0, ballotOf(b, "lie"))
	if v, _ := m.Cast(t0, ballotOf(old, "lie")); v != wire.Pending {
		t.Errorf("the liar's late vote in another lane is %s", v)
	}
}

// TestUselessCheckpoint: a lane that nobody can go on with does not hold its
// task up.
func TestUselessCheckpoint(t *testing.T) {
	m := running(t, Config{}, spec("o", 1, 1, 1))
	a := arrive(t, m, 1)
	keep(t, m, t0, a, 4)
	leave(m, a, 1)
	for n := 2; n < 2+maxStumbles; n++ {
		l := arrive(t, m, n)
		if l.From != reached(a, 4).File {
			t.Fatalf("worker %d goes on from %s", n, l.From.Short())
		}
		m.Return(t0, SessionID(n), l.ID, true)
	}
	if l := arrive(t, m, 9); l.Lane == a.Lane || l.From != (canon.Digest{}) {
		t.Errorf("it is lent again: %+v", l)
	}
}

// TestCheckpointRate: one every five seconds of a lease.
func TestCheckpointRate(t *testing.T) {
	m := running(t, Config{}, spec("o", 1, 1, 1))
	a := arrive(t, m, 1)
	keep(t, m, t0, a, 1)
	if has, ok := m.Offer(t0.Add(wire.KeptEvery-1), a.ID, reached(a, 2)); ok || has != 1 {
		t.Errorf("kept at once: %d, %v", has, ok)
	}
	keep(t, m, t0.Add(wire.KeptEvery), a, 2)
	m.Tick(t0.Add(2 * wire.KeptEvery))
	if len(m.offered) != 0 {
		t.Error("offers are remembered for ever")
	}
}
