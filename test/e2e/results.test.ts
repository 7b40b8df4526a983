// The page of results with real Chromium: a picture that volunteers draw, text,
// and hostile outputs.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Visitor } from "./browser.ts";
import { root } from "./paths.ts";
import { ask, Desk, factor, type Payload, run, Running, shots } from "./real.ts";

const folder = join(root, "payloads/mandelbrot");
const mandelbrot: Payload = {
  purpose: "Draws the Mandelbrot set.",
  source: join(folder, "mandelbrot.wasm"),
  module: join(folder, "mandelbrot.metered.wasm"),
};

let desk: Desk;
let hub: Running;
let url: string;
let visitor: Visitor;
const natives: Running[] = [];

before(async () => {
  desk = new Desk("ada");
  desk.policy("root", "--researcher", "Ada Lovelace,ada/,ada.pub");
  hub = new Running(desk.dir, "hub", "serve", "--data", "data", "--listen", "127.0.0.1:0", "--policy", "policy.json", "--root", "root.pub", "--unsafe-one-network");
  url = (await hub.says(/listening\s+(http:\S+)/))[1]!;
  visitor = await Visitor.arrive({ height: 1000 });
});

after(async () => {
  await visitor?.leave();
  for (const n of natives) await n.stop();
  await hub?.stop();
  desk?.clear();
});

/** Lets a native volunteer help. */
const help = () => natives.push(new Running(desk.dir, "verifysim", "work", "--hub", url, "--keys", "ada.pub"));

/** Publishes a payload and submits an order on it; returns the order's digest. */
function submit(payload: Payload, name: string, title: string, ...args: string[]): string {
  desk.signer("release", "-k", "ada.key", "--name", `ada/${name}`, "--version", "1", "--purpose", payload.purpose, "--source", payload.source, "--module", payload.module,
    "--task-fuel", "100000000000", "--seconds", "300", "--memory-pages", "16");
  desk.signer("publish", `ada-${name}-1.release.json`, "--source", payload.source, "--module", payload.module, "--hub", url);
  desk.signer("order", "-k", "ada.key", "--release", `ada-${name}-1.release.json`, "--title", title, ...args, "-o", `${name}.order.json`);
  const input = args[0] === "--lines" ? ["--input", args[1]!] : [];
  const said = desk.signer("submit", `${name}.order.json`, ...input, "--hub", url, "--json");
  return (JSON.parse(said) as { order: string }).order;
}

const state = async (order: string) => ((await (await ask(`${url}/v1/orders/${order}`)).json()) as { state: string }).state;
const done = (order: string) => visitor.until("the order", async () => (await state(order)) === "done", 300_000);

/** The canvas, as one grey value a pixel; 256 where there is none. */
const pixels = () => visitor.page.evaluate(() => {
  const c = document.querySelector("canvas")!;
  const { data } = c.getContext("2d")!.getImageData(0, 0, c.width, c.height);
  return Array.from({ length: data.length / 4 }, (_, i) => (data[4 * i + 3] === 255 ? data[4 * i]! : 256));
});

test("a picture appears as its parts are decided", async () => {
  const parameters = ["120", "90", "300"].flatMap((p) => ["--parameter", p]);
  const order = submit(mandelbrot, "mandelbrot", "The Mandelbrot set, 120 x 90", "--range", "0:90", "--step", "10", ...parameters);
  const { page } = visitor;
  await page.goto(`${url}/results?order=${order}`);
  await page.getByText("No task has a result yet.").waitFor();
  help();
  help();
  await done(order);
  await page.getByText(/done · 9 of 9 tasks accepted/).waitFor({ timeout: 60_000 });
  await page.locator('canvas[aria-label*="9 of 9 parts are here"]').waitFor(); // drawn after the line that says so
  const pgm = readFileSync(join(folder, "picture.pgm"));
  assert.deepEqual(await pixels(), [...pgm.subarray(pgm.length - 120 * 90)]);
  await shots(visitor, "results-picture");
  const [save] = await Promise.all([page.waitForEvent("download"), page.getByText("Save what is here").click()]);
  assert.deepEqual(readFileSync((await save.path())!), pgm);
  assert.deepEqual(visitor.complaints, []);
});

