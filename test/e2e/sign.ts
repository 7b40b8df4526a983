// Signs statements as minisign does, for hubs that lie with valid signatures.

import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";

export class Signer {
  private readonly key: KeyObject;
  readonly raw: Buffer; // "Ed", id, public key

  constructor(id: Buffer = randomBytes(8)) {
    const pair = generateKeyPairSync("ed25519");
    this.key = createPrivateKey(pair.privateKey.export({ format: "pem", type: "pkcs8" }));
    const point = createPublicKey(pair.publicKey.export({ format: "pem", type: "spki" })).export({ format: "der", type: "spki" }).subarray(-32);
    this.raw = Buffer.concat([Buffer.from("Ed"), id, point]);
  }

  /** The public key as data-root takes it. */
  get text(): string {
    return this.raw.toString("base64");
  }

  /** A signature file, algorithm ED. */
  sign(message: Buffer, comment = "made by a test"): Buffer {
    const signature = sign(null, createHash("blake2b512").update(message).digest(), this.key);
    const global = sign(null, Buffer.concat([signature, Buffer.from(comment)]), this.key);
    const line = Buffer.concat([Buffer.from("ED"), this.raw.subarray(2, 10), signature]).toString("base64");
    return Buffer.from(`untrusted comment: test\n${line}\ntrusted comment: ${comment}\n${global.toString("base64")}\n`);
  }
}

export const sha256 = (bytes: Buffer | Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** Canonical form of a statement. */
export const canonical = (value: unknown): Buffer => Buffer.from(JSON.stringify(value, null, 2) + "\n");

/** RFC 6962 tree hash of the leaves. */
export function treeRoot(leaves: readonly Buffer[]): Buffer {
  const hash = (...parts: Buffer[]): Buffer => createHash("sha256").update(Buffer.concat(parts)).digest();
  if (leaves.length === 1) return hash(Buffer.of(0), leaves[0]!);
  let half = 1;
  while (2 * half < leaves.length) half *= 2;
  return hash(Buffer.of(1), treeRoot(leaves.slice(0, half)), treeRoot(leaves.slice(half)));
}

/** RFC 6962 audit path of a leaf, from the bottom up. */
export function auditPath(leaves: readonly Buffer[], n: number): Buffer {
  if (leaves.length === 1) return Buffer.alloc(0);
  let half = 1;
  while (2 * half < leaves.length) half *= 2;
  const [left, right] = [leaves.slice(0, half), leaves.slice(half)];
  return n < half ? Buffer.concat([auditPath(left, n), treeRoot(right)]) : Buffer.concat([auditPath(right, n - half), treeRoot(left)]);
}

/** A policy that root signs, and that lets each of the keys sign anything; change overrides members. */
export function policy(root: Signer, keys: readonly string[], change: Record<string, unknown> = {}): { statement: string; signatures: string } {
  const most = 2 ** 53 - 1;
  const statement = canonical({
    type: "countersign.policy/v1",
    version: 1,
    root_keys: [root.text],
    threshold: 1,
    researchers: keys.map((key, i) => ({
      name: `Researcher ${i + 1}`, key, prefix: ["test/", "grace/", "other/"][i]!, ceilings: { task_fuel: most, memory_pages: 16384, seconds: 86400, tasks: most },
    })),
    clock_key: "",
    log_key: "",
    witnesses: [],
    witness_quorum: 0,
    origins: [],
    revoked_keys: [],
    expires: time(24 * 3600),
    ...change,
  });
  return { statement: statement.toString("base64"), signatures: root.sign(statement).toString("base64") };
}

/** An index by clock that holds for so many seconds; change overrides members. */
export function index(clock: Signer, sequence: number, change: Record<string, unknown> = {}, seconds = 3600): { statement: string; signature: string } {
  const statement = canonical({
    type: "countersign.index/v1", sequence, policy_version: 1, floors: [], revoked: [], halt: "", issued: time(0), expires: time(seconds), ...change,
  });
  return { statement: statement.toString("base64"), signature: clock.sign(statement).toString("base64") };
}

const time = (seconds: number): string => new Date(Date.now() + seconds * 1000).toISOString().slice(0, 19) + "Z";

/** An order over the lines of a file, one vote a task. */
export function order(releaseDigest: string, title: string, file: string, perTask: number): Buffer {
  const lines = file.split(/(?<=\n)/);
  const tasks: Buffer[] = [];
  for (let i = 0; i < lines.length; i += perTask) tasks.push(Buffer.from(lines.slice(i, i + perTask).join("")));
  return canonical({
    type: "countersign.order/v1",
    title,
    release_sha256: releaseDigest,
    input: { lines: { tree_root: treeRoot(tasks).toString("hex"), length: file.length, lines: lines.length, per_task: perTask } },
    redundancy: { vote: { agree: 1, of: 1 } },
    complete_permille: 1000,
    priority: 5,
    not_before: time(-60),
    expires: time(3600),
  });
}

/** A release of module that expires so many seconds from now; change overrides members. */
export function release(module: Buffer, change: Record<string, unknown> = {}, limits: Record<string, number> = {}, seconds = 3600): Buffer {
  return canonical({
    type: "countersign.release/v1",
    name: "test/program",
    version: 1,
    module_sha256: sha256(module),
    module_length: module.length,
    source_sha256: sha256(Buffer.from("source")),
    abi: "countersign/1",
    cost_table: "v1",
    limits: { task_fuel: 2 ** 53 - 1, segment_fuel: 2 ** 53 - 1, memory_pages: 16, seconds: 60, output_bytes: 65536, ...limits },
    purpose: "Factors integers by trial division.",
    expires: time(seconds),
    ...change,
  });
}
