// The messages of countersign.v1: docs/spec/wire.md. A closed union; every
// inbound value is checked, member by member, and none is cast.

import { base64, type Bytes, fromBase64, fromHex, hex, toLatin1 } from "./bytes.ts";
import type { Checkpoint } from "./channel.ts";
import { maxSegments, maxState } from "./host.ts";
import type { Reached, Vote } from "./vote.ts";

export const subprotocol = "countersign.v1";
export const maxToWorker = 1 << 20;
export const maxBatch = 64; // messages in a frame
export const maxWant = 64;
export const maxText = 256;

export const maxFile = 4 << 20;
const maxInput = 65536;
const maxProof = 40;
const maxOutput = 1 << 20;
const maxToken = 2048;
const maxTask = 2 ** 40 - 1;
const maxLeaseToken = 8192;

export interface Hello {
  readonly type: "hello";
  readonly hub: string;
  readonly nonce: string;
  readonly time: number;
}

export interface Lease {
  readonly type: "lease";
  readonly lease: string; // token
  readonly id: string;
  readonly order: string;
  readonly release: string;
  readonly task: number;
  readonly lane: number;
  readonly input: Bytes;
  readonly proof: Bytes; // that it is the signed one
  readonly checkpoint: string; // digest of the file to go on from, or ""
  readonly seconds: number;
}

export type Scope = "all" | "order" | "release" | "task" | "lease";
export type Verdict = "pending" | "agreed" | "outvoted" | "late";

export interface Kill {
  readonly type: "kill";
  readonly scope: Scope;
  readonly target: string;
  readonly reason: string;
}

export type FromHub =
  | Hello
  | { readonly type: "welcome"; readonly halted: boolean; readonly visit: number; readonly session: string }
  | Lease
  | { readonly type: "idle" }
  | { readonly type: "kept"; readonly id: string; readonly segments: number }
  | { readonly type: "ack"; readonly id: string; readonly verdict: Verdict }
  | { readonly type: "refused"; readonly id: string; readonly code: string; readonly message: string }
  | Kill
  | { readonly type: "resume" }
  | { readonly type: "error"; readonly code: string; readonly message: string; readonly retry: number };

export type ReturnReason = "stopped" | "deadline" | "fault" | "refused" | "killed";

export type ToHub =
  | { readonly type: "join"; readonly worker: string; readonly signature: string; readonly agent: string; readonly pass: string }
  | { readonly type: "want"; readonly leases: number }
  | { readonly type: "progress"; readonly id: string; readonly permille: number; readonly text: string; readonly fuel: number }
  | { readonly type: "result"; readonly lease: string; readonly vote: Vote; readonly output: string; readonly links: string; readonly signature: string }
  | ({ readonly type: "checkpoint"; readonly lease: string } & Offer)
  | { readonly type: "return"; readonly id: string; readonly reason: ReturnReason; readonly check: string; readonly detail: string };

/** What a message from the hub is when it is none of the protocol. */
export class WireError extends Error {}

/** Reads a frame from the hub, one message or several, or throws a WireError. */
export function decodeFrame(data: unknown): FromHub[] {
  if (typeof data !== "string") throw new WireError("not text");
  if (data.length > maxToWorker) throw new WireError(`frame of ${data.length} characters`);
  const lines = data.split("\n", maxBatch + 1);
  if (lines.length > maxBatch) throw new WireError("too many messages in a frame");
  return shareToken(lines.map(decodeMessage));
}

/** Gives a lease without a token that of the lease before it in the frame. */
function shareToken(frame: FromHub[]): FromHub[] {
  let token = "";
  return frame.map((m) => {
    if (m.type !== "lease") return m;
    token = m.lease || token;
    if (token === "") throw new WireError("a lease without a token");
    return { ...m, lease: token };
  });
}

function decodeMessage(line: string): FromHub {
  const m = parse(line, maxToWorker);
  const message = read(m);
  m.end();
  return message;
}

