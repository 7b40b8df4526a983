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

interface Options {
  readonly dist?: string;
  readonly limits?: Record<string, number>;
  readonly share?: number;
  /** For a program that does not stop when it is asked. */
  readonly stubborn?: boolean;
}

async function open({ dist = "dist", stubborn = false }: Options = {}): Promise<[Visitor, ScriptedHub]> {
  const hub = new ScriptedHub(signer, "", dist);
  leaving.push(() => hub.stop());
  const url = await hub.start();
  const visitor = await Visitor.arrive();
  leaving.push(() => visitor.leave());
  await visitor.page.addInitScript((patient) => {
    Object.defineProperty(navigator, "hardwareConcurrency", { value: 2 }); // whatever this machine has
    // On a busy machine a runner may get no time in the 50 or 300 ms that it has to stop by itself.
    const { setTimeout: wait } = window;
    const longer = (f: () => void, millis?: number): number => wait(f, patient && (millis === 50 || millis === 300) ? 30_000 : millis);
    Object.assign(window, { setTimeout: longer });
  }, !stubborn);
  await visitor.page.goto(url);
  await visitor.state("off");
  return [visitor, hub];
}

/** A visitor presses Start, and gets one task. */
async function lent(module: Buffer, options: Options = {}): Promise<[Visitor, ScriptedHub, string]> {
  const [v, hub] = await open(options);
  const digest = hub.publish(release(module, {}, options.limits), signer, module);
  if (options.share !== undefined) await v.page.getByLabel("Share of each core").fill(String(options.share));
  hub.lend({ release: digest, input: numbers });
  await v.start.click();
  return [v, hub, digest];
}

/** Starts a visitor on an endless loop. */
async function looping(module: Buffer, options: Options = {}): Promise<[Visitor, ScriptedHub, string]> {
  const started = await lent(module, options);
  await started[0].state("running");
  await new Promise((resolve) => setTimeout(resolve, 600)); // deep in the loop
  return started;
}

/** Makes sure that what ran has stopped when it was asked, as the page measured it. */
async function stopped(v: Visitor, what: string): Promise<void> {
  const all = await v.silences();
  assert.equal(all.length, 1, `${all.length} silences`);
  console.log(`${what}: ${all[0]!.millis.toFixed(1)} ms from order to silence`);
  assert.ok(all[0]!.seen, "it had to be cut off");
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
  await stopped(v, "stop");
  await v.until("the lease to come back", () => hub.returns.length === 1);
  assert.equal(hub.returns[0]!["reason"], "stopped");
  await v.until("the end of the frame", () => v.page.frames().length === 1);
});

test("stop, start and stop at once: nothing is said to have stopped before it has", async () => {
  const [v] = await looping(endless, { share: 100, stubborn: true }); // it is cut off, after 50 ms
  const start = v.page.getByRole("button", { name: "Start", exact: true, includeHidden: true });
  const buttons = [await v.stop.elementHandle(), await start.elementHandle()] as const;
  const [stopped, silent] = await v.page.evaluate(async ([stop, start]) => {
    const panel = document.querySelector<HTMLElement>("div[data-state]")!;
    const said = new Promise<number>((resolve) => {
      new MutationObserver(() => panel.dataset["state"] === "stopped" && resolve(performance.now())).observe(panel, { attributeFilter: ["data-state"] });
    });
    for (const b of [stop, start, stop]) (b as HTMLElement).click();
    const at = await said;
    return [at, performance.getEntriesByName("countersign-silence").map((e) => e.startTime + e.duration)[0]];
  }, buttons);
  assert.ok(silent !== undefined && silent <= stopped!, `stopped at ${stopped}, silent at ${silent}`);
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
    await stopped(v, `hub kill (${scope})`);
    await v.state(scope === "all" ? "halted" : "waiting");
    if (scope === "all") hub.broadcast({ type: "resume" });
    // It goes on with other work.
    const other = hub.publish(release(factor), signer, factor);
    hub.lend({ release: other, input: numbers });
    await v.until("another result", () => hub.results.length === 1);
  });
}

/** Starts a visitor on an endless loop, under an index that holds for twenty seconds. */
async function loopingUnderAnIndex(): Promise<[Visitor, ScriptedHub, string]> {
  const [v, hub] = await open();
  hub.index(10, 20);
  const digest = hub.publish(release(loop), signer, loop);
  await v.start.click();
  hub.lend({ release: digest, input: numbers });
  await v.state("running");
  return [v, hub, digest];
}

async function refused(v: Visitor, hub: ScriptedHub, check: string): Promise<void> {
  await v.until("the lease to come back", () => hub.returns.length === 1);
  assert.deepEqual([hub.returns[0]!["reason"], hub.returns[0]!["check"]], ["refused", check]);
  await v.state("refused");
  assert.equal(await v.page.locator("div[data-state]").getAttribute("data-check"), check);
  console.log(`${check}: ${(await v.silences())[0]!.millis.toFixed(1)} ms from the decision to silence`);
  await v.until("the end of the frame", () => v.page.frames().length === 1);
}

test("a revoked release ends where it runs, without a word of the hub's socket", async () => {
  const [v, hub, digest] = await loopingUnderAnIndex();
  hub.index(11, 3600, { revoked: [digest] });
  await refused(v, hub, "revoked");
  // Other work goes on.
  const other = hub.publish(release(factor), signer, factor);
  hub.lend({ release: other, input: numbers });
  await v.until("another result", () => hub.results.length === 1);
});

