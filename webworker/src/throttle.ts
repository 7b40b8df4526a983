// How a runner keeps to its share of a core: after each slice it sleeps as
// long as the share says, and meanwhile hears of stop, pause and a new share.

import type { Go, Pace } from "./execute.ts";

/** Sleep shorter than this is not worth a timer; it is owed until there is more. */
const minSleep = 5;
/** Nor is more than this owed: a laptop that slept is not in debt. A runner that cannot sleep within a task owes more after it. */
const maxDebt = { yields: 2_000, not: 60_000 };

export interface Clock {
  now(): number;
  /** Resolves after so many milliseconds; 0 gives pending messages their turn. */
  sleep(millis: number): Promise<void>;
}

export class Throttle implements Pace {
  #share = 1;
  #paused = false;
  #stopped = false;
  #debt = 0; // milliseconds of sleep owed
  #ran = 0; // milliseconds of running in this task
  #limit = Infinity;
  #wake: () => void = () => {};

  constructor(
    readonly yields: boolean,
    private readonly clock: Clock,
    private readonly report: (fuel: number) => void,
    /** Whether to go on, for a runner that hears nothing in the middle of a task. */
    private readonly held: () => boolean = () => true,
  ) {}

  /** Begins a task that may run for limit milliseconds. */
  begin(limit: number): void {
    this.#ran = 0;
    this.#limit = limit;
  }

  pace(share: number, paused: boolean): void {
    this.#share = share;
    this.#paused = paused;
    this.#wake();
  }

  stop(): void {
    this.#stopped = true;
    this.#wake();
  }

  /** Counts work, inside of a task or around it. */
  spend(millis: number): void {
    this.#debt = Math.min(this.yields ? maxDebt.yields : maxDebt.not, this.#debt + millis * (1 / this.#share - 1));
  }

  slice(millis: number, fuel: number): Go | Promise<Go> {
    this.#ran += millis;
    this.spend(millis);
    this.report(fuel);
    if (this.#ran > this.#limit) return "deadline";
    if (this.yields) return this.rest();
    return this.held() ? "go" : "cancelled";
  }

  /** Sleeps what is owed, and longer while paused; ends early when stopped. */
  async rest(): Promise<Go> {
    await this.clock.sleep(0);
    while (!this.#stopped && (this.#paused || this.#debt >= minSleep)) {
      const before = this.clock.now();
      const woken = new Promise<void>((resolve) => (this.#wake = resolve));
      await (this.#paused ? woken : Promise.race([woken, this.clock.sleep(this.#debt)]));
      this.#debt -= this.clock.now() - before;
    }
    this.#debt = Math.max(this.#debt, -minSleep);
    return this.#stopped ? "cancelled" : "go";
  }
}
