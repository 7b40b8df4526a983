// BLAKE2b-512 without a key (RFC 7693), which WebCrypto does not have and
// minisign signs with.
//
// Written out here, so that no code from elsewhere runs in the page. It hashes
// statements of at most 16 KiB, so it is written to be read: on BigInt.

import type { Bytes } from "./bytes.ts";

const blockBytes = 128;

const iv = [
  0x6a09e667f3bcc908n, 0xbb67ae8584caa73bn, 0x3c6ef372fe94f82bn, 0xa54ff53a5f1d36f1n,
  0x510e527fade682d1n, 0x9b05688c2b3e6c1fn, 0x1f83d9abfb41bd6bn, 0x5be0cd19137e2179n,
];

// Row r: in which order round r takes the message words, one hex digit each.
const sigma = [
  "0123456789abcdef",
  "ea489fd61c02b753",
  "b8c052fdae367194",
  "7931dcbe265a40f8",
  "905724afe1bc683d",
  "2c6a0b834d75fe19",
  "c51fed4a0763928b",
  "db7ec13950f4862a",
  "6fe9b308c2d714a5",
  "a2847615fb9e3cd0",
];

// The columns of the state, then its diagonals.
const mixed = [
  [0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15],
  [0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14],
] as const;

/** The 64 bytes of the digest. */
export function blake2b(message: Bytes): Bytes {
  const h = [...iv];
  h[0]! ^= 0x01010040n; // parameters: digest of 64 bytes, no key, no tree
  const blocks = Math.max(1, Math.ceil(message.length / blockBytes));
  const padded = new Uint8Array(blocks * blockBytes);
  padded.set(message);
  const words = new BigUint64Array(16 * blocks);
  const view = new DataView(padded.buffer);
  for (let i = 0; i < words.length; i++) words[i] = view.getBigUint64(8 * i, true);
  for (let b = 1; b <= blocks; b++) {
    const last = b === blocks;
    compress(h, words.subarray(16 * (b - 1), 16 * b), BigInt(last ? message.length : b * blockBytes), last);
  }
  const digest = new DataView(new ArrayBuffer(64));
  h.forEach((w, i) => digest.setBigUint64(8 * i, w, true));
  return new Uint8Array(digest.buffer);
}

/** Works one block into h; length counts the bytes up to its end. */
function compress(h: bigint[], block: BigUint64Array, length: bigint, last: boolean): void {
  const v = new BigUint64Array([...h, ...iv]); // arithmetic modulo 2^64
  v[12]! ^= length;
  if (last) v[14] = ~v[14]!;
  for (let round = 0; round < 12; round++) {
    const order = sigma[round % 10]!;
    mixed.forEach(([a, b, c, d], i) => {
      const word = (k: number): bigint => block[parseInt(order[2 * i + k]!, 16)]!;
      mix(v, a, b, c, d, word(0), word(1));
    });
  }
  for (let i = 0; i < 8; i++) h[i]! ^= v[i]! ^ v[i + 8]!;
}

function mix(v: BigUint64Array, a: number, b: number, c: number, d: number, x: bigint, y: bigint): void {
  v[a] = v[a]! + v[b]! + x;
  v[d] = rotate(v[d]! ^ v[a]!, 32n);
  v[c]! += v[d]!;
  v[b] = rotate(v[b]! ^ v[c]!, 24n);
  v[a] = v[a]! + v[b]! + y;
  v[d] = rotate(v[d]! ^ v[a]!, 16n);
  v[c]! += v[d]!;
  v[b] = rotate(v[b]! ^ v[c]!, 63n);
}

function rotate(w: bigint, right: bigint): bigint {
  return BigInt.asUintN(64, (w >> right) | (w << (64n - right)));
}
