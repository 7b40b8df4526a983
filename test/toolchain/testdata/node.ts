// Runs programs on the browser's host, in node: node.mjs PLAN. The plan says
// which module and what to run; outcomes go to standard output, in that order.
// Bytes are base64.

import { readFileSync } from "node:fs";
import { execute } from "../../../webworker/src/execute.ts";

interface Plan {
  readonly module: string;
  readonly runs: readonly {
    readonly args: string[];
    readonly input: string;
    readonly seed: string;
    readonly fuel: number;
    readonly segmentFuel: number;
    readonly outputBytes: number;
    readonly from: { readonly fuel: number; readonly links: string; readonly state: string; readonly output: string };
  }[];
}

const bytes = (base64: string) => Uint8Array.from(Buffer.from(base64, "base64"));
const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
const plan = JSON.parse(readFileSync(process.argv[2]!, "utf8")) as Plan;
const module = await WebAssembly.compile(bytes(plan.module));
const pace = { yields: false, slice: () => "go" as const };
const listener = { progress: () => {}, checkpoint: () => {} };
const outcomes = [];
for (const { input, seed, from, ...limits } of plan.runs) {
  const at = { fuel: from.fuel, links: bytes(from.links), state: bytes(from.state), output: bytes(from.output) };
  const job = { ...limits, input: bytes(input), seed: bytes(seed), millis: 1e9, from: at };
  const o = await execute(module, job, pace, () => performance.now(), listener);
  outcomes.push({ end: o.end, code: o.code, fuel: o.fuel, output: base64(o.output), links: base64(o.links) });
}
console.log(JSON.stringify(outcomes));
