// The generator of random_get, against the reference algorithm on BigInt.

import assert from "node:assert/strict";
import test from "node:test";
import { Xoshiro } from "../src/xoshiro.ts";

const mask = 2n ** 64n - 1n;
const rotl = (x: bigint, k: bigint): bigint => ((x << k) | (x >> (64n - k))) & mask;

/** The algorithm as its authors publish it. */
function* reference(seed: Uint8Array): Generator<number, never> {
  const view = new DataView(seed.buffer, seed.byteOffset, 32);
  const s = [0, 8, 16, 24].map((at) => view.getBigUint64(at, true));
  if (!s.some((w) => w !== 0n)) s[0] = 1n;
  for (;;) {
    const out = (rotl((s[1]! * 5n) & mask, 7n) * 9n) & mask;
    const t = (s[1]! << 17n) & mask;
    s[2]! ^= s[0]!;
    s[3]! ^= s[1]!;
    s[1]! ^= s[2]!;
    s[0]! ^= s[3]!;
    s[2]! ^= t;
    s[3] = rotl(s[3]!, 45n);
    for (let i = 0n; i < 64n; i += 8n) yield Number((out >> i) & 255n);
  }
}

const seeds = [
  new Uint8Array(32),
  new Uint8Array(32).fill(255),
  Uint8Array.from({ length: 32 }, (_, i) => i),
  Uint8Array.from({ length: 32 }, (_, i) => (i * 181 + 7) & 255),
];

test("xoshiro256** gives the reference's bytes, in any portions", () => {
  for (const seed of seeds) {
    const expected = reference(seed);
    const x = new Xoshiro(seed);
    for (const n of [0, 1, 7, 8, 9, 3, 5, 64, 1000, 0, 13]) {
      const got = new Uint8Array(n);
      x.fill(got);
      for (let i = 0; i < n; i++) assert.equal(got[i], expected.next().value);
    }
  }
});

test("random bytes are quick enough that a module cannot keep the host busy", () => {
  const x = new Xoshiro(seeds[3]!);
  const before = process.cpuUsage(); // not the clock: the machine may have something else to do
  x.fill(new Uint8Array(16 << 20));
  const { user, system } = process.cpuUsage(before);
  assert.ok(user + system < 4e6, `16 MiB took ${(user + system) / 1000} ms`);
});
