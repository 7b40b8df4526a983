// The root of trust, as a worker opens it: docs/spec/statement.md, sections
// "policy/v1" and "index/v1". A chain of policies under thresholds of root
// keys says who may sign what; the index says what is still good.

import { type Bytes, sha256, toLatin1 } from "./bytes.ts";
import { decode, digest, integer, list, members, millis, text, time } from "./canon.ts";
import { Failure } from "./failure.ts";
import { parsePublicKey, type PublicKey, signers, split, verify } from "./minisign.ts";
import { type OpenOrder, openOrder } from "./order.ts";
import { type LogTrust, logTrust } from "./tlogproof.ts";
import { type OpenRelease, openRelease, validName } from "./statement.ts";

export const maxPolicy = 64 << 10;
export const maxIndex = 256 << 10;
const maxChain = 64;
const day = 24 * 3600 * 1000;

export type Researcher = {
  readonly name: string;
  readonly key: string;
  readonly prefix: string;
  readonly ceilings: { readonly task_fuel: number; readonly memory_pages: number; readonly seconds: number; readonly tasks: number };
};

export type Policy = {
  readonly type: string;
  readonly version: number;
  readonly root_keys: readonly string[];
  readonly threshold: number;
  readonly researchers: readonly Researcher[];
  readonly clock_key: string;
  readonly log_key: string;
  readonly witnesses: readonly string[];
  readonly witness_quorum: number;
  readonly origins: readonly string[];
  readonly revoked_keys: readonly string[];
  readonly expires: string;
};

export type Index = {
  readonly type: string;
  readonly sequence: number;
  readonly policy_version: number;
  readonly floors: readonly { readonly name: string; readonly version: number }[];
  readonly revoked: readonly string[];
  readonly halt: string;
  readonly issued: string;
  readonly expires: string;
};

/** What a page pins: who makes policies, and the lowest version it takes. */
export interface Root {
  readonly keys: readonly PublicKey[];
  readonly threshold: number;
  readonly floor: number;
}

/** What a reader remembers, so that nobody can lead it back. */
export interface Seen {
  readonly policy: number; // highest version accepted
  readonly policy_sha256: string;
  readonly clock_key: string;
  readonly index: number; // highest sequence accepted, of that clock key
}

export const nothingSeen: Seen = { policy: 0, policy_sha256: "", clock_key: "", index: 0 };

/** A policy with its bundle of signatures, neither verified. */
export interface Signed {
  readonly statement: Bytes;
  readonly signatures: Bytes;
}

/** A verified policy, and the index where one is needed. */
export interface Trust {
  readonly policy: Policy;
  readonly index: Index | null;
}

/** Opens a chain of policies and returns the last, or throws the Failure of the first check that fails. */
export async function openChain(root: Root, chain: readonly Signed[], seen: Seen, now: number): Promise<[Policy, Seen]> {
  if (chain.length === 0 || chain.length > maxChain) throw new Failure("policy_chain", `a chain of ${chain.length} policies`);
  let last: Policy | null = null;
  let sum = "";
  for (const s of chain) {
    const next: Policy = await follow(root, last, s);
    sum = await sha256(s.statement);
    if (next.version === seen.policy && sum !== seen.policy_sha256) throw rollback("policy is another one than was seen before");
    const late = last === null && next.version > Math.max(seen.policy, 1) && seen.policy > 0;
    if (late && root.floor <= seen.policy) throw rollback("chain begins after the policy that was seen before");
    last = next;
  }
  if (last === null || last.version < seen.policy) throw rollback("policy is older than one that was seen before");
  current("policy", last.expires, now, 366 * day);
  if (last.version < root.floor) throw rollback("policy is under the floor");
  return [last, { ...seen, policy: last.version, policy_sha256: sum }];
}

async function follow(root: Root, last: Policy | null, { statement, signatures }: Signed): Promise<Policy> {
  if (statement.length > maxPolicy) throw new Failure("too_large", `policy of ${statement.length} bytes`);
  const blocks = split(signatures);
  await threshold(last === null ? root.keys : last.root_keys.map(parsePublicKey), (last ?? root).threshold, statement, blocks);
  const policy = decode(statement, maxPolicy, rebuildPolicy);
  checkPolicy(policy);
  await policyLog(policy);
  if (last !== null && policy.version !== last.version + 1) throw new Failure("policy_chain", `policy ${policy.version} does not follow ${last.version}`);
  await threshold(policy.root_keys.map(parsePublicKey), policy.threshold, statement, blocks);
  return policy;
}

/** What believes the log that must have every release, or null if the policy names none. */
export async function policyLog({ log_key: log, witnesses, witness_quorum: quorum }: Policy): Promise<LogTrust | null> {
  if (log === "" && witnesses.length === 0 && quorum === 0) return null;
  try {
    return await logTrust({ log, witnesses, quorum });
  } catch {
    throw new Failure("bounds", "policy: the keys of its log do not fit together");
  }
}

