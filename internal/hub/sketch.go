package hub

import (
	"math"
	"math/bits"
	"time"
)

// sketch counts different things without remembering them: a HyperLogLog of
// 1,024 registers, which errs by some 3 %, and hardly at all below a thousand.
type sketch [1 << sketchBits]uint8

const sketchBits = 10

// add notes a thing by its hash.
func (s *sketch) add(hash uint64) {
	i := hash >> (64 - sketchBits)
	rank := uint8(bits.LeadingZeros64(hash<<sketchBits|1<<(sketchBits-1)) + 1)
	s[i] = max(s[i], rank)
}

func (s *sketch) count() uint64 {
	const m = float64(len(s))
	sum, zeros := 0.0, 0
	for _, r := range s {
		sum += math.Ldexp(1, -int(r))
		if r == 0 {
			zeros++
		}
	}
	if e := 0.7213 / (1 + 1.079/m) * m * m / sum; e > 2.5*m || zeros == 0 {
		return uint64(math.Round(e))
	}
	return uint64(math.Round(m * math.Log(m/float64(zeros)))) // how many are empty says more
}

// durations is a histogram of four steps an octave, from 10 ms to two days, so
// what it says is right to 9 %.
type durations [96]uint32

const shortest = 10 * time.Millisecond

func (h *durations) add(d time.Duration) {
	i := 0
	if d > shortest {
		i = int(4 * math.Log2(float64(d)/float64(shortest)))
	}
	h[min(i, len(h)-1)]++
}

func (h *durations) total() (n uint64) {
	for _, c := range h {
		n += uint64(c)
	}
	return n
}

// quantile returns what a share of all durations does not exceed, in seconds.
func (h *durations) quantile(share float64) float64 {
	rank := uint64(math.Ceil(share * float64(h.total())))
	var n uint64
	for i, c := range h {
		if n += uint64(c); n >= rank && c > 0 {
			return shortest.Seconds() * math.Exp2((float64(i)+0.5)/4)
		}
	}
	return 0
}
