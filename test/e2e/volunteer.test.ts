// A real browser with a hub by script: the volunteer from start to stop, and
// all that ends a program.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { afterEach, test } from "node:test";
import { Visitor } from "./browser.ts";
import { root } from "./paths.ts";
import { ScriptedHub } from "./scripted.ts";
import { release, sha256, Signer } from "./sign.ts";
import { endless } from "./modules.ts";

const factor = readFileSync(`${root}/payloads/factor/factor.metered.wasm`);
const loop = readFileSync(`${root}/payloads/hostile/loop/loop.metered.wasm`);
const numbers = Buffer.from("7328499434\n3792814921\n");
const answer = "7328499434 -> 2,17,257,838693\n3792814921 -> 7,41,13215383\n";

// A loader whose runner finds no JavaScript Promise Integration: modules cannot wait in the middle of a task.
const withoutJSPI = ".test/without-jspi";

const signer = new Signer();
const leaving: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const f of leaving.splice(0).reverse()) await f();
});

async function open(dist = "dist"): Promise<[Visitor, ScriptedHub]> {
  const hub = new ScriptedHub(signer, "", dist);
  leaving.push(() => hub.stop());
  const url = await hub.start();
  const visitor = await Visitor.arrive();
  leaving.push(() => visitor.leave());
  await visitor.page.goto(url);
  await visitor.state("off");
  return [visitor, hub];
}

/** Starts a visitor on an endless loop. */
async function looping(
  module: Buffer,
  options: { dist?: string; limits?: Record<string, number>; share?: number } = {},
): Promise<[Visitor, ScriptedHub, string]> {
  const [v, hub] = await open(options.dist);
  const digest = hub.publish(release(module, {}, options.limits), signer, module);
  if (options.share !== undefined) await v.page.getByLabel("Share of each core").fill(String(options.share));
  await v.start.click();
  hub.lend({ release: digest, input: numbers });
  await v.state("running");
  await new Promise((resolve) => setTimeout(resolve, 600)); // deep in the loop
  return [v, hub, digest];
}

/** The one silence that the page measured; printed, because the number is what counts. */
async function silence(v: Visitor, what: string): Promise<number> {
  const all = await v.silences();
  assert.equal(all.length, 1, `${all.length} silences`);
  // A runner that is given no time, on a busy machine, is cut off when it has had its 50 ms.
  assert.ok(all[0]!.seen || all[0]!.millis >= 50, "the end of the worker was seen");
  console.log(`${what}: ${all[0]!.millis.toFixed(1)} ms from order to silence`);
  return all[0]!.seen ? all[0]!.millis : 0;
}

test("nothing is asked and nothing runs before Start", async () => {
  const [v, hub] = await open();
  await v.page.waitForTimeout(500);
  assert.deepEqual(hub.asked.filter((p) => p.startsWith("/s/") || p.startsWith("/m/")), []);
  assert.equal(hub.peers.length, 0);
  assert.equal(v.workers, 0);
  assert.equal(v.page.frames().length, 1);
});

test("a visitor starts, tasks are done and countersigned, and the visitor stops", async () => {
  const [v, hub] = await open();
  const digest = hub.publish(release(factor), signer, factor);
  for (let i = 0; i < 4; i++) hub.lend({ release: digest, input: numbers });
  await v.start.click();
  await v.until("four acknowledged results", async () => (await v.gauge("Acknowledged")) === 4);
  for (const r of hub.results) {
    const vote = r["vote"] as Record<string, unknown>;
    assert.equal(Buffer.from(String(r["output"]), "base64").toString(), answer);
    assert.deepEqual([vote["end"], vote["code"], vote["module"], vote["input"]], ["exit", 0, sha256(factor), sha256(numbers)]);
    assert.equal(vote["output"], sha256(Buffer.from(answer)));
  }
  assert.deepEqual(hub.results.map((r) => (r["vote"] as Record<string, unknown>)["task"]), [0, 1, 2, 3]);
  assert.equal(new Set(hub.results.map((r) => (r["vote"] as Record<string, unknown>)["fuel"])).size, 1, "the same task takes the same fuel");
  assert.equal(await v.compiled(), 1, "one module, compiled once");
  for (const text of ["Factors integers by trial division.", "test/program, version 1", signer.text]) {
    await v.page.locator(".job", { hasText: text }).waitFor();
  }
  await v.state("waiting");
  await v.stop.click();
  await v.state("stopped");
  await v.until("the connection to end", () => hub.peers.length === 0);
  assert.deepEqual(hub.returns, []);
  assert.deepEqual(v.complaints, []);
  const origin = new URL(v.page.url()).origin;
  assert.deepEqual(v.requests.filter((u) => !u.startsWith(origin) && !u.startsWith("blob:")), [], "requests to others");
});

