// Real programs all the way: signer, hub, Chromium. What a stolen hub could do
// is done by a proxy in front of it.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, afterEach, before, test } from "node:test";
import { Visitor } from "./browser.ts";
import { Proxy } from "./proxy.ts";
import { sha256 } from "./sign.ts";
import { Desk, factor, loop, run, Running, shots } from "./real.ts";

const demo = new Map([
  ["7328499434", "2,17,257,838693"], ["3792814921", "7,41,13215383"], ["4083310343", "7,37,15765677"], ["4401689293", "643,757,9043"],
  ["3979661166", "2,3,3,3,13,89,63697"], ["6915352069", "6277,1101697"], ["393300005", "5,7,11237143"], ["5359459099", "19391,276389"],
  ["2532264950", "2,5,5,50645299"], ["3794691709", "1237,3067657"], ["7519596251", "31,242567621"], ["9625185328", "2,2,2,2,11,37,1478069"],
  ["645966521", "41,167,94343"],
]);

let desk: Desk;
let hub: Running;
let url: string;
let orders = 0;
const leaving: (() => Promise<void> | void)[] = [];

before(async () => {
  desk = new Desk("ada", "eve");
  desk.signer("policy", "new", "--researcher", "Ada Lovelace,ada/,ada.pub", "--researcher", "Eve,eve/,eve.pub", "--max-task-fuel", "9000000000000000", "-o", "policy.json");
  hub = new Running(
    desk.dir, "hub", "serve", "--data", "data", "--listen", "127.0.0.1:0", "--policy", "policy.json", "--unsafe-one-network",
    "--allow-origin", "http://localhost:18099",
  );
  [, url] = (await hub.says(/listening\s+(http:\S+)/)) as unknown as [string, string];
  desk.write("numbers.txt", [...demo.keys()].map((n) => n + "\n").join(""));
  publish(desk.release("ada", "ada/factor", factor), factor);
});

afterEach(async () => {
  for (const f of leaving.splice(0).reverse()) await f();
});

after(async () => {
  await hub?.stop();
  desk?.clear();
});

function publish(statement: string, payload: { source: string; module: string }): void {
  desk.signer("publish", statement, "--source", payload.source, "--module", payload.module, "--hub", url);
}

/** Signs and submits an order and returns its digest. */
function order(release: string, key = "ada", agree = 1, of = 1, perTask = 1): string {
  const name = `order-${++orders}.json`;
  desk.signer(
    "order", "-k", `${key}.key`, "--release", release, "--lines", "numbers.txt", "--per-task", String(perTask), "--title", `Order ${orders}`,
    "--agree", String(agree), "--of", String(of), "-o", name,
  );
  const said = desk.signer("submit", name, "--input", "numbers.txt", "--hub", url, "--json");
  return (JSON.parse(said) as { order: string }).order;
}

async function visit(at = url, options: Parameters<typeof Visitor.arrive>[0] = {}): Promise<Visitor> {
  const v = await Visitor.arrive(options);
  leaving.push(() => v.leave());
  await v.page.goto(at);
  await v.state("off");
  await v.page.getByLabel("Share of each core").fill("100");
  return v;
}

/** A visitor whose hub is behind a proxy. */
async function behind(proxy: Proxy): Promise<Visitor> {
  leaving.push(() => proxy.stop());
  return visit(await proxy.start());
}

async function state(order: string): Promise<string> {
  const answer = (await (await fetch(`${url}/v1/orders/${order}`)).json()) as { state: string };
  return answer.state;
}

/** Stops whatever is left of an order, so that the next test's visitor gets its own. */
function end(order: string): void {
  const token = run(desk.dir, "hub", "token", "--data", "data");
  desk.write("operator.token", token);
  run(desk.dir, "hub", "kill", "order", order, "--reason", "the test is over", "--hub", url, "--token-file", "operator.token");
}

function assertDemo(order: string): void {
  const lines = desk.signer("results", order, "--hub", url).trim().split("\n");
  assert.deepEqual(new Map(lines.map((l) => l.split(" -> ") as [string, string])), demo);
}

test("two visitors opt in, and an order of two votes a task completes", async () => {
  const digest = order("ada-factor-1.release.json", "ada", 2, 3);
  const [a, b] = [await visit(), await visit()];
  const from = Date.now();
  await a.start.click();
  await b.start.click();
  await a.until("the order", async () => (await state(digest)) === "done", 60_000);
  console.log(`an order of 13 tasks and 26 votes took two visitors ${Date.now() - from} ms`);
  assertDemo(digest);
  for (const v of [a, b]) {
    await v.until("acknowledgements", async () => (await v.gauge("Acknowledged")) === 13);
    for (const text of ["Factors integers by trial division.", "ada/factor, version 1", desk.key("ada")]) await v.page.locator(".job", { hasText: text }).waitFor();
    await v.stop.click();
    await v.state("stopped");
    assert.deepEqual(v.complaints, []);
    assert.deepEqual(v.requests.filter((u) => !u.startsWith(url) && !u.startsWith("blob:")), [], "requests to others");
    assert.equal(await v.compiled(), 1);
  }
});

