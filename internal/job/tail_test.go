package job

import (
	"testing"
	"time"

	"github.com/countersign/countersign/internal/wire"
)

// tailed is an order of two tasks, of which worker 1 did one in 10 seconds and
// worker 2 has had the other since.
func tailed(t *testing.T) (m *Machine, o Order, slow Lease) {
	t.Helper()
	o = spec("o", 2, 1, 1)
	o.Seconds = 10 * time.Minute
	m = running(t, Config{}, o)
	m.Connect(1, key(1), net(1))
	m.Connect(2, key(2), net(2))
	fast := lent(m.Want(t0, 1, 1))[0]
	slow = lent(m.Want(t0, 2, 1))[0]
	if _, actions := m.Cast(t0.Add(10*time.Second), ballotOf(fast, "a")); len(lent(actions)) != 0 {
		t.Fatal("lent at once")
	}
	return m, o, slow
}

// TestTail: an idle worker is lent what another has held for twice as long as
// it takes itself; the first answer ends the other.
func TestTail(t *testing.T) {
	m, o, slow := tailed(t)
	if got := lent(m.Tick(t0.Add(20*time.Second - 1))); len(got) != 0 {
		t.Fatalf("lent before its time: %+v", got)
	}
	got := lent(m.Tick(t0.Add(20 * time.Second)))
	if len(got) != 1 || got[0].Task != slow.Task || got[0].Worker != key(1) || got[0].Lane == slow.Lane {
		t.Fatalf("lent %+v", got)
	}
	m.Connect(3, key(3), net(3))
	if more := lent(m.Want(t0.Add(25*time.Second), 3, 1)); len(more) != 0 {
		t.Errorf("a worker that nothing is known of gets %+v", more)
	}
	v, actions := m.Cast(t0.Add(30*time.Second), ballotOf(got[0], "a"))
	if e, is := has[EndLease](actions); v != wire.Agreed || !is || e.Lease != slow.ID {
		t.Errorf("%s, %+v", v, actions)
	}
	if stateOf(t, m, o) != Done {
		t.Error("the order is not done")
	}
}

// TestTailFirstAnswer: the slow one may still be the first.
func TestTailFirstAnswer(t *testing.T) {
	m, _, slow := tailed(t)
	twin := lent(m.Tick(t0.Add(20 * time.Second)))[0]
	v, actions := m.Cast(t0.Add(21*time.Second), ballotOf(slow, "a"))
	if e, is := has[EndLease](actions); v != wire.Agreed || !is || e.Lease != twin.ID {
		t.Errorf("%s, %+v", v, actions)
	}
}

// TestTailWaits: nothing is lent twice while there are fresh tasks, and
// nothing three times.
func TestTailWaits(t *testing.T) {
	o := spec("o", 10, 1, 1)
	m := running(t, Config{}, o)
	for n := range 4 {
		m.Connect(SessionID(n+1), key(n), net(n))
	}
	slow := lent(m.Want(t0, 4, 1))[0]
	now := t0
	for n := 0; n < 9; n++ {
		l := lent(m.Want(now, SessionID(n%3+1), 1))
		if len(l) != 1 || l[0].Task == slow.Task {
			t.Fatalf("task %d: %+v", n, l)
		}
		m.Want(now, SessionID(n%3+1), 0)
		now = now.Add(time.Second)
		m.Cast(now, ballotOf(l[0], "a"))
	}
	for n := range 3 {
		if got := lent(m.Want(now, SessionID(n+1), 1)); len(got) != 0 != (n == 0) {
			t.Errorf("worker %d gets %+v", n, got)
		}
	}
}