test("stop ends an endless loop", async () => {
  const [v, hub] = await looping(loop);
  await v.stop.click();
  await v.state("stopped");
  assert.ok((await silence(v, "stop")) < 200);
  await v.until("the lease to come back", () => hub.returns.length === 1);
  assert.equal(hub.returns[0]!["reason"], "stopped");
  assert.equal(v.page.frames().length, 1, "the frame is gone");
});

for (const [scope, target] of [
  ["all", () => ""],
  ["release", (_: ScriptedHub, digest: string) => digest],
  ["order", (hub: ScriptedHub) => hub.order],
  ["task", (hub: ScriptedHub) => `${hub.order}/0`],
  ["lease", (hub: ScriptedHub) => [...hub.leased][0]!],
] as const) {
  test(`the hub's kill of ${scope} ends an endless loop`, async () => {
    const [v, hub, digest] = await looping(loop);
    hub.broadcast({ type: "kill", scope, target: target(hub, digest), reason: "the researcher asked for it" });
    await v.until("the lease to come back", () => hub.returns.length === 1);
    assert.equal(hub.returns[0]!["reason"], "killed");
    assert.ok((await silence(v, `hub kill (${scope})`)) < 200);
    await v.state(scope === "all" ? "halted" : "waiting");
    if (scope === "all") hub.broadcast({ type: "resume" });
    // It goes on with other work.
    const other = hub.publish(release(factor), signer, factor);
    hub.lend({ release: other, input: numbers });
    await v.until("another result", () => hub.results.length === 1);
  });
}

/** Starts a visitor on an endless loop, under an index that holds for eight seconds. */
async function loopingUnderAnIndex(): Promise<[Visitor, ScriptedHub, string]> {
  const [v, hub] = await open();
  hub.index(10, 8);
  const digest = hub.publish(release(loop), signer, loop);
  await v.start.click();
  hub.lend({ release: digest, input: numbers });
  await v.state("running");
  return [v, hub, digest];
}

async function refused(v: Visitor, hub: ScriptedHub, check: string): Promise<void> {
  await v.until("the lease to come back", () => hub.returns.length === 1, 20_000);
  assert.deepEqual([hub.returns[0]!["reason"], hub.returns[0]!["check"]], ["refused", check]);
  await v.state("refused");
  assert.equal(await v.page.locator("div[data-state]").getAttribute("data-check"), check);
  console.log(`${check}: ${(await v.silences())[0]!.millis.toFixed(1)} ms from the decision to silence`);
  assert.equal(v.page.frames().length, 1, "the frame is gone");
}

test("a revoked release ends where it runs, without a word of the hub's socket", async () => {
  const [v, hub, digest] = await loopingUnderAnIndex();
  hub.index(11, 3600, { revoked: [digest] });
  await refused(v, hub, "revoked");
  // Other work goes on.
  const other = hub.publish(release(factor), signer, factor);
  hub.lend({ release: other, input: numbers });
  await v.until("another result", () => hub.results.length === 1, 20_000);
});

test("a visitor who gets no newer index stops when the last one expires", async () => {
  const [v, hub] = await loopingUnderAnIndex();
  await refused(v, hub, "expiry");
  assert.equal(hub.wants, 0, "nothing is asked for");
  hub.index(12, 3600);
  hub.lend({ release: hub.publish(release(factor), signer, factor), input: numbers });
  await v.until("a result under a newer index", () => hub.results.length === 1, 30_000);
});

test("an index that halts ends everything", async () => {
  const [v, hub] = await loopingUnderAnIndex();
  hub.index(11, 3600, { halt: "wrong results" });
  await refused(v, hub, "halted");
});

test("a kill of something else ends nothing", async () => {
  const [v, hub] = await looping(loop);
  hub.broadcast({ type: "kill", scope: "order", target: "ab".repeat(32), reason: "" });
  hub.broadcast({ type: "kill", scope: "lease", target: "ab".repeat(16), reason: "" });
  await v.page.waitForTimeout(300);
  assert.deepEqual(hub.returns, []);
  await v.state("running");
});

test("the deadline ends an endless loop", async () => {
  const [v, hub] = await looping(loop, { limits: { seconds: 1 }, share: 50 });
  const started = Date.now();
  await v.until("the lease to come back", () => hub.returns.length === 1);
  assert.equal(hub.returns[0]!["reason"], "deadline");
  assert.ok((await silence(v, "deadline")) < 200);
  assert.ok(Date.now() - started > 700, "half of a core has twice the time");
  await v.state("trouble");
  assert.match((await v.status.textContent()) ?? "", /longer than its researcher allows/);
});

