// The share of a core, on a clock of our own.

import assert from "node:assert/strict";
import test from "node:test";
import { Throttle } from "../src/throttle.ts";
import { Fuel } from "../src/fuel.ts";

/** Time that passes only when somebody sleeps or runs. */
class Clock {
  time = 0;
  slept = 0;
  readonly now = (): number => this.time;
  readonly sleep = (millis: number): Promise<void> => {
    if (millis > 0) millis += this.late;
    this.time += millis;
    this.slept += millis;
    return Promise.resolve();
  };

  constructor(private readonly late = 0) {}
}

async function runs(throttle: Throttle, clock: Clock, millis: number): Promise<string> {
  clock.time += millis;
  return throttle.slice(millis, 0);
}

test("a share is kept over slices of any length, and with timers that are late", async () => {
  for (const [share, late] of [[0.1, 0], [0.25, 0], [0.5, 0], [0.9, 0], [1, 0], [0.5, 4], [0.25, 4]] as const) {
    const clock = new Clock(late);
    const t = new Throttle(true, clock, () => {});
    t.pace(share, false);
    t.begin(Infinity);
    let ran = 0;
    for (let i = 0; i < 1000; i++) {
      const millis = [1, 3, 20, 60][i % 4]!;
      ran += millis;
      assert.equal(await runs(t, clock, millis), "go");
    }
    assert.ok(Math.abs(ran / clock.time - share) < 0.01, `share ${share}: ${ran / clock.time}`);
  }
});

test("a runner that cannot wait in a task pays after it", async () => {
  const clock = new Clock();
  const t = new Throttle(false, clock, () => {});
  t.pace(0.25, false);
  t.begin(Infinity);
  for (let i = 0; i < 50; i++) assert.equal(await runs(t, clock, 20), "go");
  assert.equal(clock.slept, 0);
  await t.rest();
  assert.equal(clock.slept, 3000);
});

test("the time limit counts running only", async () => {
  const clock = new Clock();
  const t = new Throttle(true, clock, () => {});
  t.pace(0.1, false);
  t.begin(100);
  for (let i = 0; i < 5; i++) assert.equal(await runs(t, clock, 20), "go");
  assert.ok(clock.time > 900);
  assert.equal(await runs(t, clock, 1), "deadline");
  t.begin(100);
  assert.equal(await runs(t, clock, 20), "go");
});

/** A clock whose sleep ends only when it is told to. */
class Held {
  time = 0;
  readonly now = (): number => this.time;
  readonly sleep = (millis: number): Promise<void> => (millis === 0 ? Promise.resolve() : new Promise(() => {}));
}

const turns = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("stop wakes it from sleep and from a pause", async () => {
  for (const paused of [false, true]) {
    const t = new Throttle(true, new Held(), () => {});
    t.pace(0.25, paused);
    t.begin(Infinity);
    const going = Promise.resolve(t.slice(20, 0));
    let answer = "";
    void going.then((g) => (answer = g));
    await turns();
    assert.equal(answer, "");
    t.stop();
    assert.equal(await going, "cancelled");
  }
});

test("a pause ends when it is lifted", async () => {
  const clock = new Held();
  const t = new Throttle(true, clock, () => {});
  t.pace(1, true);
  const rest = t.rest();
  await turns();
  clock.time += 1e6;
  t.pace(1, false);
  assert.equal(await rest, "go");
});

test("the slice grows and shrinks by at most four, within its bounds", () => {
  const fuel = new Fuel(2n ** 53n - 1n);
  const slices: bigint[] = [];
  let balance = 0n;
  const step = (millis: number): void => {
    fuel.adapt(millis);
    const grant = fuel.grant(balance);
    slices.push(balance + grant);
    balance = 0n; // all of it is used
  };
  for (const millis of [20, 1, 1, 10, 40, 1e9, 1e9]) step(millis);
  assert.deepEqual(slices, [200_000n, 800_000n, 3_200_000n, 6_400_000n, 3_200_000n, 800_000n, 200_000n]);
  for (let i = 0; i < 10; i++) step(1e9);
  assert.equal(slices.at(-1), 10_000n);
  for (let i = 0; i < 20; i++) step(0);
  assert.equal(slices.at(-1), 1_000_000_000n);
});

test("a grant pays the debt, and never goes past the limit", () => {
  const fuel = new Fuel(250_000n);
  assert.equal(fuel.grant(-50n), 200_050n);
  assert.equal(fuel.used(0n), 200_050n);
  assert.equal(fuel.grant(-10n), 49_950n);
  assert.equal(fuel.used(0n), 250_000n);
  assert.equal(fuel.over(0n), false);
  assert.equal(fuel.grant(0n), 1n);
  assert.equal(fuel.over(-1n), true, "a balance below the overdraft is over the limit");
});
