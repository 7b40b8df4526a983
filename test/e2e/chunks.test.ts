// Inputs too long for a lease, with the real programs: fetched by Chromium,
// proved, run; and refused when the hub hands out other bytes.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { Visitor } from "./browser.ts";
import { Proxy } from "./proxy.ts";
import { ask, Desk, labIO, Running } from "./real.ts";

const chunk = 16 << 20;
const text = "Countersign counts what it reads.\n";
const file = Buffer.alloc(chunk + 100, text);

let desk: Desk;
let hub: Running;
let url: string;
let proxy: Proxy;
let order: string;

const post = (...args: string[]): string => desk.signer(...args, "--hub", url);

before(async () => {
  desk = new Desk("ada");
  desk.policy("root", "--researcher", "Ada Lovelace,ada/,ada.pub", "--max-task-fuel", String(2 ** 53 - 1));
  const flags = ["--listen", "127.0.0.1:0", "--policy", "policy.json", "--root", "root.pub", "--unsafe-one-network"];
  hub = new Running(desk.dir, "hub", "serve", "--data", "data", ...flags);
  url = (await hub.says(/listening\s+(http:\S+)/))[1]!;
  desk.write("big", file.toString());
  const files = ["--source", labIO.source, "--module", labIO.module];
  const limits = ["--memory-pages", "16", "--output-bytes", "1048576", "--seconds", "300"];
  desk.signer("release", "-k", "ada.key", "--name", "ada/lab-io", "--purpose", labIO.purpose, ...files, ...limits);
  post("publish", "ada-lab-io-1.release.json", ...files);
  const votes = ["--agree", "1", "--of", "1"];
  desk.signer("order", "-k", "ada.key", "--release", "ada-lab-io-1.release.json", "--chunks", "big", "--chunk-size", String(chunk), "--title", "Much", ...votes, "-o", "o.json");
  order = (JSON.parse(post("submit", "o.json", "--input", "big", "--json")) as { order: string }).order;
  proxy = new Proxy(url);
});

after(async () => {
  await proxy?.stop();
  await hub?.stop();
  desk?.clear();
});

interface Line {
  readonly task: number;
  readonly fuel: number;
  readonly output: string;
}

test("a chunk of 16 MiB with a byte changed is refused, the right one is run", async () => {
  const wrong = Buffer.from(file.subarray(0, chunk));
  wrong[chunk - 1]! ^= 1;
  const v = await Visitor.arrive();
  try {
    await v.page.goto(await proxy.start());
    await v.page.getByLabel("Share of each core").fill("100");
    for (const lie of [wrong, file.subarray(0, chunk + 1), file.subarray(0, chunk - 1)]) {
      proxy.answers = new Map([[`/i/${order}/0`, lie]]);
      const logged = hub.output.length;
      await v.start.click();
      await v.until("a refusal", () => /lease returned.*reason=refused check=input/.test(hub.output.slice(logged)), 60_000);
      await v.stop.click();
      await v.state("stopped");
    }
    proxy.answers = new Map();
    await v.start.click();
    await v.until("both tasks", async () => ((await (await ask(`${url}/v1/orders/${order}`)).json()) as { state: string }).state === "done", 300_000);
    assert.deepEqual(v.complaints, []);
  } finally {
    await v.leave();
  }
  const lines = (await (await ask(`${url}/v1/orders/${order}/results`)).text()).trim().split("\n").map((l) => JSON.parse(l) as Line);
  const golden = JSON.parse(readFileSync(labIO.module.replace("lab-io.metered.wasm", "golden.json"), "utf8")) as { name: string; fuel: number }[];
  assert.equal(lines[0]!.fuel, golden.find((g) => g.name === "16-mib")!.fuel);
  assert.deepEqual(lines.map((l) => Buffer.from(l.output, "base64").length), [chunk / 16, Math.ceil(100 / 16)]);
});
