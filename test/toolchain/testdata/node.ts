// Runs programs on the browser's host, in node: node.mjs PLAN. The plan is
// {module, cases: [{args, input, seed}]}, bytes as base64; outcomes go to
// standard output, in their order.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { execute } from "../../../webworker/src/execute.ts";

interface Plan {
  readonly module: string;
  readonly cases: readonly { readonly args: string[]; readonly input: string; readonly seed: string }[];
  readonly fuel: number;
  readonly outputBytes: number;
}

// This host has no segments yet, so it is given the seed of the first.
const first = (seed: Uint8Array) => new Uint8Array(createHash("sha256").update(seed).update(new Uint8Array(8)).digest());
const bytes = (base64: string) => Uint8Array.from(Buffer.from(base64, "base64"));
const plan = JSON.parse(readFileSync(process.argv[2]!, "utf8")) as Plan;
const module = await WebAssembly.compile(bytes(plan.module));
const pace = { yields: false, slice: () => "go" as const };
const outcomes = [];
for (const c of plan.cases) {
  const limits = { fuel: plan.fuel, segmentFuel: plan.fuel, outputBytes: plan.outputBytes, millis: 1e9 };
  const job = { input: bytes(c.input), args: c.args, seed: first(bytes(c.seed)), ...limits };
  const { end, code, fuel, output } = await execute(module, job, pace, () => performance.now(), () => {});
  outcomes.push({ end, code, fuel, output: Buffer.from(output).toString("base64") });
}
console.log(JSON.stringify(outcomes));
