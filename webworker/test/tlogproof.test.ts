// Log proofs: the shared vectors, and keys that cannot be meant.

import assert from "node:assert/strict";
import test from "node:test";
import { type LogTag, logTrust } from "../src/tlogproof.ts";
import { shared, text, vectors } from "./vectors.ts";

const all = vectors("log");

function tagOf(v: (typeof all)[number]): LogTag {
  return { log: text(v, "log"), witnesses: v["witnesses"] as string[], quorum: v["quorum"] as number };
}

shared("log");

test("keys that cannot be meant are refused", async () => {
  const good = tagOf(all.find((v) => v["name"] === "ok two witnesses of three")!);
  const [w1, w2] = good.witnesses;
  const asWitness = (vkey: string, name: string): string => name + vkey.slice(vkey.indexOf("+"));
  const bad: Partial<LogTag>[] = [
    { log: "" },
    { log: w1! },
    { log: good.log + "\n" },
    { log: good.log.replace("vectors", "vectorz") },
    { log: good.log.replace(/\+[0-9a-f]{8}\+/, "+00000000+") },
    { witnesses: [w1!, w1!], quorum: 1 },
    { witnesses: [good.log], quorum: 0 },
    { witnesses: [w1!, asWitness(w2!, "other")], quorum: 0 },
    { quorum: 4 },
    { quorum: -1 },
    { quorum: NaN },
  ];
  for (const change of bad) await assert.rejects(logTrust({ ...good, ...change }), Error, JSON.stringify(change));
});

test("one key under two names is one witness, and the log is none", async () => {
  const pair = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]);
  const point = new Uint8Array(await crypto.subtle.exportKey("raw", (pair as CryptoKeyPair).publicKey));
  const vkey = async (algorithm: number, name: string): Promise<string> => {
    const raw = Buffer.concat([Buffer.of(algorithm), point]);
    const id = Buffer.from(await crypto.subtle.digest("SHA-256", Buffer.concat([Buffer.from(name + "\n"), raw]))).subarray(0, 4);
    return `${name}+${id.toString("hex")}+${raw.toString("base64")}`;
  };
  const log = text(all[0]!, "log");
  await assert.rejects(logTrust({ log, witnesses: [await vkey(4, "a"), await vkey(4, "b")], quorum: 2 }));
  await assert.rejects(logTrust({ log: await vkey(1, "a"), witnesses: [await vkey(4, "b")], quorum: 1 }));
  await logTrust({ log, witnesses: [await vkey(4, "a")], quorum: 1 });
});
