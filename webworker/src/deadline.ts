// The time limit of one task, kept by the page, where the module cannot touch
// it. It counts the time the task is allowed to run: at a quarter of a core a
// task has four times as long, and a pause does not count.

export class Deadline {
  #left: number;
  #rate = 0;
  #since = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    millis: number,
    private readonly now: () => number,
    private readonly passed: () => void,
  ) {
    this.#left = millis;
  }

  /** From now on, time counts at this rate: the share of a core, or 0 while paused. */
  pace(rate: number): void {
    this.#left -= (this.now() - this.#since) * this.#rate;
    this.#since = this.now();
    this.#rate = rate;
    clearTimeout(this.#timer);
    if (rate > 0) this.#timer = setTimeout(() => this.#check(), Math.min(Math.max(this.#left / rate, 0), 2 ** 31 - 1));
  }

  cancel(): void {
    clearTimeout(this.#timer);
  }

  /** Timers may be early by a little, or cut to their longest. */
  #check(): void {
    this.pace(this.#rate);
    if (this.#left > 0) return;
    clearTimeout(this.#timer);
    this.passed();
  }
}