async function threshold(keys: readonly PublicKey[], k: number, statement: Bytes, blocks: readonly Bytes[]): Promise<void> {
  const n = (await signers(keys, statement, blocks)).length;
  if (n < k) throw new Failure("threshold", `policy signed by ${n} of the ${k} root keys needed`);
}

/** Opens an index under a policy. */
export async function openIndex(policy: Policy, statement: Bytes, signature: Bytes, seen: Seen, now: number): Promise<[Index, Seen]> {
  if (policy.clock_key === "") throw new Failure("signature_unknown_key", "the policy names no clock key");
  if (statement.length > maxIndex) throw new Failure("too_large", `index of ${statement.length} bytes`);
  await verify([parsePublicKey(policy.clock_key)], statement, signature);
  const index = decode(statement, maxIndex, rebuildIndex);
  checkIndex(index);
  current("index", index.expires, now, day);
  if (policy.version < index.policy_version) throw new Failure("policy_version", `the index wants policy ${index.policy_version} or later`);
  if (seen.clock_key === policy.clock_key && index.sequence < seen.index) throw rollback("index is older than one that was seen before");
  return [index, { ...seen, clock_key: policy.clock_key, index: index.sequence }];
}

/** Checks that neither policy nor index has expired, and that there is an index where one is needed. */
export function checkCurrent({ policy, index }: Trust, now: number): void {
  current("policy", policy.expires, now, 366 * day);
  if (policy.clock_key === "") return;
  if (index === null) throw new Failure("index_missing", "there is no index");
  current("index", index.expires, now, day);
}

/** Checks that the index does not halt everything. */
export function checkGood({ index }: Trust): void {
  good(index, "");
}

/** Opens a release under a policy, and checks that the index has nothing against it. */
export async function openReleaseUnder(trust: Trust, statement: Bytes, signature: Bytes, now: number): Promise<OpenRelease> {
  const opened = await openRelease(statement, signature, trusted(trust.policy), now, (k) => notRevoked(trust.policy, k));
  const { release, signer } = opened;
  const { prefix, ceilings } = researcher(trust.policy, signer);
  covers(prefix, release.name);
  const { task_fuel, memory_pages, seconds } = release.limits;
  if (task_fuel > ceilings.task_fuel || memory_pages > ceilings.memory_pages || seconds > ceilings.seconds) {
    throw new Failure("ceiling", "a limit is over the policy's ceiling for this key");
  }
  good(trust.index, await sha256(statement));
  for (const f of trust.index?.floors ?? []) {
    if (f.name === release.name && release.version < f.version) throw new Failure("floor", `only version ${f.version} and later are good`);
  }
  return opened;
}

/** Opens an order under a policy; name is that of the release it names, tasks how many it has. */
export async function openOrderUnder(
  trust: Trust, statement: Bytes, signature: Bytes, now: number,
  named: (release: string) => Promise<string>, tasks: (order: OpenOrder) => number,
): Promise<OpenOrder> {
  const opened = await openOrder(statement, signature, trusted(trust.policy), now, (k) => notRevoked(trust.policy, k));
  const name = await named(opened.order.release_sha256);
  const { prefix, ceilings } = researcher(trust.policy, opened.signer);
  covers(prefix, name);
  if (tasks(opened) > ceilings.tasks) throw new Failure("ceiling", "more tasks than the policy allows this key");
  good(trust.index, await sha256(statement));
  return opened;
}

function trusted(p: Policy): PublicKey[] {
  return [...p.researchers.map((r) => r.key), ...p.revoked_keys].map(parsePublicKey);
}

function notRevoked(p: Policy, key: PublicKey): void {
  if (p.revoked_keys.includes(key.text)) throw new Failure("revoked", "signed by a key that is revoked");
}

function researcher(p: Policy, key: PublicKey): Researcher {
  const r = p.researchers.find((x) => x.key === key.text);
  if (r === undefined) throw new Failure("signature_unknown_key", "the key is no researcher's");
  return r;
}

function covers(prefix: string, name: string): void {
  if (prefix.endsWith("/") ? !name.startsWith(prefix) : name !== prefix) throw new Failure("name_prefix", `the key may sign names under ${prefix} only`);
}

function good(index: Index | null, sum: string): void {
  if (index === null) return;
  if (index.halt !== "") throw new Failure("halted", `everything is halted: ${index.halt}`);
  if (index.revoked.includes(sum)) throw new Failure("revoked", "it is revoked");
}

function current(what: string, expires: string, now: number, longest: number): void {
  const left = millis(expires) - now;
  if (left <= 0 || left > longest) throw new Failure("expiry", `${what} expires at ${expires}`);
}

