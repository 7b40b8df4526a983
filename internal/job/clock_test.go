package job

import (
	"testing"
	"time"

	"github.com/countersign/countersign/internal/wire"
)

// TestClockBack: an hour back, a lease goes on, is nobody else's, and ends
// after its time by the new clock.
func TestClockBack(t *testing.T) {
	o := spec("o", 1, 1, 1)
	o.NotBefore = t0.Add(-2 * time.Hour)
	m := running(t, Config{}, o)
	m.Connect(1, key(1), net(1))
	m.Connect(2, key(2), net(2))
	l := lent(m.Want(t0, 1, 1))[0]
	m.Want(t0, 2, 1)
	m.Want(t0, 1, 0)
	now := t0.Add(-time.Hour)
	if actions := m.Tick(now); len(actions) != 0 {
		t.Fatalf("the clock goes back: %+v", actions)
	}
	if again, ok := m.Alive(1, l.ID); !ok || !again.Until.Equal(now.Add(time.Minute+DefaultGrace)) {
		t.Fatalf("the lease: %v, %+v", ok, again)
	}
	if got := lent(m.Tick(now.Add(time.Minute + DefaultGrace - 1))); len(got) != 0 {
		t.Errorf("lent twice: %+v", got)
	}
	if got := lent(m.Tick(now.Add(time.Minute + DefaultGrace))); len(got) != 1 || got[0].Worker != key(2) {
		t.Errorf("not lent when its time was over: %+v", got)
	}
	if v, _ := m.Cast(now.Add(2*time.Minute), ballotOf(l, "a")); v != wire.Agreed {
		t.Errorf("the late vote is %s", v)
	}
}

// TestClockBackGone: nor is a worker that vanished waited for an hour.
func TestClockBackGone(t *testing.T) {
	o := spec("o", 1, 1, 1)
	o.NotBefore = t0.Add(-2 * time.Hour)
	m := running(t, Config{}, o)
	m.Connect(1, key(1), net(1))
	m.Want(t0, 1, 1)
	m.Disconnect(t0, 1)
	now := t0.Add(-time.Hour)
	m.Tick(now)
	if r, is := has[Reclaimed](m.Tick(now.Add(DefaultReclaim))); !is || r.Why != Vanished {
		t.Errorf("reclaimed: %v, %+v", is, r)
	}
}

// TestClockBackRest: a worker that failed rests for a minute at most.
func TestClockBackRest(t *testing.T) {
	o := spec("o", 9, 1, 1)
	o.NotBefore = t0.Add(-2 * time.Hour)
	m := running(t, Config{}, o)
	m.Connect(1, key(1), net(1))
	l := lent(m.Want(t0, 1, 1))[0]
	m.Return(t0, 1, l.ID, true)
	now := t0.Add(-time.Hour)
	m.Tick(now)
	if got := lent(m.Tick(now.Add(maxRest))); len(got) != 1 {
		t.Errorf("after a minute it gets %d leases", len(got))
	}
}

// TestClockBackBeforeBegin: an order that has not begun by the new clock lends
// nothing, but its lease goes on and its vote counts; a stop still ends it.
func TestClockBackBeforeBegin(t *testing.T) {
	for _, stop := range []bool{false, true} {
		o := spec("o", 2, 1, 1)
		m := running(t, Config{}, o)
		m.Connect(1, key(1), net(1))
		m.Connect(2, key(2), net(2))
		l := lent(m.Want(t0, 1, 1))[0]
		m.Want(t0, 1, 0)
		now := t0.Add(-time.Hour)
		if _, ended := has[Broadcast](m.Tick(now)); ended || stateOf(t, m, o) != Queued {
			t.Fatalf("ended %v, %s", ended, stateOf(t, m, o))
		}
		if got := lent(m.Want(now, 2, 1)); len(got) != 0 {
			t.Errorf("lent before its time: %+v", got)
		}
		if stop {
			if b, ended := has[Broadcast](m.Stop(now, wire.KillOrder, o.ID, "wrong")); !ended || b.Target != o.ID.String() {
				t.Error("nobody is told that the order is stopped")
			}
			continue
		}
		if v, _ := m.Cast(now, ballotOf(l, "a")); v != wire.Agreed {
			t.Errorf("the vote is %s", v)
		}
		if got := lent(m.Tick(t0)); len(got) != 1 {
			t.Errorf("when the clock is right again: %+v", got)
		}
	}
}

// TestClockForward: a day ahead, leases run out and orders expire; the votes
// that come are taken when the clock is right again, and each lane is one
// worker's.
func TestClockForward(t *testing.T) {
	o := spec("o", 1, 2, 3)
	m := running(t, Config{}, o)
	for n := range 3 {
		m.Connect(SessionID(n+1), key(n), net(n))
	}
	a, b := lent(m.Want(t0, 1, 1))[0], lent(m.Want(t0, 2, 1))[0]
	m.Want(t0, 3, 1)
	m.Tick(t0)
	actions := m.Tick(t0.Add(24 * time.Hour))
	if _, told := has[EndLease](actions); !told || len(lent(actions)) != 0 || stateOf(t, m, o) != Ended {
		t.Fatalf("a day ahead: %+v", actions)
	}
	now := t0.Add(time.Second)
	again := append(lent(m.Tick(now)), lent(m.Tick(now.Add(maxRest)))...) // two rest, as their leases ran out
	if stateOf(t, m, o) != Running || len(again) != 2 {
		t.Fatalf("back: %s, %+v", stateOf(t, m, o), again)
	}
	if again[0].Worker == again[1].Worker || again[0].Lane == again[1].Lane {
		t.Errorf("lent twice: %+v", again)
	}
	m.Cast(now, ballotOf(a, "a"))
	if v, _ := m.Cast(now, ballotOf(b, "a")); v != wire.Agreed {
		t.Errorf("the votes of before are %s", v)
	}
}