function parse(data: string, max: number): Members {
  if (data.length > max) throw new WireError(`message of ${data.length} characters`);
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    throw new WireError("not JSON");
  }
  return new Members(value);
}

function read(m: Members): FromHub {
  const type = m.text("type", 0, 32);
  switch (type) {
    case "hello":
      return { type, hub: m.hex("hub", 32), nonce: m.hex("nonce", 32), time: m.integer("time", 0, Number.MAX_SAFE_INTEGER) };
    case "welcome":
      return { type, halted: m.boolean("halted"), visit: m.integer("visit", 0, 1 << 20), session: m.token("session", maxToken) };
    case "lease":
      return {
        type,
        lease: m.token("lease", maxLeaseToken),
        id: m.hex("id", 16),
        order: m.hex("order", 32),
        release: m.hex("release", 32),
        task: m.integer("task", 0, maxTask),
        lane: m.integer("lane", 0, 255),
        input: m.bytes("input", maxInput),
        proof: m.bytes("proof", 32 * maxProof),
        checkpoint: m.digestOrNone("checkpoint"),
        seconds: m.integer("seconds", 1, 1 << 20),
      };
    case "idle":
    case "resume":
      return { type };
    case "kept":
      return { type, id: m.hex("id", 16), segments: m.integer("segments", 0, maxSegments - 1) };
    case "ack":
      return { type, id: m.hex("id", 16), verdict: m.word("verdict", ["pending", "agreed", "outvoted", "late"]) };
    case "refused":
      return { type, id: m.hex("id", 16), code: m.code("code"), message: m.text("message", 0, 1000) };
    case "kill":
      return readKill(m);
    case "error":
      return { type, code: m.code("code"), message: m.text("message", 0, 1000), retry: m.integer("retry", 0, 3600) };
    default:
      throw new WireError("unknown type");
  }
}

function readKill(m: Members): Kill {
  const scope = m.word("scope", ["all", "order", "release", "task", "lease"] as const);
  const target = scope === "task" ? m.task("target") : m.hex("target", { all: 0, order: 32, release: 32, lease: 16 }[scope]);
  return { type: "kill", scope, target, reason: m.text("reason", 0, 200) };
}

/** The members of a message, each read once. */
class Members {
  private readonly left: Map<string, unknown>;

  constructor(value: unknown) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw new WireError("not an object");
    this.left = new Map<string, unknown>(Object.entries(value));
  }

  #take(name: string): unknown {
    const v = this.left.get(name);
    this.left.delete(name);
    return v;
  }

  /** Everything must have been read by now. */
  end(): void {
    for (const name of this.left.keys()) throw new WireError(`unknown member ${name.slice(0, 40)}`);
  }

  text(name: string, lo: number, hi: number): string {
    const v = this.#take(name);
    if (typeof v !== "string" || v.length < lo || v.length > hi || !/^[\x20-\x7e]*$/.test(v)) throw bad(name);
    return v;
  }

  integer(name: string, lo: number, hi: number): number {
    const v = this.#take(name);
    if (typeof v !== "number" || !Number.isInteger(v) || v < lo || v > hi || Object.is(v, -0)) throw bad(name);
    return v;
  }

  object(name: string): Members {
    return new Members(this.#take(name));
  }

  boolean(name: string): boolean {
    const v = this.#take(name);
    if (typeof v !== "boolean") throw bad(name);
    return v;
  }

  hex(name: string, bytes: number): string {
    const v = this.text(name, 2 * bytes, 2 * bytes);
    if (!/^[0-9a-f]*$/.test(v)) throw bad(name);
    return v;
  }

  /** An order's digest and the number of one of its tasks. */
  task(name: string): string {
    const v = this.text(name, 66, 78);
    if (!/^[0-9a-f]{64}\/(0|[1-9][0-9]*)$/.test(v) || Number(v.slice(65)) > maxTask) throw bad(name);
    return v;
  }

  digestOrNone(name: string): string {
    const v = this.text(name, 0, 64);
    if (!/^([0-9a-f]{64})?$/.test(v) || /^0+$/.test(v)) throw bad(name);
    return v;
  }

  token(name: string, hi: number): string {
    const v = this.text(name, 0, hi);
    if (!/^[A-Za-z0-9._-]*$/.test(v)) throw bad(name);
    return v;
  }

  code(name: string): string {
    const v = this.text(name, 1, 32);
    if (!/^[a-z0-9_]+$/.test(v)) throw bad(name);
    return v;
  }

  bytes(name: string, hi: number): Bytes {
    const v = fromBase64(this.text(name, 0, Math.ceil(hi / 3) * 4));
    if (v === null || v.length > hi) throw bad(name);
    return v;
  }

  word<T extends string>(name: string, words: readonly T[]): T {
    const v = this.text(name, 0, 32);
    const found = words.find((w) => w === v);
    if (found === undefined) throw bad(name);
    return found;
  }
}

