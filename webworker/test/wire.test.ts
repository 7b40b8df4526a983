// Messages and votes: the shared vectors, and mutations of good messages.

import assert from "node:assert/strict";
import test from "node:test";
import { fromHex, fromLatin1 } from "../src/bytes.ts";
import { decodeFrame, maxToWorker, WireError } from "../src/wire.ts";
import { shared, text, type Vector, vectors } from "./vectors.ts";

const all = vectors("wire");
const of = (kind: string): Vector[] => {
  const some = all.filter((v) => v["kind"] === kind);
  assert.ok(some.length > 0, `vectors of kind ${kind}`);
  return some;
};

function decodes(message: unknown): boolean {
  try {
    decodeFrame(message);
    return true;
  } catch (e) {
    assert.ok(e instanceof WireError, `not a WireError: ${String(e)}`);
    return false;
  }
}

shared("wire");

const lease = text(of("to_worker").find((v) => v["name"] === "to_worker lease")!, "message");

test("a lease is read member by member", () => {
  const m = decodeFrame(lease)[0]!;
  assert.ok(m.type === "lease");
  assert.equal(m.task, 2 ** 40 - 1);
  assert.deepEqual(m.input, fromLatin1("12\n"));
});

test("a missing member, a further one, and a value of another type are refused", () => {
  const good = JSON.parse(lease) as Record<string, unknown>;
  for (const name of Object.keys(good)) {
    const { [name]: _, ...rest } = good;
    assert.equal(decodes(JSON.stringify(rest)), false, `without ${name}`);
    for (const value of [null, true, {}, [], -1, 1.5, 1e300, "\u0000", "\u00e4", ["x"]]) {
      assert.equal(decodes(JSON.stringify({ ...good, [name]: value })), false, `${name} = ${JSON.stringify(value)}`);
    }
    assert.equal(decodes(JSON.stringify({ ...good, [name + "x"]: 1 })), false);
  }
  assert.equal(decodes(JSON.stringify(good)), true);
});

test("what is not text, or too long, is refused unread", () => {
  for (const data of [null, undefined, 1, new Uint8Array(4), "", "x", "[]", "null", '"idle"', `{"type":"idle"}${" ".repeat(maxToWorker)}`]) {
    assert.equal(decodes(data), false);
  }
});

test("random edits of a lease decode or are refused, and nothing else", () => {
  let state = 1;
  const random = (n: number): number => (state = (state * 48271) % 0x7fffffff) % n;
  let refused = 0;
  for (let i = 0; i < 20_000; i++) {
    const chars = [...lease];
    for (let k = 0; k <= random(3); k++) {
      const at = random(chars.length);
      const edit = [String.fromCharCode(random(128)), chars[at]! + chars[at]!, "", String(random(10))][random(4)]!;
      chars[at] = edit;
    }
    if (!decodes(chars.join(""))) refused++;
  }
  assert.ok(refused > 5000, `${refused} refused`);
});

test("hex has one spelling", () => {
  assert.deepEqual(fromHex("00ff", 2), Uint8Array.of(0, 255));
  for (const bad of ["00FF", "00f", "00ff00", "0x0f", "00f "]) assert.equal(fromHex(bad, 2), null);
});
