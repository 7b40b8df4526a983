// Votes: what a worker countersigns (docs/spec/wire.md, section "Work").

import { type Bytes, fromLatin1, hex } from "./bytes.ts";
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

/** Signs a vote: its canonical encoding. */
export function countersign(identity: Identity, vote: Vote): Promise<Bytes> {
  return identity.sign(encode(vote));
}

/** Signs the answer to a hello. */
export async function signJoin(identity: Identity, joinText: string): Promise<string> {
  return hex(await identity.sign(fromLatin1(joinText)));
}
