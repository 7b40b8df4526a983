// BLAKE2b against OpenSSL's.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import test from "node:test";
import { hex } from "../src/bytes.ts";
import { blake2b } from "../src/blake2b.ts";

test("blake2b agrees with OpenSSL on every length around its blocks", () => {
  for (let n = 0; n <= 600; n++) {
    const message = Uint8Array.from({ length: n }, (_, i) => (i * 131 + n) & 255);
    assert.equal(hex(blake2b(message)), createHash("blake2b512").update(message).digest("hex"), `${n} bytes`);
  }
});

test("blake2b of the largest statement is quick", () => {
  const message = new Uint8Array(16 << 10).fill(0x61);
  const before = performance.now();
  assert.equal(hex(blake2b(message)), createHash("blake2b512").update(message).digest("hex"));
  assert.ok(performance.now() - before < 1000);
});
