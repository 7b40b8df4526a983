// The warm-up run: short, obedient, and without a trace in what comes after.

import assert from "node:assert/strict";
import test from "node:test";
import { fromHex, hex } from "../src/bytes.ts";
import { beginning, type Job } from "../src/channel.ts";
import { execute, type Go, type Pace } from "../src/execute.ts";
import { warmUp } from "../src/warm.ts";
import { text, vectors } from "./vectors.ts";

const bytes = (base64: string) => Uint8Array.from(Buffer.from(base64, "base64"));

const all = vectors("segments").map((v) => {
  const job: Job = {
    input: bytes(text(v, "input")),
    args: [],
    seed: fromHex(text(v, "seed"), 32) ?? assert.fail("seed"),
    fuel: v["task_fuel"] as number,
    segmentFuel: v["segment_fuel"] as number,
    outputBytes: v["output_bytes"] as number,
    millis: 60_000,
    from: beginning,
  };
  return { v, job, module: () => new WebAssembly.Module(bytes(text(v, "module"))) };
});

/** Counts how often it is asked, each time a millisecond later, and says stop from some time on. */
function counting(stopAt = Infinity): { pace: Pace; now: () => number; asked: () => number } {
  let asked = 0;
  const slice = (): Go => (++asked < stopAt ? "go" : "cancelled");
  return { pace: { yields: false, slice }, now: () => asked, asked: () => asked };
}

test("a warm-up changes nothing of the run after it", async () => {
  for (const { v, job, module } of all) {
    const m = module();
    const { pace, now } = counting();
    await warmUp(m, job, pace, now);
    const o = await execute(m, job, pace, now, { progress: () => {}, checkpoint: () => {} });
    assert.deepEqual([o.end, o.code, o.fuel, hex(o.links)], [v["end"], v["code"], v["fuel"], (v["links"] as string[]).join("")], text(v, "name"));
  }
});

test("a warm-up is short", async () => {
  for (const { v, job, module } of all) {
    const { pace, now, asked } = counting();
    await warmUp(module(), job, pace, now);
    assert.ok(asked() <= 60, `${text(v, "name")}: ${asked()} slices of a millisecond`);
  }
});

test("a warm-up that is stopped is not tried again", async () => {
  for (const { v, job, module } of all) {
    const { pace, now, asked } = counting(1);
    await warmUp(module(), job, pace, now);
    assert.ok(asked() <= 1, `${text(v, "name")}: asked ${asked()} times`);
  }
});
