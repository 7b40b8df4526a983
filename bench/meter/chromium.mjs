// chromium.mjs ROUNDS SLICE: reads lines of module files from standard input, and
// prints for each line the least seconds of each, as JSON, in a worker of Chromium.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const { chromium } = createRequire(new URL("../../webworker/package.json", import.meta.url))("playwright-core");
const [rounds, slice] = process.argv.slice(2).map(Number);
const worker = readFileSync(new URL("pairs.mjs", import.meta.url), "utf8").replace("export function", "function") +
  `onmessage = ({ data: [sources, rounds, slice] }) => { try { postMessage(pairs(sources, rounds, slice)); } catch (e) { postMessage(String(e)); } };`;

const server = createServer((q, r) => {
  r.setHeader("content-type", q.url === "/worker.js" ? "text/javascript" : "text/html");
  r.end(q.url === "/worker.js" ? worker : "<!doctype html><title>bench</title>");
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--js-flags=--no-liftoff --no-wasm-lazy-compilation"],
});
const page = await browser.newPage();
await page.goto(`http://127.0.0.1:${server.address().port}/`);
try {
  for await (const line of createInterface({ input: process.stdin })) {
    const sources = line.split(" ").map((f) => readFileSync(f).toString("base64"));
    const answer = await page.evaluate(([sources, rounds, slice]) => new Promise((resolve) => {
      const w = new Worker("/worker.js");
      w.onmessage = ({ data }) => { resolve(data); w.terminate(); };
      w.postMessage([sources.map((s) => Uint8Array.from(atob(s), (c) => c.charCodeAt(0))), rounds, slice]);
    }), [sources, rounds, slice]);
    if (typeof answer === "string") throw new Error(`${line}: ${answer}`);
    console.log(JSON.stringify(answer));
  }
} finally {
  await browser.close();
  server.close();
}
