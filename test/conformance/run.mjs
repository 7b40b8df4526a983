// run.mjs [--json] [--write FILE] [--only NAME,…]: runs every payload's golden
// cases and the shared vectors in every engine that is here, and prints one
// table. Exits with 1 if any outcome is another than it should be.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { browsers, closeAll, version } from "./browsers.mjs";
import { cases, file, root, vectors } from "./cases.mjs";

const { values: options } = parseArgs({ options: { json: { type: "boolean" }, write: { type: "string" }, only: { type: "string" } } });
const { build } = createRequire(join(root, "webworker/package.json"))("esbuild");
const here = join(root, "test/conformance");
const patience = 15 * 60_000; // for one engine
const dir = mkdtempSync(join(tmpdir(), "conformance-"));

/** The slow engine leaves out what takes more fuel than this. */
const interpreterFuel = 1e8;

const bundle = (entry, options) => build({ entryPoints: [join(here, entry)], bundle: true, write: true, target: "es2022", logLevel: "warning", ...options });
await bundle("worker.ts", { outfile: join(dir, "worker.js"), format: "iife" });
await bundle("page.ts", { outfile: join(dir, "page.js"), format: "iife" });
await bundle("worker.ts", { outfile: join(dir, "worker.mjs"), format: "esm", platform: "node" });

