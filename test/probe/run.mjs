// run.mjs [--json] [--only BROWSER]: puts a probe in the place of the runner and
// has it try every way to the network, the page, storage and other workers, in
// every browser that is here. Exits with 1 if one led anywhere, or if a server
// heard of one, or if the same ways led nowhere from an ordinary worker.
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createHash } from "node:crypto";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { bundle, frameDocument } from "../../webworker/bundle.mjs";
import { browsers, closeAll } from "../conformance/browsers.mjs";
import { serve, visit } from "../conformance/visit.mjs";

const { values: options } = parseArgs({ options: { json: { type: "boolean" }, only: { type: "string" } } });
const here = dirname(fileURLToPath(import.meta.url));
const dir = mkdtempSync(join(tmpdir(), "countersign-probe-"));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => (closeAll(), process.exit(130)));

const worker = await bundle(join(here, "worker.ts"), {});
const frame = frameDocument(await bundle(join(here, "../../webworker/src/frame.ts"), { runner: worker }));
const page = await bundle(join(here, "page.ts"), { frame });

/** What the servers heard that nobody should have asked for. */
let heard = [];
const stranger = createServer((socket) => {
  heard.push("a connection to another server");
  socket.on("error", () => {}); // the browser may be gone before this
  socket.end("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
});
await new Promise((resolve) => stranger.listen(0, "127.0.0.1", resolve));
const script = ["postMessage({ ok: 'from the server' })", "text/javascript"];
const site = await serve((path) => {
  if (path === "/") return ["<!doctype html><meta charset=utf-8><title>Probe</title><link rel=icon href=data:,><body><script src=/page.js></script>", "text/html"];
  if (path === "/page.js") return [page, "text/javascript"];
  if (path === "/worker.js") return [worker, "text/javascript"];
  if (path === "/about") return [JSON.stringify({ stranger: `http://127.0.0.1:${stranger.address().port}` }), "application/json"];
  if (path.startsWith("/canary/") || path === "/redirect") {
    heard.push(path);
    return path.endsWith(".js") ? script : path.endsWith("events") ? [": open\n\n", "text/event-stream"] : ["x", "text/plain"];
  }
  return undefined;
}, (q) => q.url !== "/favicon.ico" && heard.push(q.url));
site.server.on("upgrade", (q, socket) => {
  heard.push(q.url);
  const accept = createHash("sha1").update(q.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest("base64");
  socket.on("error", () => {});
  socket.end(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
});

const problems = [];
/** What may lead somewhere: harmless in ways.ts. */
const harmless = "its own code";
/** How many ways at least an ordinary worker must find open, or the probe would show nothing. */
const leastOpen = 15;

const columns = [];
for (const b of browsers) {
  if (options.only && !options.only.split(",").includes(b.name)) continue;
  if (!existsSync(b.program)) {
    problems.push(`${b.name} is not here: ${b.program} is missing`);
    continue;
  }
  const column = { name: b.name, version: b.version() };
  try {
    await visit(site, b, dir, 5 * 60_000, (m) => {
      if (m.begins) heard = [];
      if (m.told) column[m.name] = { told: m.told, heard: [...new Set(heard)], onChannel: m.heard };
    });
    columns.push(column);
  } catch (e) {
    problems.push(e.message);
  }
}
site.close();
stranger.close();
rmSync(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });

const of = (c, way) => c.sandbox.told.find((t) => t.way === way);
for (const c of columns) {
  const open = c["ordinary worker"].told.filter((t) => t.reached);
  if (open.length < leastOpen) problems.push(`${c.name}: only ${open.length} ways are open to an ordinary worker; the probe is worth nothing`);
  if (c["ordinary worker"].heard.length < 5) problems.push(`${c.name}: the servers heard ${c["ordinary worker"].heard.length} requests of an ordinary worker; they hear nothing`);
  for (const t of c.sandbox.told) if (t.reached && t.what !== harmless) problems.push(`${c.name}: ${t.way} led to: ${t.how}`);
  for (const h of c.sandbox.heard) problems.push(`${c.name}: a server heard of ${h}`);
  if (c.sandbox.onChannel > 0) problems.push(`${c.name}: the page heard the probe`);
}
if (options.json) console.log(JSON.stringify({ problems, columns }));
else if (columns.length > 0) {
  console.log(`| reaching for | by | ${columns.map((c) => `${c.name}: sandbox | ${c.name}: ordinary worker`).join(" | ")} |`);
  console.log(`| --- | --- |${" --- | --- |".repeat(columns.length)}`);
  const cell = (t) => (t === undefined ? "?" : t.reached ? (t.what === harmless ? "runs" : "**REACHED**") : `blocked: ${t.how.replace(/[|\n]/g, " ").slice(0, 50)}`);
  for (const { what, way } of columns[0].sandbox.told) {
    console.log(`| ${what} | ${way} | ${columns.map((c) => `${cell(of(c, way))} | ${c["ordinary worker"].told.find((t) => t.way === way)?.reached ? "open" : `closed: ${c["ordinary worker"].told.find((t) => t.way === way)?.how}`}`).join(" | ")} |`);
  }
  for (const c of columns) {
    const { told, heard } = c.sandbox;
    console.log(`\n${c.version}: ${told.length} ways tried, ${told.filter((t) => t.reached && t.what !== harmless).length} led anywhere, servers heard ${heard.length} requests. ` +
      `From an ordinary worker ${c["ordinary worker"].told.filter((t) => t.reached).length} are open, and servers heard ${c["ordinary worker"].heard.length}.`);
  }
}
for (const p of problems) console.error(`not blocked: ${p}`);
process.exit(problems.length > 0 ? 1 : 0);
