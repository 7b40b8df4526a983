// Running modules in this engine, V8, without the browser around it: the
// golden outputs and fuel of the payloads, which wazero gives too.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import test from "node:test";
import { beginning, type Job, type Outcome } from "../src/channel.ts";
import { execute, type Go, type Pace } from "../src/execute.ts";

const payloads = "../payloads";
const read = (path: string): Uint8Array<ArrayBuffer> => Uint8Array.from(readFileSync(`${payloads}/${path}`));
const factor = new WebAssembly.Module(read("factor/factor.metered.wasm"));
const loop = new WebAssembly.Module(read("hostile/loop/loop.metered.wasm"));
const golden = read("factor/golden/input.txt");

function job(change: Partial<Job> = {}): Job {
  return { input: golden, args: [], seed: new Uint8Array(32), fuel: 2 ** 53 - 1, segmentFuel: 2 ** 53 - 1, outputBytes: 1 << 20, millis: 60_000, from: beginning, ...change };
}

/** A pace that lets n slices go and counts them. */
class Slices implements Pace {
  readonly yields = false;
  count = 0;

  constructor(
    private readonly n: number,
    private readonly then: Go,
  ) {}

  slice(): Go {
    return ++this.count > this.n ? this.then : "go";
  }
}

function run(module: WebAssembly.Module, change: Partial<Job> = {}, pace: Pace = new Slices(Infinity, "go"), now = () => performance.now()): Promise<Outcome> {
  return execute(module, job(change), pace, now, { progress: () => {}, checkpoint: () => {} });
}

/** A clock that jumps by step at every look: with it, slices are as small or as large as they get. */
function jumping(step: number): () => number {
  let t = 0;
  return () => (t += step);
}

test("factor: golden input gives golden output", async () => {
  const outcome = await run(factor);
  assert.equal(outcome.end, "exit");
  assert.equal(outcome.code, 0);
  assert.equal(Buffer.from(outcome.output).toString(), readFileSync(`${payloads}/factor/golden/output.txt`, "utf8"));
  assert.ok(outcome.fuel > 0);
});

test("factor: fuel is the golden number, the same as wazero's", async () => {
  const path = `${payloads}/factor/golden/fuel.txt`;
  assert.ok(existsSync(path), path);
  assert.equal((await run(factor)).fuel, Number(readFileSync(path, "utf8").trim()));
});

test("fuel and output do not depend on the slice", async () => {
  const expected = await run(factor);
  const counts: number[] = [];
  for (const step of [0.0001, 1, 20, 1000, 1e9]) {
    const pace = new Slices(Infinity, "go");
    assert.deepEqual(await run(factor, {}, pace, jumping(step)), expected, `clock by ${step} ms`);
    counts.push(pace.count);
  }
  // The slower the machine, the smaller the slices, down to their smallest.
  assert.ok(counts[0]! > 1 && counts[0]! < counts[2]! && counts[2]! < counts[3]! && counts[3] === counts[4], counts.join(" "));
});

test("the fuel limit ends a run, and used fuel is the limit", async () => {
  const all = (await run(factor)).fuel;
  for (const fuel of [1, 2, 1000, 1_234_567, all - 1]) {
    const outcome = await run(factor, { fuel });
    assert.deepEqual([outcome.end, outcome.code, outcome.fuel], ["fuel", 0, fuel]);
  }
  assert.equal((await run(factor, { fuel: all })).end, "exit");
  const { links, ...outcome } = await run(loop, { fuel: 5_000_000 });
  assert.deepEqual(outcome, { end: "fuel", code: 0, fuel: 5_000_000, output: new Uint8Array(), detail: "" });
  assert.equal(links.length, 32);
});

test("output over its limit ends a run", async () => {
  const outcome = await run(factor, { outputBytes: 10 });
  assert.deepEqual([outcome.end, outcome.code], ["output", 0]);
  assert.ok(outcome.output.length <= 10);
});

test("deadline and cancellation end an endless loop at a slice", async () => {
  for (const end of ["deadline", "cancelled"] as const) {
    const pace = new Slices(5, end);
    const outcome = await run(loop, {}, pace);
    assert.equal(outcome.end, end);
    assert.equal(pace.count, 6);
  }
});

test("a malformed input is an exit with its code, which is voted", async () => {
  const outcome = await run(factor, { input: new TextEncoder().encode("12x\n") });
  assert.deepEqual([outcome.end, outcome.code], ["exit", 2]);
});

// Modules written out by hand, for what no compiler emits.
function leb(n: number): number[] {
  return n < 128 ? [n] : [(n & 127) | 128, ...leb(n >> 7)];
}
const section = (id: number, ...content: number[]): number[] => [id, ...leb(content.length), ...content];
const name = (s: string): number[] => [...leb(s.length), ...Buffer.from(s)];

/** A module with memory, the two counters and this body of _start. */
function module(body: number[]): WebAssembly.Module {
  return new WebAssembly.Module(Uint8Array.of(
    0, 97, 115, 109, 1, 0, 0, 0,
    ...section(1, 1, 0x60, 0, 0),
    ...section(3, 1, 0),
    ...section(5, 1, 1, 1, 1),
    ...section(6, 2, 0x7e, 1, 0x42, 0, 0x0b, 0x7f, 1, 0x41, 0, 0x0b),
    ...section(7, 4, ...name("memory"), 2, 0, ...name("_start"), 0, 0, ...name("countersign_fuel"), 3, 0, ...name("countersign_stack"), 3, 1),
    ...section(10, 1, ...leb(body.length + 1), 0, ...body),
  ));
}

test("unreachable is a trap, and voted", async () => {
  const outcome = await run(module([0x00, 0x0b]));
  assert.deepEqual([outcome.end, outcome.code, outcome.fuel, outcome.output.length, outcome.detail], ["trap", 0, 0, 0, ""]);
});

test("a call stack that ran out, by the module's own count, is a trap", async () => {
  // global.set 1 (i32.const -1); unreachable
  const outcome = await run(module([0x41, 0x7f, 0x24, 1, 0x00, 0x0b]));
  assert.deepEqual([outcome.end, outcome.detail], ["trap", "call stack exhausted"]);
});

test("endless recursion is a fault of the host, never a vote", async () => {
  const outcome = await run(module([0x10, 0x00, 0x0b]));
  assert.equal(outcome.end, "fault");
  assert.match(outcome.detail, /stack/i);
});

test("the balance that says no memory is a fault", async () => {
  // global.set 0 (i64.const -2^63); unreachable
  const min = [0x42, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f];
  const outcome = await run(module([...min, 0x24, 0, 0x00, 0x0b]));
  assert.deepEqual([outcome.end, outcome.detail], ["fault", "no memory left"]);
});

test("a module that overdraws at its exit has used all its fuel", async () => {
  // global.set 0 (i64.const -100)
  const outcome = await run(module([0x42, 0x9c, 0x7f, 0x24, 0, 0x0b]), { fuel: 99 });
  assert.deepEqual([outcome.end, outcome.fuel], ["fuel", 99]);
  assert.deepEqual((await run(module([0x42, 0x9c, 0x7f, 0x24, 0, 0x0b]), { fuel: 100 })).fuel, 100);
});

test("what is not a metered module faults before it runs", async () => {
  const empty = new WebAssembly.Module(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0));
  assert.match((await run(empty)).detail, /not a metered module/);
  assert.equal((await run(empty)).end, "fault");
});
