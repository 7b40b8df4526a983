// The library: fetching with caps, and what it does with what it gets.

import assert from "node:assert/strict";
import test from "node:test";
import { policy, release, type Signer as S, sha256, Signer } from "../../test/e2e/sign.ts";
import { Failure } from "../src/failure.ts";
import type { Fetch } from "../src/fetching.ts";
import type { Anchor } from "../src/follow.ts";
import { Library } from "../src/library.ts";
import type { Policy } from "../src/policy.ts";
import { type LogTrust, logTrust } from "../src/tlogproof.ts";
import { text, vectors } from "./vectors.ts";

const signer = new Signer();
const module = Buffer.from("0123456789abcdef");

/** Trust in a policy that names the signer, without an index. */
function trusting(...logs: LogTrust[]): Anchor {
  const { statement } = policy(new Signer(), [signer.text]);
  const believed = { trust: { policy: JSON.parse(Buffer.from(statement, "base64").toString()) as Policy, index: null }, logs };
  return { at: () => believed };
}

/** A hub of files that says how much of each body was read. */
class Files {
  readonly bodies = new Map<string, Buffer | (() => AsyncIterable<Uint8Array>)>();
  readonly asked: [string, RequestInit][] = [];
  read = 0;

  publish(statement: Buffer, by: S = signer, bytes = module): string {
    const digest = sha256(statement);
    this.bodies.set(`/s/${digest}`, statement);
    this.bodies.set(`/s/${digest}.minisig`, by.sign(statement));
    this.bodies.set(`/m/${sha256(bytes)}`, bytes);
    return digest;
  }

  readonly fetch: Fetch = (url, init) => {
    const path = new URL(url).pathname;
    this.asked.push([path, init]);
    const body = this.bodies.get(path);
    if (body === undefined) return Promise.resolve(new Response("none", { status: 404 }));
    const chunks = typeof body === "function" ? body() : inParts(body);
    const iterator = chunks[Symbol.asyncIterator]();
    const stream = new ReadableStream<Uint8Array>(
      {
        pull: async (c) => {
          const { done, value } = await iterator.next();
          if (done === true) return c.close();
          this.read += value.length;
          c.enqueue(value);
        },
      },
      { highWaterMark: 0 },
    );
    return Promise.resolve(new Response(stream));
  };

  library(now = Date.now()): Library {
    return new Library("http://hub", trusting(), this.fetch, () => now);
  }
}

async function* inParts(body: Buffer): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < body.length; i += 7) yield Uint8Array.from(body.subarray(i, i + 7));
}

async function* endless(): AsyncGenerator<Uint8Array> {
  for (;;) yield new Uint8Array(1024);
}

async function checkOf(p: Promise<unknown>): Promise<string> {
  const e: unknown = await p.then(() => null, (e: unknown) => e);
  assert.ok(e instanceof Failure, `not refused: ${String(e)}`);
  return e.check;
}

test("a good release is fetched once, and its module handed out as a copy each time", async () => {
  const files = new Files();
  const digest = files.publish(release(module));
  const library = files.library();
  const [a, b] = await Promise.all([library.open(digest), library.open(digest)]);
  assert.equal(a, b);
  assert.equal(await library.open(digest), a);
  assert.deepEqual(files.asked.map(([path]) => path.slice(0, 3)), ["/s/", "/s/", "/m/"]);
  assert.equal(a.signer.text, signer.text);
  const first = await a.module();
  assert.deepEqual(Buffer.from(first), module);
  first.fill(0);
  assert.deepEqual(Buffer.from(await a.module()), module);
});

test("requests carry no credentials and follow no redirect", async () => {
  const files = new Files();
  await files.library().open(files.publish(release(module)));
  for (const [, init] of files.asked) {
    assert.deepEqual([init.credentials, init.redirect, init.referrerPolicy], ["omit", "error", "no-referrer"]);
  }
});

test("a module that is longer, shorter or another is refused", async () => {
  for (const [bytes, check] of [
    [Buffer.concat([module, Buffer.of(0)]), "module_length"],
    [module.subarray(1), "module_length"],
    [Buffer.alloc(0), "module_length"],
    [Buffer.from(module.map((b) => b ^ 1)), "module_sha256"],
  ] as const) {
    const files = new Files();
    const digest = files.publish(release(module));
    files.bodies.set(`/m/${sha256(module)}`, bytes);
    assert.equal(await checkOf(files.library().open(digest)), check);
  }
});

