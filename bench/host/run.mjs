// run.mjs [--json] [--write FILE] [--only BROWSER]: how fast the browsers' host
// is, in every browser that is here.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { cpus, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { browsers, closeAll } from "../../test/conformance/browsers.mjs";
import { bundle, frameDocument } from "../../webworker/bundle.mjs";

const { values: options } = parseArgs({ options: { json: { type: "boolean" }, write: { type: "string" }, only: { type: "string" } } });
const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../..");
const dir = mkdtempSync(join(tmpdir(), "bench-host-"));
const patience = 15 * 60_000;
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => (closeAll(), process.exit(130)));

const src = join(root, "webworker/src");
const frame = frameDocument(await bundle(join(src, "frame.ts"), { runner: await bundle(join(src, "runner.ts"), {}) }));

const payload = (name) => readFileSync(join(root, "payloads", name));
/** Twenty numbers from [2, 10^10], as the first demo drew them, but the same every time (the generator is Knuth's, of MMIX). */
function drawn() {
  let state = 20n;
  return Array.from({ length: 20 }, () => {
    state = (state * 6364136223846793005n + 1442695040888963407n) % 2n ** 64n;
    return Number(2n + (state >> 16n) % 9_999_999_999n);
  });
}
const files = {
  "/": [`<!doctype html><meta charset="utf-8"><title>Measuring the host</title><body><script src="/page.js"></script>`, "text/html"],
  "/page.js": [await bundle(join(here, "page.ts"), { frame }), "text/javascript"],
  "/worker.js": [await bundle(join(here, "worker.ts"), {}), "text/javascript"],
  "/numbers": [JSON.stringify({ numbers: drawn() }), "application/json"],
  "/factor": [payload("factor/factor.metered.wasm"), "application/wasm"],
  "/loop": [payload("hostile/loop/loop.metered.wasm"), "application/wasm"],
  "/flood": [payload("hostile/checkpoint/checkpoint.metered.wasm"), "application/wasm"],
  "/warm": [payload("lab-cpu/lab-cpu.metered.wasm"), "application/wasm"],
  "/warm-input": [payload("lab-cpu/tail.txt"), "text/plain"],
};

let listen = () => {};
const server = createServer((q, r) => {
  if (q.method === "POST") {
    let body = "";
    q.on("data", (d) => (body += d)).on("end", () => (r.end(), listen(JSON.parse(body))));
    return;
  }
  const [body, type] = files[q.url] ?? [];
  if (body === undefined) return (r.statusCode = 404), r.end();
  r.setHeader("content-type", type);
  r.end(body);
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const url = `http://127.0.0.1:${server.address().port}/`;

async function measure(b) {
  const got = { name: b.name, version: b.version() };
  const browser = b.open(url, dir);
  try {
    await new Promise((resolve, reject) => {
      setTimeout(() => reject(new Error(`${b.name}: not done after ${patience / 60_000} minutes; so far ${Object.keys(got).slice(2).join(", ")}`)), patience).unref();
      browser.ended.then((why) => reject(new Error(`${b.name}: ${why}`)));
      listen = (m) => {
        if (m.failed) reject(new Error(`${b.name}: ${m.failed}`));
        if (m.done) resolve();
        Object.assign(got, m);
      };
    });
  } catch (e) {
    got.failed = e.message;
  } finally {
    listen = () => {};
    browser.close();
  }
  return got;
}

const all = [];
for (const b of browsers) if (existsSync(b.program) && (!options.only || options.only === b.name)) all.push(await measure(b));
server.close();
server.closeAllConnections();
rmSync(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });

const ms = (x) => (x === undefined ? "?" : x >= 100 ? x.toFixed(0) : x.toFixed(1));
const ratio = (a, b) => (a / b).toFixed(2);
const rows = [
  ["waits in the middle of a task (JSPI)", (g) => (g.factors?.yields === undefined ? "?" : g.factors.yields ? "yes" : "no")],
  ["20 random numbers factored by the first demo's JavaScript function, ms", (g) => ms(g.factors?.js)],
  ["the same by payloads/factor (same algorithm: no cut-off at the root), ms", (g) => ms(g.factors?.wasm)],
  ["JavaScript / wasm", (g) => (g.factors ? ratio(g.factors.js, g.factors.wasm) : "?")],
  ["payloads/lab-cpu in one segment, first run / later runs", (g) => (g.warmth ? ratio(g.warmth.cold, g.warmth.warm) : "?")],
  ["the same in segments of 40 M fuel, first run / later runs", (g) => (g.segmented ? ratio(g.segmented.cold, g.segmented.warm) : "?")],
  ["start of a segment, compiled, µs", (g) => ms(g.segments?.micros)],
  ["a refill, µs", (g) => ms(g.refill?.micros)],
  ["stop of a busy program, ms, five times", (g) => (g.stops ? `${g.stops.millis.map(ms).join(", ")}${g.stops.seen ? "" : " (cut off)"}` : "?")],
];
const line = (cells) => `| ${cells.join(" | ")} |`;
const table = [line(["", ...all.map((g) => g.name)]), line(["---", ...all.map(() => "---:")]), ...rows.map(([what, of]) => line([what, ...all.map(of)]))].join("\n");
console.log(options.json ? JSON.stringify(all) : table);
for (const g of all) if (g.failed) console.error(g.failed);
if (options.write) {
  const before = existsSync(options.write) ? readFileSync(options.write, "utf8") : "";
  const rest = before.includes("<!-- browsers -->") ? before.split("<!-- browsers -->") : ["# Speed of the host\n\n", "\n"];
  const text = `<!-- browsers -->\nIn browsers, ${new Date().toISOString().slice(0, 10)}, ${cpus()[0].model.trim()}, ${cpus().length} cores; ${all.map((g) => g.version).join("; ")}:\n\n${table}\n`;
  writeFileSync(options.write, rest[0] + text + "<!-- browsers -->" + (rest[2] ?? rest[1]));
}
process.exit(all.some((g) => g.failed) ? 1 : 0);
