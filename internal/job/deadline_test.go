package job

import (
	"testing"
	"time"
)

// TestDeadline: a lane that is late by the order's deadline goes to another
// worker, long before the release's time is over; and a longer deadline than
// that gives nobody more time.
func TestDeadline(t *testing.T) {
	for _, c := range []struct{ deadline, lasts time.Duration }{
		{0, time.Minute + DefaultGrace}, {7 * time.Second, 7 * time.Second}, {time.Hour, time.Minute + DefaultGrace},
	} {
		o := Order{ID: [32]byte{1}, Release: [32]byte{2}, Tasks: 1, Agree: 1, Of: 1, CompletePermille: 1000, NotBefore: t0, Expires: t0.Add(time.Hour), Seconds: time.Minute, Deadline: c.deadline}
		m := running(t, Config{}, o)
		m.Connect(1, key(1), net(1))
		late, is := has[Lend](m.Want(t0, 1, 1))
		if !is || late.Lease.Until != t0.Add(c.lasts) {
			t.Fatalf("deadline %s: lent %v, %+v", c.deadline, is, late)
		}
		m.Connect(2, key(2), net(2))
		m.Want(t0, 2, 1)
		if l, is := has[Lend](m.Tick(t0.Add(c.lasts - time.Second))); is {
			t.Errorf("deadline %s: too early lent %+v", c.deadline, l)
		}
		if l, is := has[Lend](m.Tick(t0.Add(c.lasts))); !is || l.Session != 2 {
			t.Errorf("deadline %s: then lent %v, %+v", c.deadline, is, l)
		}
	}
}
