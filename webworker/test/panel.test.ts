// The words and numbers of the panel.

import assert from "node:assert/strict";
import test from "node:test";
import { Failure } from "../src/failure.ts";
import { amount } from "../src/format.ts";
import { describe, quiet, troubleOf, type Work } from "../src/view.ts";

test("fuel has three figures and a unit", () => {
  for (const [n, s] of [
    [0, "0"], [7, "7"], [999, "999"], [1000, "1.00 k"], [999_499, "999 k"], [999_500, "1.00 M"], [12_345_678, "12.3 M"],
    [1.62e9, "1.62 G"], [4e12, "4.00 T"], [2 ** 53 - 1, "9.01 P"], [5e18, "5000 P"],
  ] as const) assert.equal(amount(n), s);
});

const work: Work = { trouble: null, pausedFor: "", phases: ["idle"], resumed: false, connected: true, lostFor: "", halted: false, unacknowledged: 0, notice: "" };

test("the state is the first thing that the visitor should know", () => {
  const refused = troubleOf("refused", "module_sha256", "");
  const state = (change: Partial<Work>): string => describe({ ...work, ...change })[0];
  assert.equal(state({}), "waiting");
  assert.equal(state({ unacknowledged: 1 }), "sending");
  assert.equal(state({ halted: true, unacknowledged: 1 }), "halted");
  assert.equal(state({ connected: false, halted: true }), "connecting");
  assert.equal(state({ connected: false, phases: ["running"] }), "running");
  assert.equal(state({ phases: ["idle", "verifying"] }), "verifying");
  assert.equal(state({ pausedFor: "hidden", phases: ["running"] }), "paused");
  assert.equal(state({ trouble: refused, pausedFor: "hidden" }), "refused");
});

test("every failed check is explained in a sentence of its own", () => {
  const checks = [
    "too_large", "signature_malformed", "signature_legacy", "signature_unknown_key", "signature_invalid",
    "encoding", "bounds", "expiry", "statement_sha256", "module_length", "module_sha256",
  ] as const;
  const sentences = checks.map((c) => troubleOf("refused", new Failure(c, "").check, "").sentence);
  assert.equal(new Set(sentences).size, checks.length);
  for (const s of sentences) assert.match(s, /^Refused: [A-Z].*\. Nothing of it ran\.$/);
});

test("silence that was not seen is not claimed", () => {
  assert.match(quiet({ millis: 12.3, seen: true }), /13 ms/);
  assert.doesNotMatch(quiet({ millis: 10_000, seen: false }), /ms/);
});
