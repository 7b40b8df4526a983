// Results as the hub writes them: JSON lines, one for each task with a verdict.

import { fromLatin1 } from "./bytes.ts";

/** One line of GET /v1/orders/DIGEST/results (docs/spec/wire.md). */
export interface Line {
  readonly task: number;
  readonly end: string;
  readonly code: number;
  readonly fuel: number;
  readonly output: string; // base64
  readonly agree: number;
}

const maxBytes = 64 << 20; // of all lines together

/** Reads up to most lines, and lets go of the rest. */
export async function readLines(body: ReadableStream<Uint8Array>, most: number): Promise<Line[]> {
  const lines: Line[] = [];
  const reader = body.getReader();
  const text = new TextDecoder();
  let rest = "";
  for (let read = 0; lines.length < most && read < maxBytes;) {
    const { done, value } = await reader.read();
    if (done) return lines;
    read += value.length;
    const parts = (rest + text.decode(value, { stream: true })).split("\n");
    rest = parts.pop()!;
    for (const part of parts.slice(0, most - lines.length)) lines.push(JSON.parse(part) as Line);
  }
  await reader.cancel();
  return lines;
}

/** The bytes of a line's output. */
export const decode = (base64: string) => fromLatin1(atob(base64));