// What does not answer is cut off. The page cannot see when that has happened;
// the processor time of the browser tells.
for (const [name, module, dist] of [
  ["without promise integration", loop, withoutJSPI],
  ["that never asks for fuel", endless, "dist"],
] as const) {
  test(`stop ends an endless loop ${name}`, async () => {
    const [v, hub] = await looping(module, { dist, share: 100 });
    await assert.rejects(v.untilIdle(1000), /still busy/, "the loop takes a core");
    const from = Date.now();
    await v.stop.click();
    const idle = await v.untilIdle(5000, from);
    console.log(`stop ${name}: idle ${idle} ms after the mouse moved to the button`);
    assert.ok(idle < 4000);
    await v.state("stopped");
    // A module that asks for fuel notices that its leash is gone; one that does not is cut off.
    const leashed = module === loop;
    const all = await v.silences();
    assert.deepEqual(all.map((s) => [s.cause, s.seen]), [["stopped", leashed]]);
    console.log(`stop ${name}: ${all[0]!.millis.toFixed(1)} ms from order to silence`);
    assert.ok(!leashed || all[0]!.millis < 1000);
    await v.until("the lease to come back", () => hub.returns.length === 1);
    assert.equal(v.page.frames().length, 1, "the frame is gone");
  });

  test(`the deadline ends an endless loop ${name}`, async () => {
    const [v, hub] = await looping(module, { dist, limits: { seconds: 2 }, share: 100 });
    await v.page.locator("iframe").waitFor({ state: "detached", timeout: 10_000 });
    const idle = await v.untilIdle(5000);
    console.log(`deadline ${name}: idle ${idle} ms after the frame was removed`);
    assert.ok(idle < 4000);
    await v.until("the lease to come back", () => hub.returns.length === 1);
    assert.equal(hub.returns[0]!["reason"], "deadline");
  });
}

test("without promise integration tasks are done all the same", async () => {
  const [v, hub] = await open(withoutJSPI);
  const digest = hub.publish(release(factor), signer, factor);
  hub.lend({ release: digest, input: numbers }, { release: digest, input: numbers });
  await v.start.click();
  await v.until("two results", () => hub.results.length === 2);
  const [worker] = v.page.workers();
  assert.ok(worker);
  assert.equal(await worker.evaluate(() => "Suspending" in WebAssembly), false, "this is the other loader");
});

test("a quarter of a core is less than a whole one", async () => {
  const [v, hub] = await looping(loop, { share: 25 });
  const fuel = async (share: number): Promise<number> => {
    await v.page.getByLabel("Share of each core").fill(String(share));
    await v.page.waitForTimeout(1500); // progress comes once a second
    const before = hub.progress.at(-1)!;
    const from = Date.now();
    await v.page.waitForTimeout(4000);
    const after = hub.progress.at(-1)!;
    return (Number(after["fuel"]) - Number(before["fuel"])) / (Date.now() - from);
  };
  const quarter = await fuel(25);
  const whole = await fuel(100);
  console.log(`25 % of a core: ${(quarter / whole).toFixed(2)} of the fuel of a whole one`);
  // Wide, because the machine may have something else to do; a share that is ignored gives 1.
  assert.ok(quarter / whole > 0.02 && quarter / whole < 0.7, `${quarter / whole}`);
});

