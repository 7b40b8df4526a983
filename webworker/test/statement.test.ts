// Opening releases: the shared vectors, and mutations of a good one.

import assert from "node:assert/strict";
import test from "node:test";
import { fromBase64 } from "../src/bytes.ts";
import { Failure } from "../src/failure.ts";
import { parsePublicKey } from "../src/minisign.ts";
import { openOrder } from "../src/order.ts";
import { checkModule, openRelease, type Release } from "../src/statement.ts";
import { shared, text, type Vector, vectors } from "./vectors.ts";

type Bytes = Uint8Array<ArrayBuffer>;

interface Case {
  readonly kind: string;
  readonly statement: Bytes;
  readonly signature: Bytes;
  readonly keys: string[];
  readonly now: number;
}

function read(v: Vector): Case {
  const bytes = (name: string): Bytes => {
    if (v[name] === null) return new Uint8Array();
    const b = fromBase64(text(v, name));
    assert.ok(b, name);
    return b;
  };
  return { kind: text(v, "kind"), statement: bytes("statement"), signature: bytes("signature"), keys: v["keys"] as string[], now: Date.parse(text(v, "now")) };
}

async function classOf(c: Case): Promise<string> {
  try {
    await (c.kind === "order" ? openOrder : openRelease)(c.statement, c.signature, c.keys.map(parsePublicKey), c.now);
    return "ok";
  } catch (e) {
    assert.ok(e instanceof Failure, `not a Failure: ${String(e)}`);
    return e.check;
  }
}

shared("statement");

function good(): Case {
  const v = vectors("statement").find((v) => v["name"] === "good");
  assert.ok(v);
  return read(v);
}

test("every flipped bit of a signed statement is refused", async () => {
  const c = good();
  for (let i = 0; i < c.statement.length; i++) {
    const statement = c.statement.slice();
    statement[i]! ^= 1 << (i % 8);
    assert.equal(await classOf({ ...c, statement }), "signature_invalid", `byte ${i}`);
  }
});

test("every flipped bit of a signature is refused, but for the untrusted comment", async () => {
  const c = good();
  const comment = c.signature.indexOf(10);
  for (let i = "untrusted comment: ".length; i < c.signature.length - 1; i++) {
    const signature = c.signature.slice();
    signature[i]! ^= 1 << (i % 7);
    const got = await classOf({ ...c, signature });
    // A bit that makes a line break or carriage return of the comment breaks its line.
    if (i < comment && signature[i] !== 10 && signature[i] !== 13) assert.equal(got, "ok", `byte ${i}`);
    else assert.match(got, /^signature_/, `byte ${i}`);
  }
});

test("a truncated or lengthened file is refused", async () => {
  const c = good();
  for (let n = 0; n < c.statement.length; n += 7) {
    assert.equal(await classOf({ ...c, statement: c.statement.slice(0, n) }), "signature_invalid");
  }
  for (let n = 0; n < c.signature.length - 1; n++) {
    assert.match(await classOf({ ...c, signature: c.signature.slice(0, n) }), /^signature_/, `${n} bytes`);
  }
});

test("a carriage return is refused, in comments too", async () => {
  const c = good();
  const text = Buffer.from(c.signature).toString("latin1");
  for (const broken of [text.replace("\n", "\r\n"), text.replace("comment: ", "comment: \r"), text.replace(/\n$/, "\r\n")]) {
    assert.notEqual(broken, text);
    assert.equal(await classOf({ ...c, signature: Uint8Array.from(Buffer.from(broken, "latin1")) }), "signature_malformed");
  }
});

test("no trusted keys: nothing opens", async () => {
  assert.equal(await classOf({ ...good(), keys: [] }), "signature_unknown_key");
});

test("a module is the signed one or none", async () => {
  const module = new TextEncoder().encode("0123456789");
  const release = {
    module_length: 10,
    module_sha256: "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882",
  } as Release;
  await checkModule(release, module);
  const check = async (bytes: Bytes): Promise<string> => {
    const e: unknown = await checkModule(release, bytes).then(() => null, (e: unknown) => e);
    assert.ok(e instanceof Failure);
    return e.check;
  };
  assert.equal(await check(module.slice(1)), "module_length");
  assert.equal(await check(new Uint8Array([...module, 0])), "module_length");
  assert.equal(await check(module.map((b) => b ^ 1)), "module_sha256");
});

test("a public key has one spelling", () => {
  const key = good().keys[0]!;
  assert.equal(parsePublicKey(key).text, key);
  for (const other of ["", key.slice(1), key + "=", key.replace(/^RW/, "Rw"), ` ${key}`, key + "\n", key.slice(0, 55) + "!"]) {
    assert.throws(() => parsePublicKey(other), /want a minisign public key/, JSON.stringify(other));
  }
});
