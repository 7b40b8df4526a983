// How often to send a checkpoint: docs/checkpoints.md.

/** The hub keeps no more of a lease, in seconds. */
const least = 5;
const defaultVisit = 60;

/** Seconds between checkpoints that take cost seconds each, when visits last so many in the mean (0: not known). */
export function every(cost: number, visit: number): number {
  return Math.max(least, optimum(cost, visit === 0 ? defaultVisit : visit));
}

/** τ·(1 + W₀(−e^(−1−δ/τ))), with W₀ Lambert's function. */
export function optimum(delta: number, tau: number): number {
  if (delta <= 0 || tau <= 0) return 0;
  // w = 1 + W₀ solves w + ln(1 − w) = −δ/τ, with 0 < w < 1. Written so,
  // nothing is lost where w is small.
  const r = delta / tau;
  if (r > 40) return tau; // to the last bit
  const p = Math.sqrt(-2 * Math.expm1(-r));
  let w = p < 0.5 ? p * (1 - p / 3 + (11 / 72) * p * p) : -Math.expm1(-1 - r);
  for (let i = 0; i < 50; i++) {
    const f = small(w) + r;
    const step = (f * (1 - w)) / -w;
    w -= step;
    if (Math.abs(step) <= 1e-16 * w) break;
  }
  return tau * w;
}

/** w + ln(1 − w), by its series where the two nearly cancel. */
function small(w: number): number {
  if (w > 0.02) return w + Math.log1p(-w);
  let sum = 0;
  for (let n = 12, power = w ** 12; n >= 2; n--, power /= w) sum -= power / n;
  return sum;
}
