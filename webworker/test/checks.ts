// What each kind of shared vector says, for the code here: it runs in node and,
// by test/trust, in browsers, so it knows no test framework.

import { fromBase64, fromHex, fromLatin1, hex, toLatin1 } from "../src/bytes.ts";
import { encode } from "../src/canon.ts";
import { Failure } from "../src/failure.ts";
import { checkInput, type InputRule, tasksOf } from "../src/merkle.ts";
import { parsePublicKey } from "../src/minisign.ts";
import { openOrder } from "../src/order.ts";
import { checkCurrent, openChain, openIndex, openOrderUnder, openReleaseUnder, type Seen, type Trust } from "../src/policy.ts";
import { openRelease, type Release } from "../src/statement.ts";
import { checkProof, logTrust } from "../src/tlogproof.ts";
import { checkFile } from "../src/trail.ts";
import { countersign, identityOf, type Identity, type Reached, signedBy, signJoin, type Vote } from "../src/vote.ts";
import { decodeFile, decodeFrame, encodeMessage, joinText, type Lease, type ToHub, WireError } from "../src/wire.ts";
import { checkVector } from "./abi.ts";

type Bytes = Uint8Array<ArrayBuffer>;
export type Vector = Record<string, unknown>;

function text(v: Vector, name: string): string {
  const s = v[name];
  if (typeof s !== "string") throw new Error(`a vector without ${name}`);
  return s;
}

function bytes(base64: unknown): Bytes {
  const b = typeof base64 === "string" ? fromBase64(base64) : new Uint8Array();
  if (b === null) throw new Error("a vector with bad base64");
  return b;
}

/** The class of what happens: "ok", or that of the Failure. Anything else that is thrown is a mistake here. */
async function classOf(f: () => Promise<unknown>): Promise<string> {
  try {
    await f();
    return "ok";
  } catch (e) {
    if (e instanceof Failure) return e.check;
    throw e;
  }
}

const wants = (got: string, want: string): string => (got === want ? "" : `got ${got}, want ${want}`);
const all = (...wrong: string[]): string => wrong.filter((w) => w !== "").join("; ");
const same = (what: string, got: unknown, want: unknown): string => (got === want ? "" : `${what}: ${String(got)}, want ${String(want)}`);

interface File {
  readonly statement: string;
  readonly signature: string;
}

async function openTrust(v: Vector): Promise<void> {
  const now = Date.parse(text(v, "now"));
  const root = { keys: (v["roots"] as string[]).map(parsePublicKey), threshold: v["threshold"] as number, floor: v["floor"] as number };
  const chain = (v["chain"] as { statement: string; signatures: string }[]).map((s) => ({ statement: bytes(s.statement), signatures: bytes(s.signatures) }));
  const [policy, seen] = await openChain(root, chain, v["seen"] as Seen, now);
  const x = v["index"] as File | null;
  const index = x === null ? null : (await openIndex(policy, bytes(x.statement), bytes(x.signature), seen, now))[0];
  const trust: Trust = { policy, index };
  checkCurrent(trust, now);
  const release = async (f: File): Promise<string> => (await openReleaseUnder(trust, bytes(f.statement), bytes(f.signature), now)).release.name;
  const target = v["target"] as File;
  if (v["kind"] === "release") await release(target);
  if (v["kind"] === "order") {
    await openOrderUnder(trust, bytes(target.statement), bytes(target.signature), now, () => release(v["named"] as File), (o) => tasksOf(o.rule));
  }
}

/** The identity with this Ed25519 seed. */
async function identity(seed: string): Promise<Identity> {
  const der = fromHex("302e020100300506032b657004220420" + seed, 48)!;
  const key = await crypto.subtle.importKey("pkcs8", der, "Ed25519", true, ["sign"]);
  const { x } = await crypto.subtle.exportKey("jwk", key);
  const point = fromBase64(x!.replaceAll("-", "+").replaceAll("_", "/") + "=")!;
  return identityOf({ privateKey: key, publicKey: await crypto.subtle.importKey("raw", point, "Ed25519", true, ["verify"]) });
}

