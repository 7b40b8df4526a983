// Real programs all the way: signer, hub, Chromium. What a stolen hub could do
// is done by a proxy in front of it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, afterEach, before, test } from "node:test";
import { Visitor } from "./browser.ts";
import { Proxy } from "./proxy.ts";
import { order, release, sha256, Signer } from "./sign.ts";
import { ask, Desk, factor, loop, type Payload, run, Running, shots } from "./real.ts";

const demo = new Map([
  ["7328499434", "2,17,257,838693"], ["3792814921", "7,41,13215383"], ["4083310343", "7,37,15765677"], ["4401689293", "643,757,9043"],
  ["3979661166", "2,3,3,3,13,89,63697"], ["6915352069", "6277,1101697"], ["393300005", "5,7,11237143"], ["5359459099", "19391,276389"],
  ["2532264950", "2,5,5,50645299"], ["3794691709", "1237,3067657"], ["7519596251", "31,242567621"], ["9625185328", "2,2,2,2,11,37,1478069"],
  ["645966521", "41,167,94343"],
]);

const numbers = [...demo.keys()].map((n) => n + "\n").join("");
const modules = new Map([factor, loop].map((p) => [p, readFileSync(p.module)]));

// Ada signs with the real program, which takes a second for each password;
// Grace's statements are made here, so that the tests of other things are quick.
const grace = new Signer();

let desk: Desk;
let hub: Running;
let url: string;
let tag = ""; // what another site embeds
let site: string;
let made = 0;
const leaving: (() => Promise<void> | void)[] = [];
const server = createServer((_, r) => {
  r.setHeader("Content-Type", "text/html; charset=utf-8");
  r.end(`<!doctype html><html lang="en"><title>Another site</title><link rel="icon" href="data:,"><h1>Another site</h1>${tag}`);
});

before(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  site = `http://localhost:${(server.address() as AddressInfo).port}`;
  desk = new Desk("ada");
  desk.policy(
    "root", "--researcher", "Ada Lovelace,ada/,ada.pub", "--researcher", `Grace Hopper,grace/,${grace.text}`,
    "--max-task-fuel", String(2 ** 53 - 1),
  );
  hub = new Running(
    desk.dir, "hub", "serve", "--data", "data", "--listen", "127.0.0.1:0", "--policy", "policy.json", "--root", "root.pub", "--unsafe-one-network",
    "--allow-origin", site,
  );
  const said = await hub.says(/listening\s+(http:\S+)/);
  url = said[1]!;
  desk.write("numbers.txt", numbers);
});

afterEach(async () => {
  for (const f of leaving.splice(0).reverse()) await f();
});

after(async () => {
  server.close();
  server.closeAllConnections();
  await hub?.stop();
  desk?.clear();
});

/** A release by Grace, as its statement; every one is a new version. */
function graces(payload: Payload, limits: Record<string, number> = {}, change: Record<string, unknown> = {}, seconds = 3600): Buffer {
  const name = payload === factor ? "grace/factor" : "grace/loop";
  const source = sha256(readFileSync(payload.source));
  return release(modules.get(payload)!, { name, version: ++made, purpose: payload.purpose, source_sha256: source, ...change }, limits, seconds);
}

/** Publishes a release of Grace's and returns its digest. */
function publish(payload: Payload, statement: Buffer): string {
  const name = desk.keep(`release-${++made}.json`, statement, grace);
  desk.signer("publish", name, "--source", payload.source, "--module", payload.module, "--hub", url);
  return sha256(statement);
}

/** Submits an order of Grace's over the demo's numbers and returns its digest. */
function submit(releaseDigest: string, perTask = 1): string {
  const name = desk.keep(`order-${++made}.json`, order(releaseDigest, `Order ${made}`, numbers, perTask), grace);
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
  const answer = (await (await ask(`${url}/v1/orders/${order}`)).json()) as { state: string };
  return answer.state;
}

/** Stops whatever is left of an order, so that the next test's visitor gets its own. */
function end(order: string): void {
  const token = run(desk.dir, "hub", "token", "mint", "--data", "data", "--subject", "test");
  desk.write("operator.token", token);
  run(desk.dir, "hub", "kill", "order", order, "--reason", "the test is over", "--hub", url, "--token-file", "operator.token");
}

function assertDemo(order: string): void {
  const lines = desk.signer("results", order, "--hub", url).trim().split("\n");
  assert.deepEqual(new Map(lines.map((l) => l.split(" -> ") as [string, string])), demo);
}