function say(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

let listen = () => {};
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => (closeAll(), process.exit(130)));
const page = `<!doctype html><meta charset="utf-8"><title>Conformance</title><script src="/page.js"></script>`;
const server = createServer((q, r) => {
  const path = decodeURIComponent(q.url);
  if (q.method === "POST") {
    let body = "";
    q.on("data", (d) => (body += d)).on("end", () => (r.end(), listen(JSON.parse(body))));
    return;
  }
  const send = (body, type) => (r.setHeader("content-type", type), r.end(body));
  if (path === "/") return send(page, "text/html");
  if (path === "/page.js" || path === "/worker.js") return send(readFileSync(join(dir, path.slice(1))), "text/javascript");
  if (path === "/cases") return send(JSON.stringify({ cases: cases.map(({ want, ...c }) => c), vectors }), "application/json");
  if (path.startsWith("/file/")) return send(file(path.slice(6)), "application/octet-stream");
  r.statusCode = 404;
  r.end();
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const url = `http://127.0.0.1:${server.address().port}/`;

/** Opens the page in a browser and collects what it tells. */
async function collect(name, open) {
  const got = { found: new Map(), vectors: null, longest: 0 };
  const browser = open(url, dir);
  try {
    await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${name}: not done after ${patience / 60_000} minutes, ${got.found.size} of ${cases.length} cases`)), patience);
      browser.ended.then((why) => reject(new Error(`${name}: ${why}`)));
      listen = (m) => {
        if (m.failed) reject(new Error(`${name}: ${m.failed}`));
        if (m.vectors) got.vectors = m.vectors;
        if (m.found) got.found.set(m.found.name, m.found);
        say(`${name}: ${got.found.size} of ${cases.length}`);
        if (m.done) {
          clearTimeout(timer);
          got.longest = m.done.longest;
          resolve();
        }
      };
    });
  } finally {
    listen = () => {};
    browser.close();
  }
  return got;
}

async function node() {
  const { runCase, wrongVectors } = await import(pathToFileURL(join(dir, "worker.mjs")));
  const found = new Map();
  for (const c of cases) {
    say(`node: ${found.size} of ${cases.length}`);
    found.set(c.name, await runCase(c, Uint8Array.from(file(c.module)), inputOf(c)));
  }
  return { found, vectors: wrongVectors(vectors), longest: 0 };
}

function inputOf(c) {
  if (typeof c.input === "string") return Uint8Array.from(file(c.input));
  const text = Buffer.from(c.input.repeat);
  return Uint8Array.from(Buffer.alloc(c.input.bytes, text));
}

/** Both engines of wazero, in a Go program of their own. */
function wazero(interpreter) {
  const some = cases.filter((c) => !interpreter || c.want.fuel <= interpreterFuel);
  const tasks = some.map((c) => ({
    name: c.name, module: Buffer.from(file(c.module)).toString("base64"), input: Buffer.from(inputOf(c)).toString("base64"),
    args: c.args, seed: c.seed, limits: c.limits,
  }));
  const program = join(dir, "wazero");
  if (!existsSync(program)) {
    const built = spawnSync("go", ["build", "-o", program, "./test/conformance/wazero"], { cwd: root, encoding: "utf8" });
    if (built.status !== 0) throw new Error(`building the wazero program: ${built.stderr}`);
  }
  const ran = spawnSync(program, interpreter ? ["-interpreter"] : [], { input: JSON.stringify(tasks), encoding: "utf8", maxBuffer: 1 << 28, timeout: patience });
  if (ran.status !== 0) throw new Error(`wazero: ${ran.error ?? ran.stderr}`);
  return { found: new Map(JSON.parse(ran.stdout).map((f) => [f.name, f])), vectors: null, longest: 0 };
}

const engines = [
  ["wazero compiler", "go", () => wazero(false), () => version("go", "version")],
  ["wazero interpreter", "go", () => wazero(true), () => ""],
  ["node", "node", node, () => `node ${process.version}, V8 ${process.versions.v8}`],
  ...browsers.map((b) => [b.name, b.program, () => collect(b.name, b.open), b.version]),
].filter(([name]) => !options.only || options.only.split(",").includes(name));

const columns = [];
const failures = [];
for (const [name, needs, run, which] of engines) {
  if (needs.startsWith("/") && !existsSync(needs)) {
    failures.push(`${name} is not here: ${needs} is missing`);
    continue;
  }
  const began = Date.now();
  try {
    const got = await run();
    columns.push({ name, version: which(), seconds: (Date.now() - began) / 1000, ...got });
    if (got.vectors) failures.push(...got.vectors.map((v) => `${name}, vector ${v}`));
  } catch (e) {
    failures.push(String(e instanceof Error ? e.message : e));
  }
}
say("");
server.close();
server.closeAllConnections();
rmSync(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });

const keys = ["end", "code", "fuel", "segments", "transcript", "output"];
const rows = cases.map((c) => {
  const cells = columns.map((e) => {
    const f = e.found.get(c.name);
    if (f === undefined && e.name === "wazero interpreter") return "–";
    if (f === undefined) return "missing";
    const other = keys.filter((k) => f[k] !== c.want[k]);
    if (other.length === 0) return "=";
    return other.map((k) => `${k} ${f[k]}`).join(", ") + (f.detail ? ` (${f.detail})` : "");
  });
  cells.forEach((cell, i) => {
    if (cell !== "=" && cell !== "–") failures.push(`${c.name} in ${columns[i].name}: ${cell}`);
  });
  return [c.name, `${c.want.end}${c.want.end === "exit" ? ` ${c.want.code}` : ""}`, String(c.want.fuel), String(c.want.segments), c.want.transcript.slice(0, 12), ...cells];
});

const head = ["case", "end", "fuel", "segments", "transcript", ...columns.map((c) => c.name)];
const line = (cells) => `| ${cells.join(" | ")} |`;
const table = [line(head), line(head.map((_, i) => (i === 2 || i === 3 ? "---:" : "---"))), ...rows.map(line)].join("\n");
const counts = columns.filter((c) => c.vectors).map((c) => `${c.name} ${vectors.length - c.vectors.length}`).join(", ");
const summary = [
  `${cases.length} runs, ${vectors.length} vectors of the ABI (${counts}; those of wazero's host are in \`go test ./internal/sandbox\`).`,
  `Longest time that a page did not answer meanwhile: ${columns.filter((c) => c.longest).map((c) => `${c.name} ${c.longest} ms`).join(", ")}.`,
  `Seconds: ${columns.map((c) => `${c.name} ${c.seconds.toFixed(0)}`).join(", ")}.`,
];

if (options.json) console.log(JSON.stringify({ cases: cases.length, vectors: vectors.length, failures, engines: columns.map(({ found, ...c }) => ({ ...c, found: [...found.values()] })) }));
else console.log(`${table}\n\n${summary.join("\n")}`);
for (const f of failures) console.error(`not equal: ${f}`);
if (options.write && failures.length === 0) {
  writeFileSync(options.write, `# Engine against engine

Every payload's golden cases and the segment vectors, run with the code that volunteers run, in every engine. A cell is \`=\` if end, code, fuel, segments, transcript and output are those on the left; \`–\`: left out, because it takes that engine too long (over ${interpreterFuel.toExponential(0)} fuel).
Written by \`make conformance\`, which fails if anything differs. Its figures are of ${new Date().toISOString().slice(0, 10)}, on ${columns.map((c) => c.version).filter(Boolean).join("; ")}.

${table}

${summary.join("\n\n")}
`);
}
process.exit(failures.length > 0 ? 1 : 0);