const wire: Record<string, (v: Vector) => Promise<string> | string> = {
  to_worker(v) {
    let got = "ok";
    try {
      decodeFrame(v["message"] ?? "");
    } catch (e) {
      if (!(e instanceof WireError)) throw e;
      got = "refused";
    }
    return wants(got, text(v, "class") === "ok" ? "ok" : "refused");
  },
  to_hub(v) {
    // What this side writes is what the other side reads.
    const messages = text(v, "message").split("\n").map((line) => JSON.parse(line) as ToHub);
    return same("written", JSON.stringify(messages.map((m) => JSON.parse(encodeMessage(m)) as ToHub)), JSON.stringify(messages));
  },
  async vote(v) {
    const me = await identity(text(v, "seed"));
    const vote = JSON.parse(text(v, "statement")) as Vote;
    return all(same("worker", me.worker, v["worker"]), same("statement", toLatin1(encode(vote)), v["statement"]), same("signature", hex(await countersign(me, vote)), v["signature"]));
  },
  async checkpoint(v) {
    const me = await identity(text(v, "seed"));
    const reached = JSON.parse(text(v, "statement")) as Reached;
    const signature = await countersign(me, reached);
    return all(
      same("statement", toLatin1(encode(reached)), v["statement"]), same("signature", hex(signature), v["signature"]),
      same("signed", await signedBy(me.worker, reached, signature), true), same("altered", await signedBy(me.worker, { ...reached, fuel: reached.fuel + 1 }, signature), false),
      same("by another", await signedBy("00".repeat(32), reached, signature), false),
    );
  },
  async file(v) {
    let got = "ok";
    try {
      const file = decodeFile(fromLatin1(text(v, "message")));
      const { reached: r } = file;
      const limits = { task_fuel: Number.MAX_SAFE_INTEGER, output_bytes: 1 << 20 };
      await checkFile(file, { order: r.order, task: r.task } as Lease, { module_sha256: r.module, limits } as Release, r.input);
    } catch (e) {
      got = e instanceof WireError ? "message" : e instanceof Failure ? e.check : String(e);
    }
    return wants(got, text(v, "class"));
  },
  async join(v) {
    const me = await identity(text(v, "seed"));
    const wanted = JSON.parse(text(v, "message")) as { worker: string; signature: string };
    const hello = { type: "hello", hub: text(v, "hub"), nonce: text(v, "nonce"), time: 0 } as const;
    return all(same("worker", me.worker, wanted.worker), same("signature", await signJoin(me, joinText(hello)), wanted.signature));
  },
};

/** Kinds of which this side has only good ones to make; the other side refuses the bad ones. */
const ours = ["to_hub", "vote", "checkpoint", "join"];

/** By folder of testdata/vectors: what is wrong with a vector, "" for nothing, null for a vector of the hub's side. */
export const checks: Record<string, (v: Vector) => Promise<string | null>> = {
  async statement(v) {
    const open = { order: openOrder, release: openRelease }[text(v, "kind")]!;
    return wants(await classOf(() => open(bytes(v["statement"]), bytes(v["signature"]), (v["keys"] as string[]).map(parsePublicKey), Date.parse(text(v, "now")))), text(v, "class"));
  },
  async trust(v) {
    return wants(await classOf(() => openTrust(v)), text(v, "class"));
  },
  async input(v) {
    const got = await classOf(() => checkInput(v["rule"] as InputRule, v["task"] as number, bytes(v["input"]), bytes(v["proof"])));
    return wants(got, v["good"] === true ? "ok" : "input");
  },
  async log(v) {
    const trust = await logTrust({ log: text(v, "log"), witnesses: v["witnesses"] as string[], quorum: v["quorum"] as number });
    const got = await classOf(() => checkProof(trust, bytes(v["statement"]), bytes(v["signature"]), bytes(v["proof"]), Date.parse(text(v, "now"))));
    return wants(got, text(v, "class"));
  },
  async wire(v) {
    const kind = text(v, "kind");
    if (kind === "sheet" || kind === "refutation") return null; // browsers sign their votes one by one, and are no auditors
    if (ours.includes(kind) && v["class"] !== "ok") return null;
    return wire[kind]!(v);
  },
  async abi(v) {
    return checkVector(v) ?? "";
  },
};

/** What is wrong with a vector, "" or null; a vector that cannot be looked at is wrong. */
export async function check(folder: string, v: Vector): Promise<string | null> {
  try {
    return await checks[folder]!(v);
  } catch (e) {
    return String(e);
  }
}