function bad(name: string): WireError {
  return new WireError(`member ${name} is missing or not as it should be`);
}

export function encodeMessage(m: ToHub): string {
  return JSON.stringify(m);
}

/** The text that a worker signs to join: it names the hub, so that one hub cannot use the answer at another. */
export function joinText(hello: Hello): string {
  return `countersign.join/v1\n${hello.hub}\n${hello.nonce}\n`;
}

/** The message that delivers a vote. */
export function result(token: string, vote: Vote, output: Bytes, links: Bytes, signature: Bytes): ToHub {
  return { type: "result", lease: token, vote, output: base64(output), links: base64(links), signature: hex(signature) };
}

/** The members of a checkpoint, as a message and the hub's file have them. */
export interface Offer {
  readonly checkpoint: Reached;
  readonly signature: string;
  readonly state: string;
  readonly output: string;
  readonly links: string;
}

/** The message that offers a checkpoint. */
export function offer(token: string, reached: Reached, at: Checkpoint, signature: Bytes): { readonly type: "checkpoint"; readonly lease: string } & Offer {
  const { state, output, links } = at;
  return {
    type: "checkpoint", lease: token, checkpoint: reached, signature: hex(signature),
    state: base64(state), output: base64(output), links: base64(links),
  };
}

/** A checkpoint by somebody else, as it stands in the hub's file. */
export interface CheckpointFile {
  readonly worker: string;
  readonly reached: Reached;
  readonly signature: Bytes;
  readonly at: Checkpoint;
}

/** Reads a checkpoint file, or throws a WireError. What it says is not verified by that. */
export function decodeFile(data: Bytes): CheckpointFile {
  const m = parse(toLatin1(data), maxFile);
  const worker = m.hex("worker", 32);
  const reached = readReached(m.object("checkpoint"));
  const signature = fromHex(m.hex("signature", 64), 64)!;
  const at = { fuel: reached.fuel, state: m.bytes("state", maxState), output: m.bytes("output", maxOutput), links: m.bytes("links", 32 * (maxSegments - 1)) };
  m.end();
  return { worker, reached, signature, at };
}

function readReached(m: Members): Reached {
  const r: Reached = {
    type: m.word("type", ["countersign.checkpoint/v1"] as const),
    order: m.hex("order", 32),
    task: m.integer("task", 0, maxTask),
    lane: m.integer("lane", 0, 255),
    lease: m.hex("lease", 16),
    module: m.hex("module", 32),
    input: m.hex("input", 32),
    segments: m.integer("segments", 1, maxSegments - 1),
    fuel: m.integer("fuel", 0, Number.MAX_SAFE_INTEGER),
    transcript: m.hex("transcript", 32),
    state: m.hex("state", 32),
    output: m.hex("output", 32),
    from: m.integer("from", 0, maxSegments - 1),
  };
  if (r.from >= r.segments) throw bad("from");
  m.end();
  return r;
}