test("from Start to the first verified instruction", async () => {
  const digest = order("ada-factor-1.release.json");
  const v = await visit();
  const millis = await v.page.evaluate(async () => {
    const from = performance.now();
    const shadow = document.querySelector("#countersign")!.shadowRoot!;
    [...shadow.querySelectorAll("button")].find((b) => b.textContent === "Start")!.click();
    for (;;) {
      const [mark] = performance.getEntriesByName("countersign-compiled");
      if (mark !== undefined) return mark.startTime - from;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  });
  console.log(`from Start to a verified, compiled module: ${millis.toFixed(0)} ms`);
  assert.ok(millis < 2000);
  end(digest);
});

interface Tampering {
  readonly what: string;
  readonly check: string;
  readonly words: RegExp;
  readonly tamper: (desk: Desk, release: { digest: string; module: string }) => Proxy["tamper"];
}

const tamperings: Tampering[] = [
  {
    what: "an altered module byte",
    check: "module_sha256",
    words: /not the one that the researcher signed/,
    tamper: (_, { module }) => (path, body) => (path === `/m/${module}` ? Buffer.from(body.map((b, i) => (i === 1000 ? b ^ 1 : b))) : undefined),
  },
  {
    what: "a longer module than signed",
    check: "module_length",
    words: /longer or shorter/,
    tamper: (_, { module }) => (path, body) => (path === `/m/${module}` ? Buffer.concat([body, Buffer.of(0)]) : undefined),
  },
  {
    what: "an altered release",
    check: "signature_invalid",
    words: /changed after it was signed/,
    tamper: (_, { digest }) => (path, body) => (path === `/s/${digest}` ? Buffer.from(body.toString().replace('"version": 1', '"version": 2')) : undefined),
  },
  {
    what: "a release by a key that the page does not trust",
    check: "signature_unknown_key",
    words: /key that this page does not trust/,
    tamper: (desk, { digest }) => {
      desk.signer("key", "new", "mallory");
      const forged = desk.release("mallory", "ada/factor", factor, "--dir", "forged");
      return (path) => (path === `/s/${digest}` ? desk.read(`forged/${forged}`) : path === `/s/${digest}.minisig` ? desk.read(`forged/${forged}.minisig`) : undefined);
    },
  },
  {
    what: "an expired release",
    check: "expiry",
    words: /has expired/,
    tamper: (desk, { digest }) => {
      const old = desk.release("ada", "ada/factor", factor, "--dir", "old", "--expires-in", "1s");
      return (path) => (path === `/s/${digest}` ? desk.read(`old/${old}`) : path === `/s/${digest}.minisig` ? desk.read(`old/${old}.minisig`) : undefined);
    },
  },
  {
    what: "another good release than announced",
    check: "statement_sha256",
    words: /another statement/,
    tamper: (desk, { digest }) => {
      const other = desk.release("ada", "ada/factor", factor, "--dir", "other", "--version", "9");
      return (path) => (path === `/s/${digest}` ? desk.read(`other/${other}`) : path === `/s/${digest}.minisig` ? desk.read(`other/${other}.minisig`) : undefined);
    },
  },
  {
    what: "a statement without end",
    check: "too_large",
    words: /more than a statement may hold/,
    tamper: (_, { digest }) => (path) => (path === `/s/${digest}` ? Buffer.alloc(1 << 20, 0x20) : undefined),
  },
];

for (const { what, check, words, tamper } of tamperings) {
  test(`${what} is refused before a single instruction runs`, async () => {
    const statement = desk.read("ada-factor-1.release.json");
    const proxy = new Proxy(url);
    const { release, module } = digests(statement);
    proxy.tamper = tamper(desk, { digest: release, module });
    await new Promise((resolve) => setTimeout(resolve, check === "expiry" ? 1500 : 0));
    const digest = order("ada-factor-1.release.json");
    const v = await behind(proxy);
    const logged = hub.output.length;
    await v.start.click();
    await v.state("refused");
    assert.equal(await v.page.locator("#countersign").getAttribute("data-check"), check);
    assert.match((await v.status.textContent()) ?? "", words);
    // No frame, no worker: there was nothing that could have compiled it.
    assert.equal(v.workers, 0);
    assert.equal(v.page.frames().length, 1);
    assert.equal(await v.compiled(), 0);
    assert.equal(await v.gauge("Tasks done"), 0);
    await v.until("the hub's log", () => new RegExp(`lease returned.*reason=refused check=${check}`).test(hub.output.slice(logged)));
    await v.page.getByText(`Failed check: ${check}.`).waitFor();
    // The same visitor goes on as soon as the hub is itself again.
    proxy.tamper = () => undefined;
    await v.stop.click();
    await v.state("stopped");
    await v.start.click();
    await v.until("the order", async () => (await state(digest)) === "done", 60_000);
    assert.ok((await v.gauge("Tasks done")) > 0);
  });
}

function digests(statement: Buffer): { release: string; module: string } {
  return {
    release: sha256(statement),
    module: (JSON.parse(statement.toString()) as { module_sha256: string }).module_sha256,
  };
}

test("the operator's kill ends an endless loop", async () => {
  const statement = desk.release("eve", "eve/loop", loop, "--seconds", "600");
  publish(statement, loop);
  const digest = order(statement, "eve", 1, 1, 13);
  const v = await visit();
  await v.start.click();
  await v.state("running");
  await v.page.waitForTimeout(500);
  end(digest);
  await v.until("silence", async () => (await v.silences()).length === 1);
  const [silence] = await v.silences();
  console.log(`hub kill: ${silence!.millis.toFixed(1)} ms from order to silence`);
  assert.deepEqual([silence!.cause, silence!.seen], ["killed", true]);
  await v.state("waiting");
});

test("the release's time limit ends an endless loop", async () => {
  const statement = desk.release("eve", "eve/loop", loop, "--seconds", "1", "--version", "2");
  publish(statement, loop);
  const digest = order(statement, "eve", 1, 1, 13);
  const v = await visit();
  const logged = hub.output.length;
  await v.start.click();
  await v.until("silence", async () => (await v.silences()).length >= 1);
  const [silence] = await v.silences();
  console.log(`deadline: ${silence!.millis.toFixed(1)} ms from deadline to silence`);
  assert.equal(silence!.cause, "deadline");
  await v.until("the hub's log", () => /lease returned.*reason=deadline/.test(hub.output.slice(logged)));
  end(digest);
});

test("the visitor's stop ends an endless loop", async () => {
  const statement = desk.release("eve", "eve/loop", loop, "--seconds", "600", "--version", "3");
  publish(statement, loop);
  const digest = order(statement, "eve", 1, 1, 13);
  const v = await visit();
  await v.start.click();
  await v.state("running");
  await v.page.waitForTimeout(500);
  await v.stop.click();
  await v.state("stopped");
  const [silence] = await v.silences();
  console.log(`stop: ${silence!.millis.toFixed(1)} ms from order to silence`);
  assert.deepEqual([silence!.cause, silence!.seen], ["stopped", true]);
  end(digest);
});

test("another site embeds it with the tag that the hub prints", async () => {
  const tag = run(desk.dir, "hub", "integrity", "--tag", "--origin", url, "--policy", "policy.json");
  const site = createServer((_, r) => {
    r.setHeader("Content-Type", "text/html; charset=utf-8");
    r.end(`<!doctype html><html lang="en"><title>Another site</title><link rel="icon" href="data:,"><h1>Another site</h1>${tag}`);
  });
  await new Promise<void>((resolve) => site.listen(18099, "127.0.0.1", resolve));
  leaving.push(() => {
    site.close();
    site.closeAllConnections();
  });
  assert.equal((site.address() as AddressInfo).port, 18099);
  const digest = order("ada-factor-1.release.json");
  const v = await visit("http://localhost:18099/");
  await v.start.click();
  await v.until("the order", async () => (await state(digest)) === "done", 60_000);
  assertDemo(digest);
  assert.deepEqual(v.complaints, []);
});

test("the page is pleasant before, during and after", async () => {
  for (const [name, width, height] of [["", 1280, 800], ["-phone", 390, 844]] as const) {
    const v = await visit(url, { width, height });
    await v.page.getByLabel("Share of each core").fill("25");
    const take = async (moment: string): Promise<void> => {
      assert.equal(await v.page.evaluate(() => document.documentElement.scrollWidth), width, `${moment}: sideways`);
      await v.page.evaluate(() => scrollTo(0, 0));
      if (width < 600 && moment !== "before") await v.page.locator("#countersign").scrollIntoViewIfNeeded();
      if (width < 600 && moment !== "before") await v.page.locator("#countersign").evaluate((e) => scrollTo(0, e.getBoundingClientRect().top + scrollY - 16));
      await shots(v, `page-${moment}${name}`);
    };
    await take("before");
    const digest = order("ada-factor-1.release.json");
    await v.start.click();
    await v.until("some results", async () => (await v.gauge("Acknowledged")) >= 4);
    await v.state("running");
    await v.page.waitForTimeout(150);
    await take("during");
    await v.until("the order", async () => (await state(digest)) === "done", 60_000);
    await v.stop.click();
    await v.state("stopped");
    await v.page.mouse.move(0, 0);
    await v.page.waitForTimeout(100);
    await take("after");
    assert.deepEqual(v.complaints, []);
    await v.leave();
    leaving.length = 0;
  }
});
