package hub

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/maphash"
	"math"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/wire"
)

// The workers of TestStatistics are to count exactly, which a sketch does but for
// one pair in a thousand.
func init() {
	for {
		var s sketch
		for n := range 6 {
			s.add(maphash.Comparable(sketchSeed, workerID(n)))
		}
		if s.count() == 6 {
			return
		}
		sketchSeed = maphash.MakeSeed()
	}
}

func TestSketch(t *testing.T) {
	for _, n := range []uint64{0, 1, 2, 50, 500, 3000, 100_000} {
		var s sketch
		for range 3 { // the same again count nothing
			for i := range n {
				// Not by sketchSeed: of two things one in a thousand pairs counts as one.
				sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, i))
				s.add(binary.BigEndian.Uint64(sum[:]))
			}
		}
		if got := float64(s.count()); math.Abs(got-float64(n)) > 0.15*float64(n) || n < 3 && got != float64(n) {
			t.Errorf("%d things count as %v", n, got)
		}
	}
}

func TestDurations(t *testing.T) {
	var h durations
	if h.quantile(0.5) != 0 {
		t.Error("a median of nothing")
	}
	for i := range 1000 {
		h.add(time.Duration(i) * 100 * time.Millisecond)
	}
	h.add(-time.Second)
	h.add(1000 * time.Hour)
	for share, want := range map[float64]float64{0.5: 50, 0.9: 90} {
		if got := h.quantile(share); math.Abs(got-want) > 0.1*want {
			t.Errorf("of %v: %v, want %v", share, got, want)
		}
	}
	if h.total() != 1002 {
		t.Errorf("%d", h.total())
	}
}

// TestStatistics: what is counted of an order, and when what happened to it, over
// a restart, which forgets what is counted of leases and nothing else.
func TestStatistics(t *testing.T) {
	t.Parallel()
	h := startHub(t, Options{UnsafeOneNetwork: true})
	h.clock.stop()
	order := h.submit(h.rangeOrder(2), "")
	a, b, c := h.join(1), h.join(2), h.join(3)
	la, lb, lc := a.want(1), b.want(1), c.want(1)
	c.send(&wire.Want{})
	c.send(&wire.Return{ID: lc.ID, Reason: wire.ReturnStopped})
	c.send(&wire.Want{})
	eventually(t, "the lease is back", func() bool { return h.order(order).Leases == 2 })
	h.clock.advance(10 * time.Second)
	a.send(a.result(la, honest(la)))
	b.send(b.result(lb, honest(lb)))
	await[*wire.Ack](a)
	await[*wire.Ack](b)
	eventually(t, "a verdict", func() bool { return h.order(order).Accepted == 1 })
	s := h.order(order).Statistics
	if s.Votes["exit"] != 2 || s.Agreeing != 2 || s.FuelSpent != 14 || s.FuelVerified != 7 || s.VotesPerVerdict != 2 || s.Workers != 2 || s.Networks != 1 {
		t.Errorf("of votes: %+v", s)
	}
	if s.Lent < 3 || s.Taken != 2 || s.Returned["stopped"] != 1 || math.Abs(s.MedianSeconds-10) > 1.5 || math.Abs(s.P90Seconds-10) > 1.5 {
		t.Errorf("of leases: %+v", s)
	}
	h.pause(seeded(t, 1), order, 1, true)
	h.restart()
	h.pause(seeded(t, 1), order, 2, false)
	h.restart()
	h.volunteer(4, 1, honest)
	h.volunteer(5, 1, honest)
	eventually(t, "the order is done", func() bool { return h.order(order).State == "done" })
	info := h.order(order)
	again := info.Statistics
	if again.Votes["exit"] != 4 || again.Agreeing != 4 || again.FuelVerified != 14 || again.Workers != 4 || again.Returned["stopped"] != 0 {
		t.Errorf("after restarts: %+v", again)
	}
	var states []string
	for i, m := range info.Timeline {
		states = append(states, m.State)
		if i > 0 && m.At.Time().Before(info.Timeline[i-1].At.Time()) {
			t.Errorf("%+v after %+v", m, info.Timeline[i-1])
		}
	}
	want := []string{"admitted", "running", "paused", "running", "done"}
	if len(states) != len(want) || info.Timeline[2].Reason != "looking at it" || info.Timeline[2].Accepted != 1 || info.Timeline[4].Accepted != 2 {
		t.Fatalf("%+v, want %v", info.Timeline, want)
	}
	for i := range want {
		if states[i] != want[i] {
			t.Errorf("%v, want %v", states, want)
		}
	}
}
