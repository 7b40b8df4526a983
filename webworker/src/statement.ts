// Releases, as a worker opens them: docs/spec/statement.md, sections
// "release/v1" and "Opening a release".

import { type Bytes, sha256 } from "./bytes.ts";
import { decode, digest, integer, members, millis, text, time } from "./canon.ts";
import { Failure } from "./failure.ts";
import { maxSignature, type PublicKey, verify } from "./minisign.ts";

export const maxStatement = 16 << 10;
export const maxModule = 16 << 20;
export { maxSignature };

const releaseType = "countersign.release/v1";
const maxAge = 90 * 24 * 3600 * 1000;

export type Limits = {
  readonly task_fuel: number;
  readonly segment_fuel: number;
  readonly memory_pages: number;
  readonly seconds: number;
  readonly output_bytes: number;
};

export type Release = {
  readonly type: string;
  readonly name: string;
  readonly version: number;
  readonly module_sha256: string;
  readonly module_length: number;
  readonly source_sha256: string;
  readonly abi: string;
  readonly cost_table: string;
  readonly limits: Limits;
  readonly purpose: string;
  readonly expires: string;
};

/** A release whose signature, encoding, bounds and expiry are checked, and the key that signed it. */
export interface OpenRelease {
  readonly release: Release;
  readonly signer: PublicKey;
}

/** Opens a release, or throws the Failure of the first check that fails. now is in milliseconds since 1970. */
export async function openRelease(
  statement: Bytes,
  signature: Bytes,
  trusted: readonly PublicKey[],
  now: number,
  allowed: (signer: PublicKey) => void = () => {},
): Promise<OpenRelease> {
  // Nothing of a statement is parsed before its bytes are known to be signed.
  if (statement.length > maxStatement) throw new Failure("too_large", `release of ${statement.length} bytes`);
  const signer = await verify(trusted, statement, signature);
  allowed(signer);
  const release = decode(statement, maxStatement, rebuild);
  checkBounds(release);
  checkExpiry(release, now);
  return { release, signer };
}

/** Checks length and digest of the bytes that are about to run. */
export async function checkModule(release: Release, module: Bytes): Promise<void> {
  if (module.length !== release.module_length) {
    throw new Failure("module_length", `module has ${module.length} bytes, ${release.module_length} are signed`);
  }
  if ((await sha256(module)) !== release.module_sha256) {
    throw new Failure("module_sha256", "the module's SHA-256 is not the signed one");
  }
}

function rebuild(value: unknown): Release {
  const m = members(
    value,
    "type", "name", "version", "module_sha256", "module_length", "source_sha256",
    "abi", "cost_table", "limits", "purpose", "expires",
  );
  if (text(m, "type") !== releaseType) throw new Failure("encoding", `statement: not of type ${releaseType}`);
  return {
    type: releaseType,
    name: text(m, "name"),
    version: integer(m, "version"),
    module_sha256: digest(m, "module_sha256"),
    module_length: integer(m, "module_length"),
    source_sha256: digest(m, "source_sha256"),
    abi: text(m, "abi"),
    cost_table: text(m, "cost_table"),
    limits: rebuildLimits(m.get("limits")),
    purpose: text(m, "purpose"),
    expires: time(m, "expires"),
  };
}

function rebuildLimits(value: unknown): Limits {
  const m = members(value, "task_fuel", "segment_fuel", "memory_pages", "seconds", "output_bytes");
  return {
    task_fuel: integer(m, "task_fuel"),
    segment_fuel: integer(m, "segment_fuel"),
    memory_pages: integer(m, "memory_pages"),
    seconds: integer(m, "seconds"),
    output_bytes: integer(m, "output_bytes"),
  };
}

function checkBounds(r: Release): void {
  const l = r.limits;
  if (!validName(r.name)) throw bounds("name");
  within("version", r.version, 1, 2 ** 31 - 1);
  within("module_length", r.module_length, 8, maxModule);
  if (r.abi !== "countersign/1") throw bounds("abi");
  if (r.cost_table !== "v1") throw bounds("cost_table");
  within("length of purpose", r.purpose.length, 1, 200);
  within("task_fuel", l.task_fuel, 1, Number.MAX_SAFE_INTEGER);
  within("segment_fuel", l.segment_fuel, 1, l.task_fuel);
  within("memory_pages", l.memory_pages, 1, 16384);
  within("seconds", l.seconds, 1, 86400);
  within("output_bytes", l.output_bytes, 0, 1 << 20);
}

export function validName(name: string): boolean {
  return name.length <= 64 && /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\/[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/.test(name);
}

function within(what: string, value: number, lo: number, hi: number): void {
  if (value < lo || value > hi) throw bounds(what);
}

function bounds(what: string): Failure {
  return new Failure("bounds", `release: ${what} is out of bounds`);
}

export function checkExpiry(r: Release, now: number): void {
  checkAge("release", r.expires, now);
}

/** Refuses what has expired, and what expires more than 90 days ahead. */
export function checkAge(what: string, expires: string, now: number): void {
  const left = millis(expires) - now;
  if (left <= 0) throw new Failure("expiry", `${what} expired at ${expires}`);
  if (left > maxAge) throw new Failure("expiry", `${what} expires at ${expires}, more than 90 days ahead`);
}
