// Tasks in several segments: the shared vectors are whole runs, which this
// host does in one go and again from every checkpoint.

import assert from "node:assert/strict";
import test from "node:test";
import { fromHex, hex } from "../src/bytes.ts";
import { beginning, type Checkpoint, type Job, type Outcome } from "../src/channel.ts";
import { execute, type Pace } from "../src/execute.ts";
import { text, type Vector, vectors } from "./vectors.ts";

const bytes = (base64: string) => Uint8Array.from(Buffer.from(base64, "base64"));

function job(v: Vector, from: Checkpoint): Job {
  return {
    input: bytes(text(v, "input")),
    args: [],
    seed: fromHex(text(v, "seed"), 32) ?? assert.fail("seed"),
    fuel: v["task_fuel"] as number,
    segmentFuel: v["segment_fuel"] as number,
    outputBytes: v["output_bytes"] as number,
    millis: 60_000,
    from,
  };
}

/** Runs in slices that take so long by its clock. */
async function run(v: Vector, module: WebAssembly.Module, from: Checkpoint, step: number): Promise<[Outcome, Checkpoint[]]> {
  const kept: Checkpoint[] = [];
  let t = 0;
  const pace: Pace = { yields: false, slice: () => "go" };
  const outcome = await execute(module, job(v, from), pace, () => (t += step), { progress: () => {}, checkpoint: (at) => kept.push(at) });
  return [outcome, kept];
}

function expect(v: Vector, o: Outcome): void {
  const links = (v["links"] as string[]).join("");
  const { end, code, fuel } = o;
  assert.deepEqual({ end, code, fuel }, { end: v["end"], code: v["code"], fuel: v["fuel"] });
  assert.deepEqual([hex(o.links), Buffer.from(o.output).toString("base64")], [links, text(v, "output")]);
}

for (const v of vectors("segments")) {
  test(`segment vector: ${text(v, "name")}`, async () => {
    const module = new WebAssembly.Module(bytes(text(v, "module")));
    const [whole, kept] = await run(v, module, beginning, 1);
    expect(v, whole);
    const found = kept.map((c) => ({ fuel: c.fuel, output: c.output.length, state: Buffer.from(c.state).toString("base64") }));
    assert.deepEqual(found, v["checkpoints"]);
    for (const [i, from] of kept.entries()) {
      assert.equal(from.links.length, 32 * (i + 1));
      const [rest, more] = await run(v, module, from, 1000);
      expect(v, rest);
      assert.equal(more.length, kept.length - i - 1);
    }
  });
}
