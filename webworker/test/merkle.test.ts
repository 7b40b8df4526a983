// Inputs: the shared vectors, and orders too large for a vector.

import assert from "node:assert/strict";
import test from "node:test";
import { Failure } from "../src/failure.ts";
import { checkInput, tasksOf } from "../src/merkle.ts";
import { shared } from "./vectors.ts";

const bytes = (base64: string) => Uint8Array.from(Buffer.from(base64, "base64"));

shared("input");

test("tasks of large orders are counted exactly", () => {
  assert.equal(tasksOf({ range: { from: 0, to: Number.MAX_SAFE_INTEGER, step: 8192 } }), 2 ** 40);
  assert.equal(tasksOf({ range: { from: 0, to: 2 ** 53 - 1, step: 2 ** 53 - 1 } }), 1);
  assert.equal(tasksOf({ lines: { tree_root: "", length: 1, lines: 2 ** 30, per_task: 3 } }), 357913942);
});

test("a proof may not have a part of a hash", async () => {
  const rule = { lines: { tree_root: "00".repeat(32), length: 10, lines: 2, per_task: 1 } };
  await assert.rejects(checkInput(rule, 0, bytes(""), new Uint8Array(33)), Failure);
});
