// Minisign signatures: docs/spec/statement.md, section "Signatures".
//
// Only the prehashed algorithm ED. Keys are compared by all their 42 bytes;
// a key id chooses which trusted keys to try and identifies nothing.

import { blake2b } from "./blake2b.ts";
import { type Bytes, concat, equal, fromBase64, fromLatin1, toLatin1 } from "./bytes.ts";
import { Failure } from "./failure.ts";

export const maxSignature = 2048;

const legacy = "Ed";
const prehashed = "ED";

/** A trusted public key. text is its base64 line, as minisign writes it. */
export interface PublicKey {
  readonly text: string;
  readonly raw: Bytes; // "Ed", key id (8 bytes), Ed25519 key (32 bytes)
}

/** Reads the base64 line of a minisign public key. */
export function parsePublicKey(text: string): PublicKey {
  const raw = fromBase64(text);
  if (raw === null || raw.length !== 42 || toLatin1(raw.subarray(0, 2)) !== legacy) {
    throw new Error(`public key "${text.slice(0, 60)}": want a minisign public key, 56 characters that start with RW`);
  }
  return { text, raw };
}

/** Reads a list of keys with white space between them; a key that stands twice is taken once. */
export function parseKeys(list: string): PublicKey[] {
  const texts = list.split(/\s+/).filter((t) => t !== "");
  return [...new Set(texts)].map(parsePublicKey);
}

const maxSignatures = 32;

/** Cuts a bundle, several signature files one after the other, and checks the form of each. */
export function split(bundle: Bytes): Bytes[] {
  if (bundle.length > maxSignatures * maxSignature) throw new Failure("too_large", `signatures of ${bundle.length} bytes`);
  const all: Bytes[] = [];
  for (let start = 0; start < bundle.length; ) {
    let end = start;
    for (let line = 0; line < 4; line++) {
      end = bundle.indexOf(0x0a, end) + 1;
      if (end === 0) throw malformed("want four lines each");
    }
    if (all.length === maxSignatures) throw new Failure("too_large", `more than ${maxSignatures} signatures`);
    const block = bundle.slice(start, end);
    parse(block);
    all.push(block);
    start = end;
  }
  return all;
}

/** Which of trusted signed message, each Ed25519 key once. Blocks that do not verify count nothing. */
export async function signers(trusted: readonly PublicKey[], message: Bytes, blocks: readonly Bytes[]): Promise<PublicKey[]> {
  const found = new Map<string, PublicKey>();
  for (const block of blocks) {
    const key = await verify(trusted, message, block).catch((e: unknown) => {
      if (e instanceof Failure) return null;
      throw e;
    });
    if (key !== null) found.set(toLatin1(key.raw.subarray(10)), key);
  }
  return [...found.values()];
}

interface Signature {
  readonly keyID: Bytes;
  readonly signature: Bytes;
  readonly comment: Bytes;
  readonly global: Bytes;
}

/**
 * Returns the key of trusted that signed message, or throws a Failure. Both
 * signatures of the file must verify.
 */
export async function verify(trusted: readonly PublicKey[], message: Bytes, file: Bytes): Promise<PublicKey> {
  const s = parse(file);
  const candidates = trusted.filter((k) => equal(k.raw.subarray(2, 10), s.keyID));
  if (candidates.length === 0) {
    throw new Failure("signature_unknown_key", `signature by a key that is not among the ${trusted.length} trusted`);
  }
  const digest = blake2b(message);
  const signed = concat(s.signature, s.comment);
  for (const k of candidates) {
    const key = await crypto.subtle.importKey("raw", k.raw.slice(10), "Ed25519", false, ["verify"]);
    const file = await crypto.subtle.verify("Ed25519", key, s.signature, digest);
    const comment = await crypto.subtle.verify("Ed25519", key, s.global, signed);
    if (file && comment) return k;
  }
  throw new Failure("signature_invalid", "the signature does not verify");
}

/** Reads the four lines. Any other spelling is refused, the legacy algorithm before any arithmetic. */
function parse(file: Bytes): Signature {
  if (file.length > maxSignature) throw new Failure("too_large", `signature of ${file.length} bytes`);
  const text = toLatin1(file);
  const lines = text.split("\n");
  // A last newline may be missing; a carriage return is refused.
  if (lines.length === 5 && lines[4] === "") lines.pop();
  const [untrusted, first, trusted, second, ...rest] = lines;
  if (untrusted === undefined || first === undefined || trusted === undefined || second === undefined || rest.length > 0) {
    throw malformed("want four lines");
  }
  if (text.includes("\r")) throw malformed("it has carriage returns");
  if (!untrusted.startsWith(untrustedPrefix) || !trusted.startsWith(trustedPrefix)) throw malformed("a comment line is missing");
  const blob = fromBase64(first);
  const global = fromBase64(second);
  if (blob?.length !== 74 || global?.length !== 64) throw malformed("a signature line is not as it should be");
  switch (toLatin1(blob.subarray(0, 2))) {
    case prehashed:
      break;
    case legacy:
      throw new Failure("signature_legacy", "legacy signature, algorithm Ed");
    default:
      throw malformed("unknown algorithm");
  }
  return {
    keyID: blob.slice(2, 10),
    signature: blob.slice(10),
    comment: fromLatin1(trusted.slice(trustedPrefix.length)),
    global,
  };
}

const untrustedPrefix = "untrusted comment: ";
const trustedPrefix = "trusted comment: ";

function malformed(what: string): Failure {
  return new Failure("signature_malformed", `not a minisign signature: ${what}`);
}

