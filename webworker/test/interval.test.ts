// How often to checkpoint: the shared vectors.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { every, optimum } from "../src/interval.ts";

const { optimum: cases } = JSON.parse(readFileSync("../testdata/vectors/interval.json", "utf8")) as {
  optimum: { delta: number; tau: number; seconds: string }[];
};

test("the optimum to one part in 10^11", () => {
  assert.ok(cases.length > 20);
  for (const c of cases) {
    const want = Number(c.seconds);
    const got = optimum(c.delta, c.tau);
    assert.ok(Math.abs(got - want) <= 1e-11 * want, `δ ${c.delta}, τ ${c.tau}: ${got}, want ${want}`);
  }
});

test("never more often than the hub keeps them, and a minute's visits when nothing is known", () => {
  assert.equal(every(0, 60), 5);
  assert.equal(every(1, 0), every(1, 60));
  assert.ok(every(1, 0) > 10 && every(1, 0) < 11);
});