test("it pauses while hidden, and goes on", async () => {
  const [v, hub] = await looping(loop, { share: 100 });
  const other = await v.context.newPage();
  await other.bringToFront();
  await v.page.evaluate(() => {
    // Headless pages are never hidden; the event and the property are what the volunteer goes by.
    Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await v.state("paused");
  await v.page.waitForTimeout(300);
  const before = hub.progress.at(-1)?.["fuel"];
  await v.page.waitForTimeout(1500);
  assert.equal(hub.progress.at(-1)?.["fuel"], before, "it runs while paused");
  await v.page.evaluate(() => {
    Object.defineProperty(document, "visibilityState", { value: "visible" });
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await v.state("running");
  await v.until("progress", () => hub.progress.at(-1)?.["fuel"] !== before);
  assert.deepEqual(hub.returns, []);
});

test("a result is sent again when the connection is lost before its acknowledgement", async () => {
  const [v, hub] = await open();
  hub.acknowledges = false;
  const digest = hub.publish(release(factor), signer, factor);
  hub.lend({ release: digest, input: numbers });
  await v.start.click();
  await v.until("a result", () => hub.results.length === 1);
  await v.state("sending");
  hub.acknowledges = true;
  hub.peers[0]!.destroy();
  await v.until("the same result again", () => hub.results.length === 2);
  assert.deepEqual(hub.results[0], hub.results[1]);
  await v.until("one acknowledged", async () => (await v.gauge("Acknowledged")) === 1);
  assert.equal(await v.gauge("Tasks done"), 1);
});

test("the worker keeps its key from visit to visit, and nobody can read it", async () => {
  const [v, hub] = await open();
  const digest = hub.publish(release(factor), signer, factor);
  const worker = async (): Promise<unknown> => {
    hub.lend({ release: digest, input: numbers });
    const n = hub.results.length;
    await v.start.click();
    await v.until("a result", () => hub.results.length > n);
    return hub.workers.at(-1);
  };
  const first = await worker();
  await v.page.reload();
  assert.equal(await worker(), first);
  const exported = await v.page.evaluate(async () => {
    const db = await new Promise<IDBDatabase>((resolve) => {
      const r = indexedDB.open("countersign");
      r.onsuccess = () => resolve(r.result);
    });
    const pair = await new Promise<CryptoKeyPair>((resolve) => {
      const r = db.transaction("keys").objectStore("keys").get("worker") as IDBRequest<CryptoKeyPair>;
      r.onsuccess = () => resolve(r.result);
    });
    return crypto.subtle.exportKey("pkcs8", pair.privateKey).then(() => "exported", () => "refused");
  });
  assert.equal(exported, "refused");
});

test("two cores do two tasks at once", async () => {
  const [v, hub] = await open();
  const digest = hub.publish(release(loop), signer, loop);
  await v.page.getByLabel(/^Cores/).selectOption("2");
  hub.lend(...Array.from({ length: 4 }, () => ({ release: digest, input: numbers })));
  await v.start.click();
  await v.until("two programs", async () => (await v.page.locator("progress").count()) === 2 && v.page.frames().length === 3);
  assert.equal(hub.leased.size, 3, "one for each slot and one to go on with");
  await v.stop.click();
  await v.state("stopped");
  await v.until("all leases to come back", () => hub.returns.length === 3);
});

test("the runner reaches nothing", async () => {
  const [v, hub] = await looping(loop, { share: 10 });
  const worker = v.page.workers()[0]!;
  const url = new URL("/secret", v.page.url()).href;
  const tried = await worker.evaluate(async (url) => {
    const failed = (p: () => unknown): Promise<boolean> => Promise.resolve().then(p).then(() => false, () => true);
    return {
      fetch: await failed(() => fetch(url)),
      xhr: await failed(() => {
        const x = new XMLHttpRequest();
        x.open("GET", url, false);
        x.send();
      }),
      script: await failed(() => (self as unknown as { importScripts(u: string): void }).importScripts(url)),
      module: await failed(() => import(url)),
      socket: await failed(() => new Promise((resolve, reject) => {
        const s = new WebSocket(url.replace("http", "ws"));
        s.onopen = resolve;
        s.onerror = reject;
      })),
      eval: await failed(() => (0, eval)("1")),
      storage: await failed(() => new Promise((resolve, reject) => {
        const r = indexedDB.open("x");
        r.onsuccess = resolve;
        r.onerror = reject;
      })),
      origin: self.origin,
    };
  }, url);
  assert.deepEqual(tried, { fetch: true, xhr: true, script: true, module: true, socket: true, eval: true, storage: true, origin: "null" });
  assert.ok(!hub.asked.includes("/secret"));
});

test("what the hub says that is no message ends the connection, not the page", async () => {
  const [v, hub] = await open();
  await v.start.click();
  await v.until("a connection", () => hub.peers.length === 1);
  await v.state("waiting");
  hub.broadcast({ type: "lease", lease: "x" });
  await v.state("connecting");
  await v.until("another connection", () => hub.peers.length === 1);
  await v.state("waiting");
  assert.deepEqual(v.complaints, []);
});

test("a browser that will not check signatures runs nothing, and says so", async () => {
  const [v] = await open();
  await v.page.evaluate(() => {
    SubtleCrypto.prototype.generateKey = (): Promise<never> => Promise.reject(new DOMException("no", "NotSupportedError"));
    indexedDB.open = () => {
      throw new DOMException("no", "SecurityError");
    };
  });
  await v.start.click();
  await v.state("unsupported");
  assert.match((await v.status.textContent()) ?? "", /cannot check Ed25519/);
  assert.equal(await v.start.isVisible(), true);
});
