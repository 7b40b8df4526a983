// The deterministic host: the shared vectors of the ABI.

import assert from "node:assert/strict";
import test from "node:test";
import { fromHex, hex } from "../src/bytes.ts";
import { Ended, Host } from "../src/host.ts";
import { text, vectors } from "./vectors.ts";

interface Patch {
  readonly at: number;
  readonly hex: string;
}

interface Call {
  readonly fn: string;
  readonly args: readonly string[];
  readonly errno?: number;
  readonly answer?: number;
  readonly end?: string;
  readonly code?: number;
  readonly state?: string;
  readonly memory?: readonly Patch[];
}

function patch(memory: Uint8Array, patches: readonly Patch[] | undefined): void {
  for (const p of patches ?? []) memory.set(fromHex(p.hex, p.hex.length / 2) ?? assert.fail("hex"), p.at);
}

/** 64-bit arguments come as bigint from wasm; these are the functions whose argument so and so is one. */
function argument(fn: string, i: number, value: string): number | bigint {
  const wide: Record<string, readonly number[]> = { clock_time_get: [1], fd_seek: [1] };
  return wide[fn]?.includes(i) === true ? BigInt.asIntN(64, BigInt(value)) : Number(value) | 0;
}

for (const v of vectors("abi")) {
  test(`abi vector: ${text(v, "name")}`, () => {
    const memory = new Uint8Array(65536);
    const fuel = { value: 0n };
    const progress: { permille: number; text: string }[] = [];
    const limit = BigInt((v["segment_fuel"] as number | undefined) ?? 0);
    const used = BigInt((v["used"] as number | undefined) ?? 0);
    const host = new Host(
      {
        number: (v["segment"] as number | undefined) ?? 0,
        state: Uint8Array.from(Buffer.from((v["state"] as string | undefined) ?? "", "base64")),
        written: 0,
        input: Uint8Array.from(Buffer.from(text(v, "input"), "base64")),
        args: v["args"] as string[],
        seed: fromHex(text(v, "seed"), 32) ?? assert.fail("seed"),
        outputBytes: v["output_bytes"] as number,
      },
      (permille, text) => progress.push({ permille, text }),
      () => limit > 0n && used - fuel.value >= limit - limit / 2n,
    );
    host.attach({ memory, fuel });
    patch(memory, v["memory"] as Patch[]);
    const functions = { ...host.preview1(), ...host.own() };
    for (const [i, c] of (v["calls"] as Call[]).entries()) {
      const expected = memory.slice();
      patch(expected, c.memory);
      const args = c.args.map((a, k) => argument(c.fn, k, a));
      try {
        const answer = functions[c.fn]?.(...args);
        assert.equal(typeof answer === "number" ? answer >>> 0 : answer, c.errno ?? c.answer, `call ${i}, ${c.fn}: answer`);
        assert.equal(c.end, undefined, `call ${i}, ${c.fn} ends the run`);
      } catch (e) {
        if (!(e instanceof Ended)) throw e;
        assert.deepEqual([e.end, e.code], [c.end, c.code ?? 0], `call ${i}, ${c.fn}: end`);
        assert.equal(Buffer.from(e.state).toString("base64"), c.state ?? "", `call ${i}, ${c.fn}: state`);
      }
      assert.equal(firstDifference(memory, expected), -1, `call ${i}, ${c.fn}: memory differs`);
    }
    assert.equal(Number(-fuel.value), v["charged"], "fuel charged");
    assert.equal(hex(host.output()), Buffer.from(text(v, "output"), "base64").toString("hex"), "output");
    assert.equal(hex(host.log()), Buffer.from(text(v, "log"), "base64").toString("hex"), "log");
    assert.deepEqual(progress, v["progress"]);
  });
}

function firstDifference(a: Uint8Array, b: Uint8Array): number {
  return a.findIndex((x, i) => x !== b[i]);
}
