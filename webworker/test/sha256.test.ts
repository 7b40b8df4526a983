// SHA-256 in the runner, against the browser's own.

import assert from "node:assert/strict";
import test from "node:test";
import { hex, sha256 as subtle } from "../src/bytes.ts";
import { sha256 } from "../src/sha256.ts";

test("the same digest as crypto.subtle's, for every length around blocks", async () => {
  for (let n = 0; n < 300; n++) {
    const message = Uint8Array.from({ length: n }, (_, i) => i * 31 + n);
    assert.equal(hex(sha256(message)), await subtle(message), `${n} bytes`);
  }
});

test("a view into a larger buffer, and a megabyte", async () => {
  const large = Uint8Array.from({ length: (1 << 20) + 7 }, (_, i) => (i * i) >>> 3);
  assert.equal(hex(sha256(large)), await subtle(large));
  assert.equal(hex(sha256(large.subarray(5, 1005))), await subtle(large.slice(5, 1005)));
});