test("two visitors opt in, and an order of two votes a task completes", async () => {
  desk.signer(
    "release", "-k", "ada.key", "--name", "ada/factor", "--purpose", factor.purpose, "--source", factor.source, "--module", factor.module,
    "--memory-pages", "16", "--task-fuel", "200000000000",
  );
  desk.signer("publish", "ada-factor-1.release.json", "--source", factor.source, "--module", factor.module, "--hub", url);
  desk.signer(
    "order", "-k", "ada.key", "--release", "ada-factor-1.release.json", "--lines", "numbers.txt", "--title", "Factor the numbers",
    "--agree", "2", "--of", "3", "-o", "ada-order.json",
  );
  const said = desk.signer("submit", "ada-order.json", "--input", "numbers.txt", "--hub", url, "--json");
  const digest = (JSON.parse(said) as { order: string }).order;
  const [a, b] = [await visit(), await visit()];
  const from = Date.now();
  await a.start.click();
  await b.start.click();
  await a.until("the order", async () => (await state(digest)) === "done", 300_000);
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
  const digest = submit(publish(factor, graces(factor)));
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
  // A tenth of a second, but for a machine that is busy.
  assert.ok(millis < 20_000);
  end(digest);
});

interface Tampering {
  readonly what: string;
  readonly check: string;
  readonly words: RegExp;
  /** What the proxy answers instead, given what was published. */
  readonly tamper: (statement: Buffer) => Map<string, Buffer>;
}

const module = modules.get(factor)!;
const path = (statement: Buffer): string => `/s/${sha256(statement)}`;
const replaced = (statement: Buffer, by: Buffer, signer: Signer): Map<string, Buffer> =>
  new Map([[path(statement), by], [`${path(statement)}.minisig`, signer.sign(by)]]);

const tamperings: Tampering[] = [
  {
    what: "an altered module byte",
    check: "module_sha256",
    words: /not the one that the researcher signed/,
    tamper: () => new Map([[`/m/${sha256(module)}`, Buffer.from(module.map((b, i) => (i === 1000 ? b ^ 1 : b)))]]),
  },
  {
    what: "a longer module than signed",
    check: "module_length",
    words: /longer or shorter/,
    tamper: () => new Map([[`/m/${sha256(module)}`, Buffer.concat([module, Buffer.of(0)])]]),
  },
  {
    what: "an altered release",
    check: "signature_invalid",
    words: /changed after it was signed/,
    tamper: (s) => new Map([[path(s), Buffer.from(s.toString().replace('"seconds": 60', '"seconds": 61'))]]),
  },
  {
    what: "a release by a key that the page does not trust",
    check: "signature_unknown_key",
    words: /key that this page does not trust/,
    tamper: (s) => replaced(s, s, new Signer()),
  },
  {
    what: "a release by another key under a trusted key's id",
    check: "signature_invalid",
    words: /somebody else signed it/,
    tamper: (s) => replaced(s, s, new Signer(grace.raw.subarray(2, 10))),
  },
  {
    what: "an expired release",
    check: "expiry",
    words: /has expired/,
    tamper: (s) => replaced(s, graces(factor, {}, {}, -1), grace),
  },
  {
    what: "another good release than announced",
    check: "statement_sha256",
    words: /another statement/,
    tamper: (s) => replaced(s, graces(factor), grace),
  },
  {
    what: "a statement without end",
    check: "too_large",
    words: /more than a statement may hold/,
    tamper: (s) => new Map([[path(s), Buffer.alloc(1 << 20, 0x20)]]),
  },
  {
    what: "a release that its researcher signed and the log does not have",
    check: "log_inclusion",
    words: /public log does not have/,
    tamper: (s) => new Map([[`${path(s)}.minisig`, grace.sign(s, "signed once more")]]),
  },
  {
    what: "a proof of another log",
    check: "log_signature",
    words: /not of the public log/,
    tamper: (s) => {
      const [root, signature] = [Buffer.alloc(32).toString("base64"), Buffer.alloc(68).toString("base64")];
      return new Map([[`${path(s)}.tlog-proof`, Buffer.from(`c2sp.org/tlog-proof@v1\nindex 0\n\nother.example\n1\n${root}\n\n— other.example ${signature}\n`)]]);
    },
  },
  {
    what: "a proof that is none",
    check: "log_proof",
    words: /proof .* is damaged/,
    tamper: (s) => new Map([[`${path(s)}.tlog-proof`, Buffer.from("trust me\n")]]),
  },
];

