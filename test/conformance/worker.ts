// One engine's half of the comparison: runs cases with the client's own code,
// in a Web Worker or in node.

import { type Bytes, fromHex, hex } from "../../webworker/src/bytes.ts";
import { beginning, type Job } from "../../webworker/src/channel.ts";
import { canYield, execute } from "../../webworker/src/execute.ts";
import { sha256 } from "../../webworker/src/sha256.ts";
import { Throttle } from "../../webworker/src/throttle.ts";
import { checkVector, type Vector } from "../../webworker/test/abi.ts";

export interface Case {
  readonly name: string;
  readonly args: readonly string[];
  readonly seed: string;
  readonly limits: { readonly task_fuel: number; readonly segment_fuel: number; readonly output_bytes: number };
}

export interface Found {
  readonly name: string;
  readonly end: string;
  readonly code: number;
  readonly fuel: number;
  readonly segments: number;
  readonly transcript: string;
  readonly output: string; // SHA-256
  readonly detail: string;
  readonly millis: number;
}

const turn = new MessageChannel();
const clock = {
  now: () => performance.now(),
  sleep: (millis: number) =>
    new Promise<void>((resolve) => {
      if (millis > 0) return void setTimeout(resolve, millis);
      turn.port2.onmessage = () => resolve();
      turn.port1.postMessage(null);
    }),
};

export async function runCase(c: Case, module: Bytes, input: Bytes): Promise<Found> {
  const throttle = new Throttle(canYield, clock, () => {});
  throttle.begin(600_000);
  const { task_fuel: fuel, segment_fuel: segmentFuel, output_bytes: outputBytes } = c.limits;
  const seed = fromHex(c.seed, 32) ?? new Uint8Array(32);
  const job: Job = { input, args: c.args, seed, fuel, segmentFuel, outputBytes, millis: 600_000, from: beginning };
  const began = performance.now();
  const o = await execute(await WebAssembly.compile(module), job, throttle, clock.now, { progress: () => {}, checkpoint: () => {} });
  const millis = performance.now() - began;
  turn.port2.onmessage = null; // node would wait for more
  return {
    name: c.name, end: o.end, code: o.code, fuel: o.fuel, segments: o.links.length / 32, transcript: hex(o.links.subarray(-32)),
    output: hex(sha256(o.output)), detail: o.detail, millis: Math.round(millis),
  };
}

/** What is wrong with each vector, of those that are not as they should be. */
export function wrongVectors(all: readonly Vector[]): string[] {
  return all.flatMap((v) => {
    const wrong = checkVector(v);
    return wrong === null ? [] : [`${String(v["name"])}: ${wrong}`];
  });
}

if (typeof self !== "undefined" && typeof WorkerGlobalScope !== "undefined" && self instanceof WorkerGlobalScope) {
  self.onmessage = async ({ data }: MessageEvent<{ vectors: readonly Vector[] } | { c: Case; module: Bytes; input: Bytes }>) => {
    try {
      self.postMessage("vectors" in data ? wrongVectors(data.vectors) : await runCase(data.c, data.module, data.input));
    } catch (e) {
      self.postMessage({ name: "c" in data ? data.c.name : "vectors", end: "error", detail: String(e) });
    }
  };
}

declare const WorkerGlobalScope: new () => object;
