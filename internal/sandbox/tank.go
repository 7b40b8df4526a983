package sandbox

import (
	"math"
	"time"
)

// Slice is what was used since the last refill.
type Slice struct {
	Used  uint64        // fuel of the run until now
	Spent uint64        // fuel of this slice
	Busy  time.Duration // time that it took
}

// Pace decides how much fuel the next slice gets; 0: as much as takes about
// 20 ms. It is asked at every refill with what was used since the last one, may
// sleep to leave the processor to others, and has no say in the outcome.
type Pace func(Slice) uint64

// Sizes of slices: abi.md, "Times".
const (
	firstSlice = 200_000
	minSlice   = 10_000
	maxSlice   = 1_000_000_000
	sliceTime  = 20 * time.Millisecond
	maxStep    = 4
)

// tank is the host's side of fuel: meter.md, "The refill rule".
type tank struct {
	limit   uint64
	granted uint64 // sum of grants
	used    uint64 // at the last refill

	now   func() time.Time
	pace  Pace
	slice uint64
	since time.Time // the last refill
}

func newTank(limit uint64, now func() time.Time, slice uint64) *tank {
	return &tank{limit: limit, now: now, slice: slice, since: now()}
}

// usedAt returns the fuel used when the module's balance is b. The balance of a
// metered module is never above what was granted.
func (t *tank) usedAt(b int64) uint64 {
	if b <= 0 {
		return t.granted + -uint64(b)
	}
	return t.granted - min(uint64(b), t.granted)
}

// grant returns what to add to the balance b of a module that goes on with a
// slice. The caller has checked that the used fuel is within the limit, so that
// nothing here comes near an overflow: limits are below 2^53.
func (t *tank) grant(b int64, slice uint64) int64 {
	t.used = t.usedAt(b)
	g := max(1, int64(min(slice, t.limit-t.used))-b)
	t.granted += uint64(g)
	t.since = t.now()
	return g
}

// next sizes the slice that begins now.
func (t *tank) next(used uint64) uint64 {
	busy := t.now().Sub(t.since)
	if t.granted > 0 {
		t.slice = adapt(t.slice, busy)
	}
	if t.pace != nil {
		if n := t.pace(Slice{Used: used, Spent: used - t.used, Busy: busy}); n > 0 {
			return n
		}
	}
	return t.slice
}

func adapt(slice uint64, busy time.Duration) uint64 {
	scale := float64(maxStep)
	if busy > 0 {
		scale = min(maxStep, max(1.0/maxStep, float64(sliceTime)/float64(busy)))
	}
	return uint64(min(maxSlice, max(minSlice, math.Round(float64(slice)*scale))))
}
