// Transcripts: docs/spec/abi.md, section "Segments".

import { type Bytes, concat } from "./bytes.ts";
import { sha256 } from "./sha256.ts";
import type { VotedEnd } from "./vote.ts";

export type SegmentEnd = VotedEnd | "checkpoint";

/** The ends of segments as transcripts number them. */
const how: Record<SegmentEnd, number> = { checkpoint: 0, exit: 1, trap: 2, fuel: 3, output: 4, state: 5 };

/** Adds what one segment did to the links until then. */
export function follow(links: Bytes, end: SegmentEnd, code: number, fuel: bigint, output: Bytes, state: Bytes): Bytes {
  const record = new Uint8Array(53);
  const view = new DataView(record.buffer);
  record.set(links.subarray(Math.max(0, links.length - 32)));
  view.setUint8(32, how[end]);
  view.setUint32(33, code, true);
  view.setBigUint64(37, fuel, true);
  view.setBigUint64(45, BigInt(output.length), true);
  return concat(links, sha256(concat(record, sha256(output), sha256(state))));
}

/** The seed of a task's segment. */
export function segmentSeed(task: Bytes, number: number): Bytes {
  const bytes = new Uint8Array(40);
  bytes.set(task);
  new DataView(bytes.buffer).setBigUint64(32, BigInt(number), true);
  return sha256(bytes);
}
