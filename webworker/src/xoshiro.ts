// The generator of random_get: xoshiro256** (docs/spec/abi.md, "Generator").
//
// On halves of 32 bits, because BigInt would be slow enough for a module to
// keep the host busy with one call.

import type { Bytes } from "./bytes.ts";

export class Xoshiro {
  // Low and high halves of the four words of state.
  readonly #s = new Uint32Array(8);
  readonly #left = new Uint8Array(8);
  #used = 8;

  constructor(seed: Bytes) {
    const view = new DataView(seed.buffer, seed.byteOffset, 32);
    for (let i = 0; i < 8; i++) this.#s[i] = view.getUint32(4 * i, true);
    if (this.#s.every((w) => w === 0)) this.#s[0] = 1;
  }

  /** Fills out with the next bytes; bytes left of an output are kept for the next call. */
  fill(out: Uint8Array): void {
    for (let i = 0; i < out.length; i++) {
      if (this.#used === 8) this.#next();
      out[i] = this.#left[this.#used++]!;
    }
  }

  #next(): void {
    const s = this.#s;
    const [l0, h0, l1, h1, l2, h2, l3, h3] = [s[0]!, s[1]!, s[2]!, s[3]!, s[4]!, s[5]!, s[6]!, s[7]!];
    this.#output(l1, h1);
    // t = s1 << 17; s2 ^= s0; s3 ^= s1; s1 ^= s2; s0 ^= s3; s2 ^= t; s3 = rotl(s3, 45)
    const al = l2 ^ l0, ah = h2 ^ h0;
    const bl = l3 ^ l1, bh = h3 ^ h1;
    s[2] = l1 ^ al;
    s[3] = h1 ^ ah;
    s[0] = l0 ^ bl;
    s[1] = h0 ^ bh;
    s[4] = al ^ (l1 << 17);
    s[5] = ah ^ ((h1 << 17) | (l1 >>> 15));
    // rotl by 45 is a swap of the halves and rotl by 13.
    s[6] = (bh << 13) | (bl >>> 19);
    s[7] = (bl << 13) | (bh >>> 19);
  }

  /** rotl(s1 * 5, 7) * 9, as 8 little-endian bytes. */
  #output(l: number, h: number): void {
    [l, h] = add(l, h, l << 2, (h << 2) | (l >>> 30));
    [l, h] = [(l << 7) | (h >>> 25), (h << 7) | (l >>> 25)];
    [l, h] = add(l, h, l << 3, (h << 3) | (l >>> 29));
    for (let i = 0; i < 4; i++) {
      this.#left[i] = l >>> (8 * i);
      this.#left[4 + i] = h >>> (8 * i);
    }
    this.#used = 0;
  }
}

function add(al: number, ah: number, bl: number, bh: number): [number, number] {
  const l = (al >>> 0) + (bl >>> 0);
  return [l | 0, (ah + bh + (l > 0xffffffff ? 1 : 0)) | 0];
}