test("a visitor who gets no newer index stops when the last one expires", async () => {
  const [v, hub] = await loopingUnderAnIndex();
  await refused(v, hub, "expiry");
  assert.equal(hub.wants, 0, "nothing is asked for");
  hub.index(12, 3600);
  hub.lend({ release: hub.publish(release(factor), signer, factor), input: numbers });
  await v.until("a result under a newer index", () => hub.results.length === 1);
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
  const from = Date.now();
  const [v, hub] = await lent(loop, { limits: { seconds: 1 }, share: 50 });
  await v.until("the lease to come back", () => hub.returns.length === 1);
  const millis = Date.now() - from;
  assert.equal(hub.returns[0]!["reason"], "deadline");
  // A page whose timer comes late finds that the runner has ended by its own clock.
  const [silence] = await v.silences();
  if (silence !== undefined) {
    assert.equal(silence.cause, "deadline");
    await stopped(v, "deadline");
    assert.ok(millis > 1900, "half of a core has twice the time");
  }
  await v.state("trouble");
  assert.match((await v.status.textContent()) ?? "", /longer than its researcher allows/);
});

// What does not answer is cut off. The page cannot see when that has happened;
// the threads of the browser tell.
for (const [name, module, dist] of [
  ["without promise integration", loop, withoutJSPI],
  ["that never asks for fuel", endless, "dist"],
] as const) {
  const stubborn = module === endless;

  test(`stop ends an endless loop ${name}`, async () => {
    const [v, hub] = await looping(module, { dist, share: 100, stubborn });
    await v.until("the loop to take its core", () => v.workerTimes().some((t) => t > 500));
    const from = Date.now();
    await v.stop.click();
    await v.until("the end of the worker", () => v.workerTimes().length === 0);
    console.log(`stop ${name}: gone ${Date.now() - from} ms after the mouse moved to the button`);
    await v.state("stopped");
    // A module that asks for fuel notices that its leash is gone; one that does not is cut off.
    const all = await v.silences();
    assert.deepEqual(all.map((s) => [s.cause, s.seen]), [["stopped", !stubborn]]);
    console.log(`stop ${name}: ${all[0]!.millis.toFixed(1)} ms from order to silence`);
    await v.until("the lease to come back", () => hub.returns.length === 1);
    await v.until("the end of the frame", () => v.page.frames().length === 1);
  });

  test(`the deadline ends an endless loop ${name}`, async () => {
    const [v, hub] = await lent(module, { dist, limits: { seconds: 2 }, share: 100, stubborn });
    await v.until("the lease to come back", () => hub.returns.length === 1);
    assert.equal(hub.returns[0]!["reason"], "deadline");
    assert.equal(await v.compiled(), 1);
    await v.until("the end of the worker", () => v.workerTimes().length === 0);
    await v.until("the end of the frame", () => v.page.frames().length === 1);
  });
}

test("without promise integration tasks are done all the same", async () => {
  const [v, hub] = await open({ dist: withoutJSPI });
  const digest = hub.publish(release(factor), signer, factor);
  hub.lend({ release: digest, input: numbers }, { release: digest, input: numbers });
  await v.start.click();
  await v.until("two results", () => hub.results.length === 2);
  const [worker] = v.page.workers();
  assert.ok(worker);
  assert.equal(await worker.evaluate(() => "Suspending" in WebAssembly), false, "this is the other loader");
});

test("at a quarter of a core the runner sleeps most of the time, at a whole one never", async () => {
  const [v] = await looping(loop, { share: 25 });
  /** The part of so many milliseconds for which the runner sleeps: how much it gets done in the rest is the machine's affair. */
  const asleep = (millis: number): Promise<number> => v.page.workers()[0]!.evaluate(async (millis) => {
    const { setTimeout: wait } = globalThis;
    const from = performance.now();
    let [since, slept] = [0, 0];
    const woken = (): void => {
      if (since > 0) slept += performance.now() - since;
      since = 0;
    };
    const sleep = (f: () => void, t: number): unknown => {
      since = performance.now();
      return wait(() => (woken(), f()), t);
    };
    Object.assign(globalThis, { setTimeout: sleep });
    await new Promise((resolve) => wait(resolve, millis));
    woken();
    Object.assign(globalThis, { setTimeout: wait });
    return slept / (performance.now() - from);
  }, millis);
  const quarter = await asleep(6000);
  await v.page.getByLabel("Share of each core").fill("100");
  await v.page.waitForTimeout(500);
  const whole = await asleep(2000);
  console.log(`of its time the runner sleeps ${quarter.toFixed(2)} at 25 % of a core, ${whole.toFixed(2)} at 100 %`);
  assert.ok(quarter > 0.3, `${quarter}`); // 0.75, but for a machine that stops
  assert.ok(whole < 0.1, `${whole}`);
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
  const fuel = (): unknown => hub.progress.at(-1)?.["fuel"];
  let before = fuel();
  await v.until("an end of progress, which comes once a second", async () => {
    before = fuel(); // what was said before the pause may be on its way
    await v.page.waitForTimeout(2500);
    return fuel() === before;
  });
  await v.page.evaluate(() => {
    Object.defineProperty(document, "visibilityState", { value: "visible" });
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await v.state("running");
  await v.until("progress", () => fuel() !== before);
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
  await v.until("the end of the connection", () => hub.peers.length === 0); // or it would get the next lease
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
  await v.until("a connection", () => hub.workers.length === 1);
  await v.state("waiting");
  hub.broadcast({ type: "lease", lease: "x" });
  await v.until("another connection", () => hub.workers.length === 2);
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
