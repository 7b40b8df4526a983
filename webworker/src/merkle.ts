// Whether an input is the one that the signed order has for a task:
// docs/spec/statement.md, section "Inputs".

import { type Bytes, concat, equal, fromHex, fromLatin1 } from "./bytes.ts";
import { Failure } from "./failure.ts";

export type LinesRule = { readonly tree_root: string; readonly length: number; readonly lines: number; readonly per_task: number };
export type ChunksRule = { readonly tree_root: string; readonly length: number; readonly size: number };
export type RangeRule = { readonly from: number; readonly to: number; readonly step: number };
export type OutputsRule = { readonly tasks: number; readonly per_task: number };
export type InputRule = { readonly list: readonly string[] } | { readonly lines: LinesRule } | { readonly chunks: ChunksRule } | { readonly range: RangeRule } | { readonly outputs: OutputsRule };

export function tasksOf(rule: InputRule): number {
  if ("list" in rule) return rule.list.length;
  if ("lines" in rule) return Math.ceil(rule.lines.lines / rule.lines.per_task);
  if ("chunks" in rule) return Math.ceil(rule.chunks.length / rule.chunks.size);
  if ("outputs" in rule) return Math.ceil(rule.outputs.tasks / rule.outputs.per_task);
  const { from, to, step } = rule.range;
  return Number((BigInt(to) - BigInt(from) + BigInt(step) - 1n) / BigInt(step));
}

/** Throws a Failure of class input unless the input is the task's. */
export async function checkInput(rule: InputRule, task: number, input: Bytes, proof: Bytes): Promise<void> {
  const tasks = tasksOf(rule);
  if (task >= tasks) throw new Failure("input", `task ${task} of ${tasks}`);
  if (!(await isInput(rule, tasks, task, input, proof))) throw new Failure("input", `the input of task ${task} is not the one that was signed`);
}

async function isInput(rule: InputRule, tasks: number, task: number, input: Bytes, proof: Bytes): Promise<boolean> {
  if ("lines" in rule) return isLeaf(rule.lines.tree_root, tasks, task, input, proof);
  if ("chunks" in rule) return input.length === chunkLength(rule.chunks, task) && isLeaf(rule.chunks.tree_root, tasks, task, input, proof);
  if (proof.length > 0) return false;
  if ("list" in rule) return equal(input, fromLatin1(`${rule.list[task]}\n`));
  return "range" in rule ? equal(input, rangeInput(rule.range, task)) : input.length <= 65536;
}

/** The length of a task's input, if it is too long for a lease and fetched on its own; otherwise 0. */
export function apart(rule: InputRule, task: number): number {
  const length = "chunks" in rule ? chunkLength(rule.chunks, task) : 0;
  return length > 65536 ? length : 0;
}

function chunkLength({ length, size }: ChunksRule, task: number): number {
  return Math.min(size, length - task * size);
}

function rangeInput({ from, to, step }: RangeRule, task: number): Bytes {
  const a = BigInt(from) + BigInt(task) * BigInt(step);
  const b = a + BigInt(step);
  return fromLatin1(`${a} ${b < BigInt(to) ? b : to}\n`);
}

/** RFC 9162, 2.1.3.2, in numbers that may have more than 32 bits. root is hex, index below size. */
export async function isLeaf(root: string, size: number, index: number, leaf: Bytes, proof: Bytes): Promise<boolean> {
  let hash = await digest(concat(Uint8Array.of(0), leaf));
  let at = index;
  let last = size - 1;
  if (proof.length % 32 !== 0) return false;
  for (let i = 0; i < proof.length; i += 32) {
    if (last === 0) return false;
    const other = proof.subarray(i, i + 32);
    if (at % 2 === 1 || at === last) {
      hash = await digest(concat(Uint8Array.of(1), other, hash));
      while (at % 2 === 0 && at !== 0) [at, last] = [at / 2, Math.floor(last / 2)];
    } else {
      hash = await digest(concat(Uint8Array.of(1), hash, other));
    }
    [at, last] = [Math.floor(at / 2), Math.floor(last / 2)];
  }
  return last === 0 && equal(hash, fromHex(root, 32) ?? new Uint8Array());
}

async function digest(bytes: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}
