// Pages of other sites at a hub that asks for their tokens, with real Chromium:
// docs/spec/token.md, "Sites".

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect, createServer as createRelay, type Socket } from "node:net";
import { after, afterEach, before, test } from "node:test";
import { Visitor } from "./browser.ts";
import { Desk, factor, run, Running } from "./real.ts";
import { order, release, sha256, Signer } from "./sign.ts";

let friend: string;
let other: string;
const tags = new Map<string, string>(); // by site: what its page embeds
const sites: Server[] = [];
const grace = new Signer();
const module = readFileSync(factor.module);

let desk: Desk;
let hub: Running;
let url: string;
const leaving: (() => Promise<void> | void)[] = [];

/** A site with one page; returns its origin. */
async function site(): Promise<string> {
  const server = createServer((_, r) => {
    r.setHeader("Content-Type", "text/html; charset=utf-8");
    r.end(`<!doctype html><html lang="en"><title>A site</title><link rel="icon" href="data:,"><h1>A site</h1>${tags.get(origin)}`);
  });
  sites.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const origin = `http://localhost:${(server.address() as AddressInfo).port}`;
  return origin;
}

before(async () => {
  [friend, other] = [await site(), await site()];
  desk = new Desk();
  desk.policy("root", "--researcher", `Grace Hopper,grace/,${grace.text}`, "--max-task-fuel", String(2 ** 53 - 1), "--origin", friend, "--origin", other);
  hub = new Running(
    desk.dir, "hub", "serve", "--data", "data", "--listen", "127.0.0.1:0", "--policy", "policy.json", "--root", "root.pub", "--unsafe-one-network",
    "--site-tokens",
  );
  url = (await hub.says(/listening\s+(http:\S+)/))[1]!;
  const st = release(module, { name: "grace/factor", version: 1, purpose: factor.purpose, source_sha256: sha256(readFileSync(factor.source)) }, {}, 3600);
  desk.signer("publish", desk.keep("release.json", st, grace), "--source", factor.source, "--module", factor.module, "--hub", url);
  desk.write("numbers.txt", "12\n15\n");
  desk.write("operator.token", run(desk.dir, "hub", "token", "mint", "--data", "data", "--subject", "test"));
});

afterEach(async () => {
  for (const f of leaving.splice(0).reverse()) await f();
});

after(async () => {
  for (const server of sites) {
    server.close();
    server.closeAllConnections();
  }
  await hub?.stop();
  desk?.clear();
});

/** A token for the friend's site, which may bring one volunteer a minute. */
function mint(): string {
  const token = run(desk.dir, "hub", "token", "mint", "--data", "data", "--role", "site", "--subject", "friend", "--origin", friend, "--rate", "1", "--expires", "1d");
  return desk.write("site.token", token);
}

let orders = 0;
/** Gives the hub work for one volunteer. */
function submit(): void {
  const digest = sha256(desk.read("release.json"));
  const st = JSON.parse(order(digest, `Order ${++orders}`, "12\n15\n", 1).toString()) as { redundancy: { vote: { agree: number; of: number } } };
  st.redundancy.vote = { agree: 1, of: 1 };
  const name = desk.keep(`order-${orders}.json`, Buffer.from(JSON.stringify(st, null, 2) + "\n"), grace);
  desk.signer("submit", name, "--input", "numbers.txt", "--hub", url);
}

/** A visitor comes to a site that embeds the hub's loader, and starts. */
async function visit(site: string, tag: string): Promise<Visitor> {
  tags.set(site, tag);
  const v = await Visitor.arrive();
  leaving.push(() => v.leave());
  await v.page.goto(site);
  await v.state("off");
  await v.page.getByLabel("Share of each core").fill("100");
  await v.start.click();
  return v;
}

function tag(at: string, ...args: string[]): string {
  return run(desk.dir, "hub", "integrity", "--tag", "--origin", at, "--root", "root.pub", ...args);
}

/** Waits for what the panel says about the connection. */
async function said(v: Visitor, what: RegExp): Promise<void> {
  await v.until(String(what), async () => what.test((await v.status.textContent()) ?? ""));
}

/** A way to the hub that can be cut. */
async function relay(): Promise<{ url: string; cut: () => void }> {
  const open = new Set<Socket>();
  const server = createRelay((near) => {
    const far = connect(Number(new URL(url).port), "127.0.0.1");
    for (const s of [near, far]) {
      open.add(s);
      s.on("error", () => s.destroy());
      s.on("close", () => open.delete(s));
    }
    near.pipe(far).pipe(near);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const cut = (): void => {
    for (const s of open) s.destroy();
  };
  leaving.push(() => {
    server.close();
    cut();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, cut };
}

test("a site's visitors work with its token, come back with the session's, and go when it is revoked", async () => {
  const way = await relay();
  const v = await visit(friend, tag(way.url, "--site-token", mint()));
  submit();
  await v.until("two results", async () => (await v.gauge("Acknowledged")) === 2);
  // The site may bring no other this minute; this one is no other.
  await v.state("waiting");
  way.cut();
  submit();
  await v.until("two more results", async () => (await v.gauge("Acknowledged")) === 4);
  const list = JSON.parse(run(desk.dir, "hub", "token", "list", "--json", "--hub", url, "--token-file", "operator.token")) as { tokens: { jti: string; role: string }[] };
  const site = list.tokens.find((t) => t.role === "site")!;
  run(desk.dir, "hub", "token", "revoke", site.jti, "--reason", "enough", "--hub", url, "--token-file", "operator.token");
  await said(v, /revoked/);
});

test("a site without a token, or with another site's, has no volunteers", async () => {
  for (const args of [[], ["--site-token", mint()]]) {
    const v = await visit(other, tag(url, ...args));
    await said(v, args.length === 0 ? /asks pages for their site/ : /the token is for pages of/);
    assert.equal(await v.compiled(), 0);
    for (const f of leaving.splice(0).reverse()) await f();
  }
});
