// SHA-256 (FIPS 180-4), at once: the runner's origin is opaque, so it has no
// crypto.subtle. Everything outside of the runner uses that.

import type { Bytes } from "./bytes.ts";

const k = new Uint32Array(64);
const initial = new Uint32Array(8);

// The constants are the first 32 bits of the fractions of cube roots and
// square roots of the first primes.
for (let n = 2, found = 0; found < 64; n++) {
  let prime = true;
  for (let d = 2; d * d <= n; d++) prime &&= n % d !== 0;
  if (!prime) continue;
  if (found < 8) initial[found] = fraction(Math.sqrt(n));
  k[found++] = fraction(Math.cbrt(n));
}

function fraction(x: number): number {
  return (x - Math.floor(x)) * 2 ** 32;
}

export function sha256(message: Uint8Array): Bytes {
  const blocks = Math.ceil((message.length + 9) / 64);
  const tail = new Uint8Array(128);
  const whole = message.length - (message.length % 64);
  tail.set(message.subarray(whole));
  tail[message.length - whole] = 0x80;
  const h = initial.slice();
  const view = new DataView(message.buffer, message.byteOffset, whole);
  for (let at = 0; at < whole; at += 64) block(h, view, at);
  const last = new DataView(tail.buffer, 0, blocks * 64 - whole);
  last.setUint32(last.byteLength - 8, Math.floor(message.length / 2 ** 29));
  last.setUint32(last.byteLength - 4, message.length << 3);
  for (let at = 0; at < last.byteLength; at += 64) block(h, last, at);
  const digest = new Uint8Array(32);
  h.forEach((word, i) => new DataView(digest.buffer).setUint32(4 * i, word));
  return digest;
}

const w = new Uint32Array(64);

function block(h: Uint32Array, bytes: DataView, at: number): void {
  for (let i = 0; i < 16; i++) w[i] = bytes.getUint32(at + 4 * i);
  for (let i = 16; i < 64; i++) {
    const x = w[i - 15]!, y = w[i - 2]!;
    w[i] = w[i - 16]! + (rotr(x, 7) ^ rotr(x, 18) ^ (x >>> 3)) + w[i - 7]! + (rotr(y, 17) ^ rotr(y, 19) ^ (y >>> 10));
  }
  let [a, b, c, d, e, f, g, z] = h as unknown as [number, number, number, number, number, number, number, number];
  for (let i = 0; i < 64; i++) {
    const t = (z + (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) + ((e & f) ^ (~e & g)) + k[i]! + w[i]!) | 0;
    const u = ((rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    [z, g, f, e, d, c, b, a] = [g, f, e, (d + t) | 0, c, b, a, (t + u) | 0];
  }
  [a, b, c, d, e, f, g, z].forEach((v, i) => (h[i]! += v));
}

function rotr(x: number, n: number): number {
  return (x >>> n) | (x << (32 - n));
}