test("reading stops as soon as there is more than may be", async () => {
  const files = new Files();
  const digest = files.publish(release(module));
  files.bodies.set(`/m/${sha256(module)}`, endless);
  const before = files.read;
  assert.equal(await checkOf(files.library().open(digest)), "module_length");
  assert.ok(files.read - before < 8192, `${files.read - before} bytes were read`);
  for (const suffix of ["", ".minisig"]) {
    const files = new Files();
    const digest = files.publish(release(module));
    files.bodies.set(`/s/${digest}${suffix}`, endless);
    assert.equal(await checkOf(files.library().open(digest)), "too_large");
    assert.ok(files.read < 32768, `${files.read} bytes were read`);
    assert.equal(files.asked.length, 2, "no module is asked for");
  }
});

test("of a long input no byte more is read than the rule gives it, and the browser keeps none", async () => {
  const files = new Files();
  const path = `/i/${"ab".repeat(32)}/7`;
  files.bodies.set(path, endless);
  assert.equal(await checkOf(files.library().input("ab".repeat(32), 7, 70_000)), "input");
  assert.ok(files.read < 70_000 + 2048, `${files.read} bytes were read`);
  files.bodies.set(path, module);
  assert.deepEqual(Buffer.from(await files.library().input("ab".repeat(32), 7, 70_000)), module, "whether it is the right one is checked later");
  assert.deepEqual(files.asked.map(([p, init]) => [p, init.cache]), [[path, "no-store"], [path, "no-store"]]);
});

test("a good release under another's digest is refused", async () => {
  const files = new Files();
  const asked = files.publish(release(module));
  const other = release(module, { version: 2 });
  files.bodies.set(`/s/${asked}`, other);
  files.bodies.set(`/s/${asked}.minisig`, signer.sign(other));
  assert.equal(await checkOf(files.library().open(asked)), "statement_sha256");
});

test("what was good and has expired since is refused", async () => {
  const files = new Files();
  const digest = files.publish(release(module, {}, {}, 60));
  let now = Date.now();
  const library = new Library("http://hub", trusting(), files.fetch, () => now);
  await library.open(digest);
  now += 61_000;
  assert.equal(await checkOf(library.open(digest)), "expiry");
});

test("what was refused is asked for anew, past the browser's cache", async () => {
  const files = new Files();
  const digest = files.publish(release(module));
  const good = files.bodies.get(`/m/${sha256(module)}`)!;
  files.bodies.set(`/m/${sha256(module)}`, Buffer.alloc(16));
  const library = files.library();
  assert.equal(await checkOf(library.open(digest)), "module_sha256");
  files.bodies.set(`/m/${sha256(module)}`, good);
  await library.open(digest);
  assert.deepEqual(files.asked.map(([, init]) => init.cache), ["default", "default", "default", "reload", "reload", "reload"]);
});

test("with a log, nothing is taken that the log does not have", async () => {
  const [good] = vectors("log").filter((v) => v["name"] === "ok unwitnessed");
  const log = await logTrust({ log: text(good!, "log"), witnesses: [], quorum: 0 });
  const files = new Files();
  const digest = files.publish(release(module));
  const library = new Library("http://hub", trusting(log), files.fetch, () => Date.now());
  await assert.rejects(library.open(digest), (e: Error) => !(e instanceof Failure) && /404/.test(e.message));
  files.bodies.set(`/s/${digest}.tlog-proof`, Buffer.from(text(good!, "proof"), "base64"));
  assert.equal(await checkOf(library.open(digest)), "log_inclusion");
  files.bodies.set(`/s/${digest}.tlog-proof`, Buffer.from("no proof"));
  assert.equal(await checkOf(library.open(digest)), "log_proof");
  files.bodies.set(`/s/${digest}.tlog-proof`, endless);
  assert.equal(await checkOf(library.open(digest)), "too_large");
  assert.ok(!files.asked.some(([path]) => path.startsWith("/m/")), "no module is asked for");
  assert.ok(files.asked.every(([path, init]) => !path.endsWith(".tlog-proof") || init.cache === "no-store"));
});

test("a hub that does not have it is a trouble, not a refusal", async () => {
  const files = new Files();
  await assert.rejects(files.library().open("00".repeat(32)), (e: Error) => !(e instanceof Failure) && /404/.test(e.message));
});
