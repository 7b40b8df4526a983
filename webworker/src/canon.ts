// The one canonical JSON encoding of statements and votes:
// docs/spec/statement.md, section "Encoding".
//
// A reader rebuilds the value member by member, encodes it again and compares
// with the bytes that came: whatever has another spelling is refused, without
// a list of the spellings.

import { type Bytes, equal, fromLatin1, toLatin1 } from "./bytes.ts";
import { Failure } from "./failure.ts";

/** Members in the order of the specification. */
export type Value = string | number | readonly Value[] | { readonly [name: string]: Value | undefined };

export function encode(value: Value): Bytes {
  return fromLatin1(JSON.stringify(value, null, 2) + "\n");
}

/** Reads bytes as JSON and gives them to rebuild, whose value must encode to the same bytes. */
export function decode<T extends Value>(data: Bytes, limit: number, rebuild: (value: unknown) => T): T {
  if (data.length > limit) throw new Failure("too_large", `statement of ${data.length} bytes, at most ${limit} allowed`);
  if (!data.every((b) => b === 0x0a || (b >= 0x20 && b <= 0x7e))) throw shape("only printable ASCII is allowed");
  let parsed: unknown;
  try {
    parsed = JSON.parse(toLatin1(data));
  } catch {
    throw shape("not JSON");
  }
  const value = rebuild(parsed);
  if (!equal(encode(value), data)) throw shape("not in canonical form");
  return value;
}

/** The members of an object, which must have these names and no others. */
export function members(value: unknown, ...names: string[]): Map<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw shape("not an object");
  const map = new Map<string, unknown>(Object.entries(value));
  if (map.size !== names.length || !names.every((n) => map.has(n))) throw shape(`want the members ${names.join(", ")}`);
  return map;
}

export function text(m: Map<string, unknown>, name: string): string {
  const v = m.get(name);
  // Escapes such as \n encode to themselves, so the comparison cannot see them.
  if (typeof v !== "string" || !/^[\x20-\x7e]*$/.test(v)) throw shape(`${name} is not text in printable ASCII`);
  return v;
}

export function integer(m: Map<string, unknown>, name: string): number {
  const v = m.get(name);
  if (typeof v !== "number" || !Number.isSafeInteger(v) || v < 0) throw shape(`${name} is not an integer from 0 to 2^53-1`);
  return v;
}

/** The elements of an array; each reads an element as if it were a member. */
export function list<T>(m: Map<string, unknown>, name: string, each: (m: Map<string, unknown>, name: string) => T): T[] {
  const v = m.get(name);
  if (!Array.isArray(v)) throw shape(`${name} is not a list`);
  return v.map((element: unknown) => each(new Map([[name, element]]), name));
}

export function digest(m: Map<string, unknown>, name: string): string {
  const v = text(m, name);
  if (!isDigest(v)) throw shape(`${name} is not a SHA-256 in lower-case hex`);
  return v;
}

export function isDigest(s: string): boolean {
  return /^[0-9a-f]{64}$/.test(s);
}

/** A time as it is written; millis gives its value. */
export function time(m: Map<string, unknown>, name: string): string {
  const v = text(m, name);
  const ms = /^[2-9]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(v) ? Date.parse(v) : NaN;
  // Date.parse takes 31 April for 1 May; writing it again finds that out.
  if (Number.isNaN(ms) || new Date(ms).toISOString() !== v.slice(0, -1) + ".000Z") throw shape(`${name} is not a time`);
  return v;
}

export function millis(time: string): number {
  return Date.parse(time);
}

function shape(what: string): Failure {
  return new Failure("encoding", `statement: ${what}`);
}
