// A payload in each language, from signer new to a result on which a browser and
// a native volunteer agree, in segments.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { Visitor } from "./browser.ts";
import { ask, bin, Desk, run, Running } from "./real.ts";

let desk: Desk;
let hub: Running;
let native: Running;
let url: string;
let visitor: Visitor;

before(async () => {
  desk = new Desk("ada");
  desk.policy("root", "--researcher", "Ada Lovelace,ada/,ada.pub");
  hub = new Running(desk.dir, "hub", "serve", "--data", "data", "--listen", "127.0.0.1:0", "--policy", "policy.json", "--root", "root.pub", "--unsafe-one-network");
  url = (await hub.says(/listening\s+(http:\S+)/))[1]!;
  native = new Running(desk.dir, "verifysim", "work", "--hub", url, "--keys", "ada.pub");
  visitor = await Visitor.arrive();
  await visitor.page.goto(url);
  await visitor.state("off");
  await visitor.page.getByLabel("Share of each core").fill("100");
  await visitor.start.click();
});

after(async () => {
  await visitor?.leave();
  await native?.stop();
  await hub?.stop();
  desk?.clear();
});

function make(dir: string, target: string): void {
  const env = { ...process.env, PATH: `${bin}:${process.env["PATH"] ?? ""}` };
  const done = spawnSync("make", ["-C", dir, target], { encoding: "utf8", env, timeout: 120_000 });
  assert.equal(done.status, 0, done.stdout + done.stderr);
}

for (const lang of ["c", "go", "rust", "as"]) {
  test(`${lang}: from source to a result of two kinds of volunteers`, async () => {
    const name = `collatz-${lang}`;
    desk.signer("new", "--lang", lang, `ada/${name}`);
    const dir = desk.path(name);
    const signer = (...args: string[]) => run(dir, "signer", ...args);
    make(dir, `${name}.metered.wasm`);
    const sign = ["--job", "job.toml", "-k", "../ada.key"];
    signer("release", ...sign, "--segment-fuel", "60000000");
    signer("publish", "--job", "job.toml", `ada-${name}-1.release.json`, "--hub", url);
    signer("order", ...sign, "--agree", "2", "--of", "3");
    const said = signer("submit", "--job", "job.toml", `${name}.order.json`, "--hub", url, "--json");
    const { order } = JSON.parse(said) as { order: string };
    const state = async () => ((await (await ask(`${url}/v1/orders/${order}`)).json()) as { state: string }).state;
    await visitor.until(`the order in ${lang}`, async () => (await state()) === "done", 300_000);
    // Two votes were needed on each task, and there are two volunteers.
    assert.equal(signer("results", order, "--hub", url), readFileSync(`${dir}/expected.txt`, "utf8"));
    assert.match(run(dir, "verifysim", "verify", "--hub", url, "--keys", "../ada.pub", "--input", "input.txt", order), /3 of 3 tasks re-run, all equal/);
    assert.deepEqual(visitor.complaints, []);
  });
}