function rebuildPolicy(value: unknown): Policy {
  const m = members(
    value,
    "type", "version", "root_keys", "threshold", "researchers", "clock_key", "log_key", "witnesses", "witness_quorum",
    "origins", "revoked_keys", "expires",
  );
  if (text(m, "type") !== "countersign.policy/v1") throw new Failure("encoding", "statement: not a policy");
  return {
    type: "countersign.policy/v1",
    version: integer(m, "version"),
    root_keys: list(m, "root_keys", key),
    threshold: integer(m, "threshold"),
    researchers: list(m, "researchers", rebuildResearcher),
    clock_key: text(m, "clock_key"),
    log_key: text(m, "log_key"),
    witnesses: list(m, "witnesses", text),
    witness_quorum: integer(m, "witness_quorum"),
    origins: list(m, "origins", text),
    revoked_keys: list(m, "revoked_keys", key),
    expires: time(m, "expires"),
  };
}

function key(m: Map<string, unknown>, name: string): string {
  const k = text(m, name);
  if (!isKey(k)) throw new Failure("encoding", `statement: ${name} is no public key`);
  return k;
}

function isKey(text: string): boolean {
  try {
    return parsePublicKey(text).text === text;
  } catch {
    return false;
  }
}

function rebuildResearcher(outer: Map<string, unknown>, name: string): Researcher {
  const m = members(outer.get(name), "name", "key", "prefix", "ceilings");
  const c = members(m.get("ceilings"), "task_fuel", "memory_pages", "seconds", "tasks");
  return {
    name: text(m, "name"),
    key: key(m, "key"),
    prefix: text(m, "prefix"),
    ceilings: { task_fuel: integer(c, "task_fuel"), memory_pages: integer(c, "memory_pages"), seconds: integer(c, "seconds"), tasks: integer(c, "tasks") },
  };
}

function rebuildIndex(value: unknown): Index {
  const m = members(value, "type", "sequence", "policy_version", "floors", "revoked", "halt", "issued", "expires");
  if (text(m, "type") !== "countersign.index/v1") throw new Failure("encoding", "statement: not an index");
  return {
    type: "countersign.index/v1",
    sequence: integer(m, "sequence"),
    policy_version: integer(m, "policy_version"),
    floors: list(m, "floors", (outer, name) => {
      const f = members(outer.get(name), "name", "version");
      return { name: text(f, "name"), version: integer(f, "version") };
    }),
    revoked: list(m, "revoked", digest),
    halt: text(m, "halt"),
    issued: time(m, "issued"),
    expires: time(m, "expires"),
  };
}

const maxVersion = 2 ** 31 - 1;
const originForm = /^https?:\/\/[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[1-9][0-9]{0,4})?$/;

function checkPolicy(p: Policy): void {
  const all = [...p.root_keys, ...p.researchers.map((r) => r.key), ...p.revoked_keys, ...(p.clock_key === "" ? [] : [p.clock_key])];
  const fine =
    within(p.version, 1, maxVersion) && within(p.root_keys.length, 1, 16) && within(p.threshold, 1, p.root_keys.length) &&
    within(p.researchers.length, 1, 256) && p.researchers.every(fineResearcher) && p.revoked_keys.length <= 256 && p.witnesses.length <= 16 &&
    p.origins.length <= 256 && p.origins.every((o) => o.length <= 200 && originForm.test(o)) && ascending(p.origins) &&
    (p.clock_key === "" || isKey(p.clock_key)) &&
    // A key has one role, whatever key id it goes by.
    new Set(all.map((k) => toLatin1(parsePublicKey(k).raw.subarray(10)))).size === all.length;
  if (!fine) throw new Failure("bounds", "policy: a value is out of bounds");
}

function fineResearcher({ name, prefix, ceilings: c }: Researcher): boolean {
  return (
    within(name.length, 1, 64) && prefix.length <= 64 && validName(prefix.replace(/\/$/, "")) &&
    [c.task_fuel, c.memory_pages, c.seconds, c.tasks].every((n) => n >= 1)
  );
}

function checkIndex(x: Index): void {
  const life = millis(x.expires) - millis(x.issued);
  const fine =
    x.sequence >= 1 && within(x.policy_version, 1, maxVersion) && x.floors.length <= 1024 && x.revoked.length <= 2048 && x.halt.length <= 200 &&
    life > 0 && life <= day && x.floors.every((f) => validName(f.name) && within(f.version, 1, maxVersion)) &&
    ascending(x.floors.map((f) => f.name)) && ascending(x.revoked);
  if (!fine) throw new Failure("bounds", "index: a value is out of bounds");
}

function within(value: number, lo: number, hi: number): boolean {
  return value >= lo && value <= hi;
}

function ascending(all: readonly string[]): boolean {
  return all.every((s, i) => i === 0 || all[i - 1]! < s);
}

function rollback(what: string): Failure {
  return new Failure("rollback", `the ${what}`);
}
