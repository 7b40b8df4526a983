// The messages between page and runner. The runner works for code that other
// people wrote, so the page checks what comes from it as it does with the hub.

import type { Bytes } from "./bytes.ts";
import type { VotedEnd } from "./vote.ts";

/** One task for the runner. */
export interface Job {
  readonly input: Bytes;
  readonly args: readonly string[];
  readonly seed: Bytes;
  readonly fuel: number; // limit
  readonly segmentFuel: number; // limit for a segment
  readonly outputBytes: number;
  readonly millis: number; // of running, pauses and sleep not counted
  readonly from: Checkpoint; // where to go on
}

/** Where a task stands between two segments. */
export interface Checkpoint {
  readonly fuel: number; // used until now
  readonly links: Bytes; // of the transcript, 32 bytes for each segment done
  readonly state: Bytes;
  readonly output: Bytes; // until now
}

/** Where every task begins. */
export const beginning: Checkpoint = { fuel: 0, links: new Uint8Array(), state: new Uint8Array(), output: new Uint8Array() };

export type ToRunner =
  | { readonly type: "load"; readonly module: Bytes }
  | { readonly type: "run"; readonly job: Job }
  | { readonly type: "pace"; readonly share: number; readonly paused: boolean }
  | { readonly type: "stop" };

export type End = VotedEnd | "deadline" | "cancelled" | "fault";

export interface Outcome {
  readonly end: End;
  readonly code: number;
  readonly fuel: number;
  readonly output: Bytes;
  readonly links: Bytes; // 32 bytes for each segment
  readonly detail: string; // of a fault, for people
}

export type FromRunner =
  | { readonly type: "ready"; readonly yields: boolean }
  | { readonly type: "compiled" }
  | { readonly type: "progress"; readonly permille: number; readonly text: string; readonly fuel: number }
  | { readonly type: "checkpoint"; readonly at: Checkpoint }
  | { readonly type: "end"; readonly outcome: Outcome };

const ends: readonly End[] = ["exit", "trap", "fuel", "output", "state", "deadline", "cancelled", "fault"];

/** Reads a message from the runner; null when it is none. */
export function decodeRunner(data: unknown): FromRunner | null {
  if (!isObject(data)) return null;
  const { type, yields, permille, text, fuel, at, outcome } = data;
  switch (type) {
    case "ready":
      return typeof yields === "boolean" ? { type, yields } : null;
    case "compiled":
      return { type };
    case "progress":
      if (!isCount(permille, 1000) || !isText(text) || !isCount(fuel)) return null;
      return { type, permille, text, fuel };
    case "checkpoint": {
      const c = decodeCheckpoint(at);
      return c && { type, at: c };
    }
    case "end": {
      const o = decodeOutcome(outcome);
      return o && { type, outcome: o };
    }
    default:
      return null;
  }
}

function decodeOutcome(data: unknown): Outcome | null {
  if (!isObject(data)) return null;
  const { code, fuel, output, links, detail } = data;
  const end = ends.find((e) => e === data["end"]);
  if (end === undefined || !isCount(code, 2 ** 32 - 1) || !isCount(fuel) || !isText(detail)) return null;
  if (!isBytes(output, maxOutput) || !isBytes(links, maxLinks) || links.length % 32 !== 0) return null;
  return { end, code, fuel, output, links, detail };
}

function decodeCheckpoint(data: unknown): Checkpoint | null {
  if (!isObject(data)) return null;
  const { fuel, links, state, output } = data;
  if (!isCount(fuel) || !isBytes(links, maxLinks) || links.length % 32 !== 0) return null;
  return isBytes(state, maxState) && isBytes(output, maxOutput) ? { fuel, links, state, output } : null;
}

const maxOutput = 1 << 20;
const maxState = 1 << 20;
const maxLinks = 32 * 16384;

function isBytes(v: unknown, max: number): v is Bytes {
  return v instanceof Uint8Array && v.buffer instanceof ArrayBuffer && v.length <= max;
}

function isObject(v: unknown): v is Record<string, unknown> {
  return typeof v === "object" && v !== null;
}

function isCount(v: unknown, max = Number.MAX_SAFE_INTEGER): v is number {
  return typeof v === "number" && Number.isInteger(v) && v >= 0 && v <= max;
}

function isText(v: unknown): v is string {
  return typeof v === "string" && /^[\x20-\x7e]{0,256}$/.test(v);
}
