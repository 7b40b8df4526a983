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
  readonly outputBytes: number;
  readonly millis: number; // of running, pauses and sleep not counted
}

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
  readonly detail: string; // of a fault, for people
}

export type FromRunner =
  | { readonly type: "ready"; readonly yields: boolean }
  | { readonly type: "compiled" }
  | { readonly type: "progress"; readonly permille: number; readonly text: string; readonly fuel: number }
  | { readonly type: "end"; readonly outcome: Outcome };

const ends: readonly End[] = ["exit", "trap", "fuel", "output", "deadline", "cancelled", "fault"];

/** Reads a message from the runner; null when it is none. */
export function decodeRunner(data: unknown): FromRunner | null {
  if (!isObject(data)) return null;
  const { type, yields, permille, text, fuel, outcome } = data;
  switch (type) {
    case "ready":
      return typeof yields === "boolean" ? { type, yields } : null;
    case "compiled":
      return { type };
    case "progress":
      if (!isCount(permille, 1000) || !isText(text) || !isCount(fuel)) return null;
      return { type, permille, text, fuel };
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
  const { code, fuel, output, detail } = data;
  const end = ends.find((e) => e === data["end"]);
  if (end === undefined || !isCount(code, 2 ** 32 - 1) || !isCount(fuel) || !isText(detail)) return null;
  if (!(output instanceof Uint8Array) || !(output.buffer instanceof ArrayBuffer) || output.length > 1 << 20) return null;
  return { end, code, fuel, output: new Uint8Array(output), detail };
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
