// Messages and votes: the shared vectors, and mutations of good messages.

import assert from "node:assert/strict";
import { createPrivateKey, createPublicKey, type webcrypto } from "node:crypto";
import test from "node:test";
import { fromHex, fromLatin1, hex } from "../src/bytes.ts";
import { encode } from "../src/canon.ts";
import { Failure } from "../src/failure.ts";
import type { Release } from "../src/statement.ts";
import { checkFile } from "../src/trail.ts";
import { countersign, identityOf, type Identity, type Reached, signedBy, signJoin, type Vote } from "../src/vote.ts";
import { decodeFile, decodeMessage, encodeMessage, joinText, type Lease, maxToWorker, type ToHub, WireError } from "../src/wire.ts";
import { text, type Vector, vectors } from "./vectors.ts";

const all = vectors("wire");
const of = (kind: string): Vector[] => {
  const some = all.filter((v) => v["kind"] === kind);
  assert.ok(some.length > 0, `vectors of kind ${kind}`);
  return some;
};

/** The identity with this Ed25519 seed. */
async function identity(seed: string): Promise<Identity> {
  const der = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), Buffer.from(seed, "hex")]);
  const key = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  const jwk = key.export({ format: "jwk" }) as webcrypto.JsonWebKey;
  const raw = createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-32);
  return identityOf({
    privateKey: await crypto.subtle.importKey("jwk", jwk, "Ed25519", false, ["sign"]),
    publicKey: await crypto.subtle.importKey("raw", Uint8Array.from(raw), "Ed25519", true, ["verify"]),
  });
}

function decodes(message: unknown): boolean {
  try {
    decodeMessage(message);
    return true;
  } catch (e) {
    assert.ok(e instanceof WireError, `not a WireError: ${String(e)}`);
    return false;
  }
}

for (const v of of("to_worker")) {
  test(`wire vector: ${text(v, "name")}`, () => {
    assert.equal(decodes(v["message"] ?? ""), text(v, "class") === "ok");
  });
}

for (const v of of("to_hub").filter((v) => v["class"] === "ok")) {
  test(`wire vector: ${text(v, "name")}`, () => {
    // What this side writes is what the other side reads.
    const message = JSON.parse(text(v, "message")) as ToHub;
    assert.equal(JSON.stringify(JSON.parse(encodeMessage(message))), JSON.stringify(message));
  });
}

for (const v of of("vote").filter((v) => v["class"] === "ok")) {
  test(`wire vector: ${text(v, "name")}`, async () => {
    const me = await identity(text(v, "seed"));
    assert.equal(me.worker, text(v, "worker"));
    const vote = JSON.parse(text(v, "statement")) as Vote;
    assert.equal(Buffer.from(encode(vote)).toString("latin1"), text(v, "statement"));
    assert.equal(hex(await countersign(me, vote)), text(v, "signature"));
  });
}

for (const v of of("checkpoint").filter((v) => v["class"] === "ok")) {
  test(`wire vector: ${text(v, "name")}`, async () => {
    const me = await identity(text(v, "seed"));
    const reached = JSON.parse(text(v, "statement")) as Reached;
    assert.equal(Buffer.from(encode(reached)).toString("latin1"), text(v, "statement"));
    const signature = await countersign(me, reached);
    assert.equal(hex(signature), text(v, "signature"));
    assert.equal(await signedBy(me.worker, reached, signature), true);
    assert.equal(await signedBy(me.worker, { ...reached, fuel: reached.fuel + 1 }, signature), false);
    assert.equal(await signedBy("00".repeat(32), reached, signature), false);
  });
}

for (const v of of("file")) {
  test(`wire vector: ${text(v, "name")}`, async () => {
    let class_ = "ok";
    try {
      const file = decodeFile(fromLatin1(text(v, "message")));
      const { reached: r } = file;
      const limits = { task_fuel: Number.MAX_SAFE_INTEGER, output_bytes: 1 << 20 };
      await checkFile(file, { order: r.order, task: r.task } as Lease, { module_sha256: r.module, limits } as Release, r.input);
    } catch (e) {
      class_ = e instanceof WireError ? "message" : e instanceof Failure ? e.check : String(e);
    }
    assert.equal(class_, text(v, "class"));
  });
}

for (const v of of("join").filter((v) => v["class"] === "ok")) {
  test(`wire vector: ${text(v, "name")}`, async () => {
    const me = await identity(text(v, "seed"));
    const wanted = JSON.parse(text(v, "message")) as { worker: string; signature: string };
    const hello = { type: "hello", hub: text(v, "hub"), nonce: text(v, "nonce"), time: 0 } as const;
    assert.equal(me.worker, wanted.worker);
    assert.equal(await signJoin(me, joinText(hello)), wanted.signature);
  });
}

const lease = text(of("to_worker").find((v) => v["name"] === "to_worker lease")!, "message");

test("a lease is read member by member", () => {
  const m = decodeMessage(lease);
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