for (const { what, check, words, tamper } of tamperings) {
  test(`${what} is refused before a single instruction runs`, async () => {
    const proxy = new Proxy(url);
    const statement = graces(factor);
    const digest = submit(publish(factor, statement));
    proxy.answers = tamper(statement);
    const v = await behind(proxy);
    const logged = hub.output.length;
    await v.start.click();
    await v.state("refused");
    assert.equal(await v.page.locator("#countersign").getAttribute("data-check"), check);
    assert.match((await v.status.textContent()) ?? "", words);
    await v.page.getByText(`Failed check: ${check}.`).waitFor();
    // No frame, no worker: there was nothing that could have compiled it.
    assert.equal(v.workers, 0);
    assert.equal(v.page.frames().length, 1);
    assert.equal(await v.compiled(), 0);
    assert.equal(await v.gauge("Tasks done"), 0);
    await v.until("the hub's log", () => new RegExp(`lease returned.*reason=refused check=${check}`).test(hub.output.slice(logged)));
    // The same visitor goes on as soon as the hub is itself again.
    proxy.answers = new Map();
    await v.stop.click();
    await v.state("stopped");
    await v.start.click();
    await v.until("the order", async () => (await state(digest)) === "done", 300_000);
    assert.ok((await v.gauge("Tasks done")) > 0);
    assert.ok((await v.compiled()) > 0);
  });
}

test("the operator's kill ends an endless loop", async () => {
  const digest = submit(publish(loop, graces(loop, { seconds: 600 })), 13);
  const v = await visit();
  await v.start.click();
  await v.state("running");
  await v.page.waitForTimeout(500);
  end(digest);
  await v.until("silence", async () => (await v.silences()).length === 1);
  const [silence] = await v.silences();
  console.log(`hub kill: ${silence!.millis.toFixed(1)} ms from order to silence`);
  assert.equal(silence!.cause, "killed");
  await v.state("waiting");
});

test("the release's time limit ends an endless loop", async () => {
  const digest = submit(publish(loop, graces(loop, { seconds: 1 })), 13);
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
  const digest = submit(publish(loop, graces(loop, { seconds: 600 })), 13);
  const v = await visit();
  await v.start.click();
  await v.state("running");
  await v.page.waitForTimeout(500);
  await v.stop.click();
  await v.state("stopped");
  const [silence] = await v.silences();
  console.log(`stop: ${silence!.millis.toFixed(1)} ms from order to silence`);
  assert.equal(silence!.cause, "stopped");
  end(digest);
});

test("a page that asks for witnesses runs nothing while there are none", async () => {
  const key = run(desk.dir, "hub", "log-key", "--data", "data").trim();
  const witness = desk.signer("witness", "--key", "witness.key", "--print-key").trim();
  tag = run(desk.dir, "hub", "integrity", "--tag", "--origin", url, "--root", "root.pub", "--log", key, "--witness", witness);
  assert.match(tag, /data-log="countersign\.log\/[0-9a-f]{16}\+/);
  const digest = submit(publish(factor, graces(factor)));
  const v = await visit(site);
  await v.start.click();
  await v.state("refused");
  assert.equal(await v.page.locator("#countersign, [data-check]").first().getAttribute("data-check"), "log_witness");
  assert.match((await v.status.textContent()) ?? "", /Too few witnesses/);
  assert.equal(await v.compiled(), 0);
  end(digest);
});

test("another site embeds it with the tag that the hub prints", async () => {
  tag = run(desk.dir, "hub", "integrity", "--tag", "--origin", url, "--root", "root.pub");
  const digest = submit(publish(factor, graces(factor)));
  const v = await visit(site);
  await v.start.click();
  await v.until("the order", async () => (await state(digest)) === "done", 300_000);
  assertDemo(digest);
  assert.deepEqual(v.complaints, []);
});

test("the page is pleasant before, during and after", async () => {
  const grace1 = publish(factor, graces(factor, {}, { version: 1 }));
  for (const [name, width, height] of [["", 1280, 800], ["-phone", 390, 844]] as const) {
    const v = await visit(url, { width, height });
    await v.page.getByLabel("Share of each core").fill("25");
    await v.page.getByLabel("Share of each core").blur();
    const take = async (moment: string): Promise<void> => {
      assert.equal(await v.page.evaluate(() => document.documentElement.scrollWidth), width, `${moment}: sideways`);
      await v.page.evaluate(() => scrollTo(0, 0));
      if (width < 600 && moment !== "before") await v.page.locator("#countersign").scrollIntoViewIfNeeded();
      if (width < 600 && moment !== "before") await v.page.locator("#countersign").evaluate((e) => scrollTo(0, e.getBoundingClientRect().top + scrollY - 16));
      await shots(v, `page-${moment}${name}`);
    };
    await take("before");
    const digest = submit(grace1, 3);
    await v.start.click();
    await v.until("some results", async () => (await v.gauge("Acknowledged")) >= 2);
    await v.until("progress", async () => (await v.page.locator("progress").evaluate((p) => (p as HTMLProgressElement).value)) > 300);
    await v.page.waitForTimeout(300);
    await take("during");
    await v.until("the order", async () => (await state(digest)) === "done", 300_000);
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
