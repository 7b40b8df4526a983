// Votes: what a worker countersigns (docs/spec/wire.md, section "Work").

import { type Bytes, fromHex, fromLatin1, hex } from "./bytes.ts";
import { encode } from "./canon.ts";

/** The ends of a run that are voted on. */
export type VotedEnd = "exit" | "trap" | "fuel" | "output" | "state";

/** Members in the order of the specification, which is the order that is signed. */
export type Vote = {
  readonly type: "countersign.vote/v1";
  readonly order: string;
  readonly task: number;
  readonly lane: number;
  readonly lease: string;
  readonly module: string;
  readonly input: string;
  readonly end: VotedEnd;
  readonly code: number;
  readonly fuel: number;
  readonly output: string;
  readonly segments: number;
  readonly transcript: string;
  readonly from: number; // segments taken over from a checkpoint
};

/** How far a lane has come: what a worker signs of a checkpoint. */
export type Reached = {
  readonly type: "countersign.checkpoint/v1";
  readonly order: string;
  readonly task: number;
  readonly lane: number;
  readonly lease: string;
  readonly module: string;
  readonly input: string;
  readonly segments: number;
  readonly fuel: number;
  readonly transcript: string;
  readonly state: string;
  readonly output: string;
  readonly from: number;
};

/** The worker's key. Its private half cannot be read, only used. */
export interface Identity {
  readonly worker: string; // public key, hex
  sign(message: Bytes): Promise<Bytes>;
}

export async function identityOf(pair: CryptoKeyPair): Promise<Identity> {
  const raw = await crypto.subtle.exportKey("raw", pair.publicKey);
  return {
    worker: hex(new Uint8Array(raw)),
    sign: async (message) => new Uint8Array(await crypto.subtle.sign("Ed25519", pair.privateKey, message)),
  };
}

/** A new key whose private half cannot be exported. */
export async function generateKey(): Promise<CryptoKeyPair> {
  const pair = await crypto.subtle.generateKey("Ed25519", false, ["sign", "verify"]);
  if (!("privateKey" in pair)) throw new Error("this browser makes no Ed25519 key pairs");
  return pair;
}

/** Signs a vote or a checkpoint: its canonical encoding. */
export function countersign(identity: Identity, statement: Vote | Reached): Promise<Bytes> {
  return identity.sign(encode(statement));
}

/** Whether a worker, named by its key in hex, signed a checkpoint. */
export async function signedBy(worker: string, reached: Reached, signature: Bytes): Promise<boolean> {
  const raw = fromHex(worker, 32);
  if (raw === null) return false;
  try {
    const key = await crypto.subtle.importKey("raw", raw, "Ed25519", false, ["verify"]);
    return await crypto.subtle.verify("Ed25519", key, signature, encode(reached));
  } catch {
    return false; // no point of the curve
  }
}

/** Signs the answer to a hello. */
export async function signJoin(identity: Identity, joinText: string): Promise<string> {
  return hex(await identity.sign(fromLatin1(joinText)));
}
