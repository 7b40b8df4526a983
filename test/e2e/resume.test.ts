// A task that outlives its visitor: the next one goes on, in another browser,
// and the transcript is that of a run that nobody interrupted.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { readFileSync } from "node:fs";
import { Visitor } from "./browser.ts";
import { Proxy } from "./proxy.ts";
import { order, release, sha256, Signer } from "./sign.ts";
import { ask, Desk, run, Running, steps } from "./real.ts";

const module = readFileSync(steps.module);
const grace = new Signer();
let desk: Desk;
let hub: Running;
let url: string;
let made = 0;
const leaving: (() => Promise<void> | void)[] = [];

const limits = { task_fuel: 2 ** 50, segment_fuel: 2 ** 30, memory_pages: 16, seconds: 600, output_bytes: 1 << 20 };

before(async () => {
  desk = new Desk();
  desk.policy("root", "--researcher", `Grace Hopper,grace/,${grace.text}`, "--max-task-fuel", String(2 ** 53 - 1));
  hub = new Running(desk.dir, "hub", "serve", "--data", "data", "--listen", "127.0.0.1:0", "--policy", "policy.json", "--root", "root.pub", "--unsafe-one-network");
  url = (await hub.says(/listening\s+(http:\S+)/))[1]!;
});

afterEach(async () => {
  for (const f of leaving.splice(0).reverse()) await f();
});

after(async () => {
  await hub?.stop();
  desk?.clear();
});

/** Publishes the program and orders one task of it; returns the order's digest. */
function submit(input: string): string {
  const statement = release(module, { name: "grace/steps", version: ++made, purpose: steps.purpose, source_sha256: sha256(readFileSync(steps.source)) }, limits);
  const file = desk.keep(`release-${made}.json`, statement, grace);
  desk.signer("publish", file, "--source", steps.source, "--module", steps.module, "--hub", url);
  desk.write("input.txt", input);
  const job = desk.keep(`order-${made}.json`, order(sha256(statement), `Order ${made}`, input, 1), grace);
  return (JSON.parse(desk.signer("submit", job, "--input", "input.txt", "--hub", url, "--json")) as { order: string }).order;
}

async function arrive(at = url): Promise<Visitor> {
  const v = await Visitor.arrive();
  leaving.push(() => v.leave());
  await v.page.goto(at);
  await v.state("off");
  await v.page.getByLabel("Share of each core").fill("100");
  return v;
}

interface Result {
  readonly end: string;
  readonly fuel: number;
  readonly segments: number;
  readonly transcript: string;
  readonly output: string;
}

async function results(order: string): Promise<Result[]> {
  const text = await (await ask(`${url}/v1/orders/${order}/results`)).text();
  return text.trim().split("\n").filter((l) => l !== "").map((l) => JSON.parse(l) as Result);
}

/** What the same task comes to in one go, here. */
function alone(order: string, input: string): Result {
  desk.write("alone.txt", input);
  const bytes = Buffer.concat([Buffer.from(order, "hex"), Buffer.alloc(8)]);
  const said = run(
    desk.dir, "verifysim", "run", steps.module, "--input", "alone.txt", "--seed", sha256(bytes), "--fuel", String(limits.task_fuel),
    "--segment-fuel", String(limits.segment_fuel), "--output-bytes", String(limits.output_bytes), "--json",
  );
  return JSON.parse(said) as Result;
}

const kept = async (): Promise<number> => {
  const text = await (await ask(`${url}/metrics`)).text();
  return Number(/checkpoints?\S*\{[^}]*"kept"[^}]*\} (\d+)/.exec(text)?.[1] ?? 0);
};

/** How many segments of its task the visitor's browser keeps. */
async function keptHere(v: Visitor): Promise<number> {
  return v.page.evaluate(async () => {
    const settled = <T>(r: IDBRequest<T>): Promise<T> => new Promise((resolve) => (r.onsuccess = () => resolve(r.result)));
    const db = await settled(indexedDB.open("countersign"));
    const all = await settled(db.transaction("checkpoints").objectStore("checkpoints").getAll() as IDBRequest<{ message: { checkpoint: { segments: number } } }[]>);
    db.close();
    return Math.max(0, ...all.map((k) => k.message.checkpoint.segments));
  });
}

/** Stops whatever is left of an order, so that the next test's visitor gets its own. */
function end(order: string): void {
  desk.write("operator.token", run(desk.dir, "hub", "token", "mint", "--data", "data", "--subject", "test"));
  run(desk.dir, "hub", "kill", "order", order, "--reason", "the test is over", "--hub", url, "--token-file", "operator.token");
}

test("a task whose visitor closes the tab is finished by another visitor", { timeout: 900_000 }, async () => {
  const input = "12000000\n"; // twenty seconds on a quick core of its own, a minute or more on another
  const order = submit(input);
  const first = await arrive();
  await first.start.click();
  await first.state("running");
  await first.until("a checkpoint at the hub", async () => (await kept()) > 0, 120_000);
  assert.deepEqual(await results(order), []);
  await first.leave();
  const second = await arrive();
  await second.start.click();
  await second.state("running");
  await second.page.getByText("from where another visit ended").waitFor();
  await second.until("the verdict", async () => (await results(order)).length === 1, 400_000);
  const [got] = await results(order);
  const want = alone(order, input);
  assert.deepEqual(
    [got!.end, got!.fuel, got!.segments, got!.transcript, got!.output],
    [want.end, want.fuel, want.segments, want.transcript, want.output],
  );
  assert.ok(want.segments > 10, `${want.segments} segments`);
});

test("a visitor who stops hands the unfinished task on", { timeout: 120_000 }, async () => {
  const order = submit("2000000000\n");
  const v = await arrive();
  const before = await kept();
  await v.start.click();
  await v.state("running");
  await v.until("a segment", async () => (await keptHere(v)) > 0);
  await v.stop.click(); // before the shortest interval is over, unless the machine is slow
  await v.state("stopped");
  await v.page.getByText("The hub keeps what was done").waitFor();
  assert.ok((await kept()) > before);
  end(order);
});

test("a visitor who comes back offers what was kept in the browser", { timeout: 120_000 }, async () => {
  const order = submit("2000000000\n");
  const v = await arrive();
  const before = await kept();
  await v.start.click();
  await v.state("running");
  await v.until("a segment", async () => (await keptHere(v)) > 0);
  await v.crash();
  const said = await kept();
  await v.page.goto(url);
  await v.state("off");
  // A page that is paused borrows nothing, so it has nothing else to offer.
  await v.page.evaluate(() => {
    Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await v.start.click();
  await v.until("what was kept at the hub", async () => (await kept()) > before);
  console.log(`kept when the page went: ${said - before}, when it came back: ${(await kept()) - before}`);
  end(order);
});

test("a checkpoint that its author did not sign so is refused, and nothing of it runs", { timeout: 120_000 }, async () => {
  const order = submit("2000000000\n");
  const first = await arrive();
  const before = await kept();
  await first.start.click();
  await first.until("a checkpoint", async () => (await kept()) > before, 60_000);
  await first.leave();
  const proxy = new Proxy(url);
  leaving.push(() => proxy.stop());
  proxy.change = (path, body) => (path.startsWith("/c/") ? Buffer.from(body.toString().replace(/("fuel":)(\d)/, (_, name, d) => name + (d === "9" ? "8" : "9"))) : body);
  const second = await arrive(await proxy.start());
  await second.start.click();
  await second.state("refused");
  await second.page.getByText("Failed check: checkpoint").waitFor();
  assert.equal(await second.compiled(), 0);
  end(order);
});