test("text is a table, and the list leads to it", async () => {
  desk.write("numbers.txt", "12\n15\n17\n");
  const order = submit(factor, "factor", "Three <b>numbers</b>", "--lines", "numbers.txt");
  await done(order);
  const { page } = visitor;
  await page.goto(`${url}/`);
  await page.getByRole("link", { name: "Results" }).click();
  await page.getByRole("link", { name: "Three <b>numbers</b>" }).click();
  const rows = page.locator("tbody tr");
  await rows.first().waitFor();
  assert.deepEqual(await rows.locator("td:nth-child(2)").allTextContents(), ["12 -> 2,2,3", "15 -> 3,5", "17 -> 17"]);
  await page.setViewportSize({ width: 390, height: 844 });
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390);
  assert.equal(run(desk.dir, "signer", "results", order, "--hub", url), "12 -> 2,2,3\n15 -> 3,5\n17 -> 17\n");
  assert.deepEqual(visitor.complaints, []);
});

/** Shows the page an order whose results are these lines. */
async function pretend(lines: object[]): Promise<void> {
  const { page } = visitor;
  const order = "ab".repeat(32);
  const info = { order, title: "<img src=x onerror=alert(1)>", name: "mallory/x", state: "done", tasks: lines.length, accepted: lines.length, undecided: 0, votes: 9, leases: 0, text: "" };
  await page.route("**/v1/orders/*", (r) => r.fulfill({ json: info }));
  await page.route("**/v1/orders/*/results", (r) => r.fulfill({ body: lines.map((l) => JSON.stringify(l) + "\n").join("") }));
  await page.goto(`${url}/results?order=${order}`);
  await page.locator("section > *").first().waitFor();
  await page.unrouteAll();
}

const line = (task: number, output: string, end = "exit", code = 0) => ({ task, end, code, fuel: 5, output: Buffer.from(output, "latin1").toString("base64"), agree: 2 });

test("hostile outputs stay outputs", async () => {
  const { page } = visitor;
  await pretend([line(0, "<script>alert(1)</script>"), line(1, "\x00\x01\xff"), line(2, "", "trap"), line(3, "no\n", "exit", 2), line(4, "a".repeat(100_000)), line(5, "", "undecided")]);
  const cells = await page.locator("tbody td:nth-child(2)").allTextContents();
  assert.deepEqual(cells.map((c) => c.slice(0, 40)), ["<script>alert(1)</script>", "3 bytes", "trapped", "code 2no", "a".repeat(40), "undecided: the votes disagree"]);
  assert.equal(cells[4]!.length, 4096 + 2);
  assert.equal(await page.locator("main script, main img").count(), 0);

  // A picture that says that it is vast is text; one with a part missing has a gap there.
  await pretend([line(0, "P5\n60000 60000\n255\nx")]);
  assert.equal(await page.locator("canvas").count(), 0);
  await pretend([line(0, "P5\n2 3\n255\n\x01\x02"), line(2, "\x05\x06\x07\x08")]);
  assert.deepEqual(await pixels(), [1, 2, 256, 256, 5, 6]);
  assert.deepEqual(visitor.complaints, []);
});

test("what goes wrong is said", async () => {
  const { page } = visitor;
  const alert = page.getByRole("alert");
  await page.goto(`${url}/results?order=x`);
  assert.match((await alert.textContent())!, /64 hexadecimal digits/);
  await page.goto(`${url}/results?order=${"ab".repeat(32)}`);
  assert.match((await alert.textContent())!, /The hub says: .*not here|unknown/);
});

test("the page goes on when the hub is back, and takes back what is withdrawn", async () => {
  const { page } = visitor;
  const order = "cd".repeat(32);
  let info = { order, title: "Two", name: "ada/two", state: "running", tasks: 2, accepted: 2, undecided: 0, votes: 9, leases: 0, text: "" };
  let lines = [line(0, "zero\n"), line(1, "one\n")];
  let down: "abort" | "busy" | null = "abort";
  await page.route("**/v1/orders/*", (r) =>
    down === "abort" ? r.abort() : down === "busy" ? r.fulfill({ status: 503, json: { error: { code: "busy", message: "the disk is full" } } }) : r.fulfill({ json: info }));
  await page.route("**/v1/orders/*/results", (r) => r.fulfill({ body: lines.map((l) => JSON.stringify(l) + "\n").join("") }));
  await page.goto(`${url}/results?order=${order}`);
  await page.getByText("The hub cannot be reached. This page goes on trying.").waitFor();
  down = "busy";
  await page.getByText("The hub says: the disk is full. This page goes on trying.").waitFor();
  down = null;
  const cells = page.locator("tbody td:nth-child(2)");
  await cells.nth(1).waitFor();
  assert.deepEqual(await cells.allTextContents(), ["zero", "one"]);
  assert.equal(await page.getByRole("alert").count(), 0);
  [info, lines] = [{ ...info, accepted: 1 }, lines.slice(1)];
  await cells.nth(1).waitFor({ state: "detached" });
  assert.deepEqual(await cells.allTextContents(), ["one"]);
  await page.unrouteAll();
});
