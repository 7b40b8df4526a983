// Package interval says how often a worker should send a checkpoint:
// docs/checkpoints.md.
package interval

import (
	"math"
	"time"
)

// Least is the shortest interval that is of any use: a hub keeps no more of a
// lease (docs/spec/wire.md).
const Least = 5 * time.Second

// Every returns the interval at which checkpoints that cost delta each save
// most of visits that last tau in the mean.
func Every(delta, tau time.Duration) time.Duration {
	t := time.Duration(Optimum(delta.Seconds(), tau.Seconds()) * float64(time.Second))
	return max(t, Least)
}

// Optimum is τ·(1 + W₀(−e^(−1−δ/τ))), in the unit of its arguments.
func Optimum(delta, tau float64) float64 {
	if tau <= 0 || delta <= 0 {
		return 0
	}
	return tau * above(delta/tau)
}

// above is 1 + W₀(−e^(−1−r)) for r > 0. Where that is close to 0, the argument
// of W₀ cannot say how close, and its series around the branch point is used.
func above(r float64) float64 {
	p := math.Sqrt(-2 * math.Expm1(-r))
	if p > 0.01 {
		return 1 + Lambert(-math.Exp(-1-r))
	}
	return p * (1 + p*(-1./3+p*(11./72+p*(-43./540+p*(769./17280+p*(-221./8505+p*680863./43545600))))))
}

// Lambert is the principal branch W₀ of Lambert's function, the w ≥ −1 with
// w·e^w = x, for x ≥ −1/e: Halley's iteration. Below, it is NaN.
func Lambert(x float64) float64 {
	if x == 0 || math.IsNaN(x) || math.IsInf(x, 1) {
		return x
	}
	if x <= -1/math.E {
		if x < -1/math.E {
			return math.NaN()
		}
		return -1
	}
	w := guess(x)
	for range 50 {
		e := math.Exp(w)
		f := w*e - x
		step := f / (e*(w+1) - (w+2)*f/(2*w+2))
		w -= step
		if math.Abs(step) <= 4e-16*math.Abs(w) {
			break
		}
	}
	return w
}

// guess is close enough for Halley's iteration.
func guess(x float64) float64 {
	switch {
	case x < 0:
		p := math.Sqrt(2 * (math.E*x + 1))
		return -1 + p*(1+p*(-1./3+p*11./72))
	case x < math.E:
		return x / (1 + x)
	}
	l := math.Log(x)
	return l - math.Log(l)
}
