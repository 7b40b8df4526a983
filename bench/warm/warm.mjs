// What a warm-up run gains in Chromium: each task in a module that was just
// compiled (cold), after a warm-up (warm), and after whole runs (hot).

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../..");
const require = createRequire(join(root, "webworker/package.json"));
const { build } = require("esbuild");
const { chromium } = require("playwright-core");
const rounds = Number(process.argv[2] ?? 5);

const bundle = await build({ entryPoints: [join(here, "worker.ts")], bundle: true, write: false, format: "iife", target: "es2022", logLevel: "warning" });
const tasks = [
  ["factor"],
  ["lab-cpu"],
  ["lab-fib"],
  ["mandelbrot"],
  ["primes"],
  ["gradient"],
  ["align"],
].flatMap(([folder]) => {
  const cases = JSON.parse(readFileSync(join(root, "payloads", folder, "golden.json"), "utf8")).filter((c) => c.segments === 1 && c.end === "exit");
  const c = cases.sort((a, b) => b.fuel - a.fuel)[0];
  return typeof c?.input === "string" ? [{ name: `${folder} ${c.name}`, fuel: c.fuel, module: join(root, "payloads", folder, c.module), input: join(root, "payloads", folder, c.input) }] : [];
});

const server = createServer((q, r) => {
  const [type, body] = q.url === "/worker.js" ? ["text/javascript", bundle.outputFiles[0].text] : ["text/html", "<!doctype html><title>Warm</title>"];
  r.setHeader("content-type", type).end(body);
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-quic"] });
try {
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  console.log(`Chromium ${browser.version()}; best of ${rounds}, milliseconds`);
  console.log("| task | fuel | cold | warm | hot | cold/hot | warm/hot | warming up |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
  const logs = { cold: 0, warm: 0 };
  for (const t of tasks) {
    const all = [];
    for (let i = 0; i < rounds; i++) all.push(await measure(page, t));
    const best = (key) => Math.min(...all.map((m) => m[key]));
    const [cold, warm, hot, warming] = ["cold", "warm", "hot", "warming"].map(best);
    logs.cold += Math.log(cold / hot);
    logs.warm += Math.log(warm / hot);
    const cells = [cold, warm, hot].map((v) => v.toFixed(1));
    console.log(`| ${t.name} | ${t.fuel} | ${cells.join(" | ")} | ${(cold / hot).toFixed(2)} | ${(warm / hot).toFixed(2)} | ${warming.toFixed(0)} |`);
  }
  const mean = (sum) => Math.exp(sum / tasks.length).toFixed(2);
  console.log(`geometric mean: cold ${mean(logs.cold)} ×, warm ${mean(logs.warm)} × hot`);
} finally {
  await browser.close();
  server.close();
}

function measure(page, t) {
  const bytes = (file) => readFileSync(file).toString("base64");
  return page.evaluate(async ({ module, input, fuel }) => {
    const decode = (s) => Uint8Array.from(atob(s), (c) => c.charCodeAt(0));
    const worker = new Worker("/worker.js");
    const got = await new Promise((resolve, reject) => {
      worker.onmessage = (e) => resolve(e.data);
      worker.onerror = (e) => reject(new Error(e.message));
      worker.postMessage({ module: decode(module), input: decode(input), fuel });
    });
    worker.terminate();
    if (typeof got === "string") throw new Error(got);
    return got;
  }, { module: bytes(t.module), input: bytes(t.input), fuel: t.fuel });
}
