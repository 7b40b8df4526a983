// Whether a statement is in the transparency log that the page trusts:
// docs/spec/log.md, section "Proofs".

import { type Bytes, concat, equal, fromBase64, fromLatin1, hex, toLatin1 } from "./bytes.ts";
import { type Check, Failure } from "./failure.ts";
import { isLeaf } from "./merkle.ts";

export const maxProof = 16 << 10;

const maxAhead = 600n; // seconds that a cosignature may be ahead of this clock
const logKey = 1;
const witnessKey = 4;

/** What the embedding tag says of a log, unchecked. */
export type LogTag = { readonly log: string; readonly witnesses: readonly string[]; readonly quorum: number };

interface VKey {
  readonly name: string;
  readonly id: Bytes; // 4 bytes
  readonly key: CryptoKey;
}

/** A log's key, and how many of which witnesses must have cosigned. */
export interface LogTrust {
  readonly log: VKey;
  readonly witnesses: readonly VKey[];
  readonly quorum: number;
}

/** Reads the keys; throws an error for people when they cannot be meant. */
export async function logTrust(tag: LogTag): Promise<LogTrust> {
  const texts = [tag.log, ...tag.witnesses];
  const [log, ...witnesses] = await Promise.all(texts.map((text, i) => parseVKey(text, i === 0 ? logKey : witnessKey)));
  const names = new Set(texts.map((t) => t.split("+", 1)[0]));
  const keys = new Set(texts.map((t) => t.slice(t.indexOf("+") + 12))); // the two characters before hold the algorithm
  const { quorum } = tag;
  if (log === undefined || names.size < texts.length || keys.size < texts.length || !(quorum >= 0 && quorum <= witnesses.length)) {
    throw new Error("The keys of the log do not fit together.");
  }
  return { log, witnesses, quorum };
}

async function parseVKey(text: string, algorithm: number): Promise<VKey> {
  const m = /^([!-*,-~]{1,128})\+([0-9a-f]{8})\+([A-Za-z0-9+/]{44})$/.exec(text);
  const raw = fromBase64(m?.[3] ?? "");
  const name = m?.[1] ?? "";
  if (m !== null && raw?.[0] === algorithm) {
    const id = new Uint8Array(await crypto.subtle.digest("SHA-256", concat(fromLatin1(name + "\n"), raw))).slice(0, 4);
    if (hex(id) === m[2]) return { name, id, key: await crypto.subtle.importKey("raw", raw.slice(1), "Ed25519", false, ["verify"]) };
  }
  throw new Error(`"${text.slice(0, 60)}" is not the key of a log or witness.`);
}

// One value has one form. Lines of signatures begin with a dash of three bytes.
const form = new RegExp(
  "^c2sp\\.org/tlog-proof@v1\nindex (0|[1-9]\\d{0,15})\n((?:[A-Za-z0-9+/]{43}=\n){0,63})\n" +
    "(([!-*,-~]{1,128})\n(0|[1-9]\\d{0,15})\n([A-Za-z0-9+/]{43}=)\n)\n((?:\xe2\x80\x94 [!-*,-~]{1,128} [A-Za-z0-9+/]+={0,2}\n){1,32})$",
);

interface Line {
  readonly name: string;
  readonly id: Bytes;
  readonly signature: Bytes;
}

/** Throws the Failure of the first check that fails. now is in milliseconds since 1970. */
export async function checkProof(trust: LogTrust, statement: Bytes, signature: Bytes, proof: Bytes, now: number): Promise<void> {
  if (proof.length > maxProof) throw new Failure("too_large", "log proof");
  const [, index = "", path = "", body = "", origin, size = "", root = "", signatures = ""] = form.exec(toLatin1(proof)) ?? [];
  const hashes = concat(...path.split("\n").slice(0, -1).map(canonical));
  const rootHash = hex(canonical(root));
  const lines = signatures.split("\n").slice(0, -1).map(parseLine);
  if (origin === undefined || !Number.isSafeInteger(+index) || !Number.isSafeInteger(+size)) throw malformed();

  if (origin !== trust.log.name || (await count(trust.log, lines, body, "log_signature")) === 0) {
    throw new Failure("log_signature", "not signed by the log");
  }
  const entry = concat(Uint8Array.of(statement.length >> 8, statement.length), statement, signature);
  if (!(+index < +size) || !(await isLeaf(rootHash, +size, +index, entry, hashes))) {
    throw new Failure("log_inclusion", "not in the log");
  }
  const latest = BigInt(Math.floor(now / 1000)) + maxAhead;
  let cosigned = 0;
  for (const w of trust.witnesses) if ((await count(w, lines, body, "log_witness", latest)) > 0) cosigned++;
  if (cosigned < trust.quorum) throw new Failure("log_witness", `cosigned by ${cosigned} of ${trust.quorum}`);
}

/** How many lines of that key count. All that have its name and id must verify. */
async function count(k: VKey, lines: readonly Line[], body: string, check: Check, latest?: bigint): Promise<number> {
  let n = 0;
  for (const { name, id, signature } of lines) {
    if (name !== k.name || !equal(id, k.id)) continue;
    const time = latest === undefined ? 0 : 8; // bytes before the signature
    const sized = signature.length === time + 64;
    const at = sized && time > 0 ? new DataView(signature.buffer).getBigUint64(0) : 0n;
    const signed = fromLatin1(time > 0 ? `cosignature/v1\ntime ${at}\n${body}` : body);
    if (!sized || at >> 63n || !(await crypto.subtle.verify("Ed25519", k.key, signature.slice(time), signed))) {
      throw new Failure(check, `bad signature of ${name}`);
    }
    if (latest === undefined || at <= latest) n++;
  }
  return n;
}

function parseLine(line: string): Line {
  const [, name = "", encoded = ""] = line.slice(3).split(" ");
  const raw = canonical(encoded);
  if (raw.length < 5) throw malformed();
  return { name, id: raw.slice(0, 4), signature: raw.slice(4) };
}

function canonical(base64: string): Bytes {
  const raw = fromBase64(base64);
  if (raw === null) throw malformed();
  return raw;
}

function malformed(): Failure {
  return new Failure("log_proof", "malformed");
}
