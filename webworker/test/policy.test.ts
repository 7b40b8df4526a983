// The chain of trust: the shared vectors, policy → index → release or order.

import assert from "node:assert/strict";
import test from "node:test";
import { fromBase64 } from "../src/bytes.ts";
import { Failure } from "../src/failure.ts";
import { tasksOf } from "../src/merkle.ts";
import { parsePublicKey } from "../src/minisign.ts";
import { checkCurrent, openChain, openIndex, openOrderUnder, openReleaseUnder, type Seen, type Trust } from "../src/policy.ts";
import { text, type Vector, vectors } from "./vectors.ts";

interface File {
  readonly statement: string;
  readonly signature: string;
}

function bytes(base64: string): Uint8Array<ArrayBuffer> {
  const b = fromBase64(base64);
  assert.ok(b);
  return b;
}

async function open(v: Vector): Promise<void> {
  const now = Date.parse(text(v, "now"));
  const root = { keys: (v["roots"] as string[]).map(parsePublicKey), threshold: v["threshold"] as number, floor: v["floor"] as number };
  const chain = (v["chain"] as { statement: string; signatures: string }[]).map((s) => ({ statement: bytes(s.statement), signatures: bytes(s.signatures) }));
  const [policy, seen] = await openChain(root, chain, v["seen"] as Seen, now);
  const x = v["index"] as File | null;
  const index = x === null ? null : (await openIndex(policy, bytes(x.statement), bytes(x.signature), seen, now))[0];
  const trust: Trust = { policy, index };
  checkCurrent(trust, now);
  const release = async (f: File): Promise<string> => (await openReleaseUnder(trust, bytes(f.statement), bytes(f.signature), now)).release.name;
  const target = v["target"] as File;
  if (v["kind"] === "release") await release(target);
  if (v["kind"] === "order") {
    await openOrderUnder(trust, bytes(target.statement), bytes(target.signature), now, () => release(v["named"] as File), (o) => tasksOf(o.rule));
  }
}

for (const v of vectors("trust")) {
  test(`trust vector: ${text(v, "name")}`, async () => {
    let got = "ok";
    try {
      await open(v);
    } catch (e) {
      assert.ok(e instanceof Failure, `not a Failure: ${String(e)}`);
      got = e.check;
    }
    assert.equal(got, text(v, "class"));
  });
}
