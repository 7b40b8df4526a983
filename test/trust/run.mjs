// run.mjs [--json]: every shared vector of the trust chain, read by Go, node,
// Chromium and Firefox, counted by folder. Exits with 1 if one is wrong
// somewhere, or is read by fewer than it is for.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { bundle } from "../../webworker/bundle.mjs";
import { browsers, closeAll } from "../conformance/browsers.mjs";
import { serve, visit } from "../conformance/visit.mjs";

const { values: options } = parseArgs({ options: { json: { type: "boolean" } } });
const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../..");
const dir = mkdtempSync(join(tmpdir(), "countersign-trust-"));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => (closeAll(), process.exit(130)));

/** Folder, and the Go test whose subtests are its vectors. */
const folders = {
  statement: ["./release", "TestVectors"], trust: ["./release", "TestTrustVectors"], input: ["./release", "TestInputVectors"],
  log: ["./internal/translog", "TestVectors"], wire: ["./internal/wire", "TestVectors"], abi: ["./internal/sandbox", "TestVectors"],
};
const vectors = Object.fromEntries(Object.keys(folders).map((f) => {
  const path = join(root, "testdata/vectors", f);
  return [f, readdirSync(path).filter((n) => n.endsWith(".json")).sort().map((n) => JSON.parse(readFileSync(join(path, n), "utf8")))];
}));
const expected = Object.fromEntries(Object.keys(folders).map((f) => [f, Number(readFileSync(join(root, "testdata/vectors", f, "INDEX"), "utf8"))]));
/** Bad messages and signatures that only a hub reads. */
const hubs = { wire: vectors.wire.filter((v) => ["to_hub", "vote", "sheet", "refutation", "checkpoint", "join"].includes(v.kind) && v.class !== "ok").length };

const problems = [];
const columns = [];

/** Counts the subtests that passed. */
function go() {
  const passed = {};
  for (const [folder, [pkg, name]] of Object.entries(folders)) {
    const ran = spawnSync("go", ["test", pkg, "-count=1", "-run", `^${name}$`, "-json"], { cwd: root, encoding: "utf8", maxBuffer: 1 << 28 });
    const events = ran.stdout.split("\n").filter((l) => l.startsWith("{")).map((l) => JSON.parse(l));
    passed[folder] = events.filter((e) => e.Action === "pass" && e.Test?.startsWith(`${name}/`)).length;
    if (ran.status !== 0) problems.push(`Go: ${name} of ${pkg} fails: ${ran.stderr}${events.filter((e) => e.Action === "output").map((e) => e.Output).join("").slice(-2000)}`);
  }
  return passed;
}

async function node() {
  writeFileSync(join(dir, "checks.mjs"), await bundle(join(root, "webworker/test/checks.ts"), {}, { format: "esm" }));
  const { check } = await import(pathToFileURL(join(dir, "checks.mjs")));
  const passed = {};
  for (const [folder, all] of Object.entries(vectors)) {
    passed[folder] = 0;
    for (const v of all) {
      const wrong = await check(folder, v);
      if (wrong === "") passed[folder]++;
      else if (wrong !== null) problems.push(`node: ${folder} vector ${v.name}: ${wrong}`);
    }
  }
  return passed;
}

const page = await bundle(join(here, "page.ts"), {});
const site = await serve((path) => {
  if (path === "/") return ["<!doctype html><meta charset=utf-8><title>Vectors</title><link rel=icon href=data:,><script src=/page.js></script>", "text/html"];
  if (path === "/page.js") return [page, "text/javascript"];
  if (path === "/vectors") return [JSON.stringify(vectors), "application/json"];
  return undefined;
});

columns.push({ name: "Go", passed: go() }, { name: "node", passed: await node() });
for (const b of browsers.filter((b) => b.name !== "WebKit")) {
  if (!existsSync(b.program)) {
    problems.push(`${b.name} is not here: ${b.program} is missing`);
    continue;
  }
  const passed = {};
  try {
    await visit(site, b, dir, 5 * 60_000, (m) => {
      if (m.folder === undefined) return;
      passed[m.folder] = m.passed;
      for (const w of m.wrong) problems.push(`${b.name}: ${m.folder} vector ${w}`);
    });
  } catch (e) {
    problems.push(e.message);
  }
  columns.push({ name: b.name, version: b.version(), passed });
}
site.close();
rmSync(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });

for (const [folder, all] of Object.entries(vectors)) {
  if (all.length !== expected[folder] || all.length === 0) problems.push(`${folder}: ${all.length} vectors, its INDEX says ${expected[folder]}`);
  for (const c of columns) {
    const want = c.name === "Go" ? all.length : all.length - (hubs[folder] ?? 0);
    if (c.passed[folder] !== want) problems.push(`${c.name}: ${c.passed[folder] ?? 0} of ${want} vectors of ${folder}`);
  }
}
if (options.json) console.log(JSON.stringify({ expected, hubs, columns, problems }));
else {
  const line = (cells) => `| ${cells.join(" | ")} |`;
  console.log(line(["vectors", "files", ...columns.map((c) => c.name)]));
  console.log(line(["---", "---:", ...columns.map(() => "---:")]));
  for (const folder of Object.keys(folders)) console.log(line([folder, expected[folder], ...columns.map((c) => c.passed[folder] ?? 0)]));
  const total = (of) => Object.values(of).reduce((n, x) => n + x, 0);
  console.log(line(["all", total(expected), ...columns.map((c) => total(c.passed))]));
  console.log(`\n${hubs.wire} of the wire vectors are bad messages to a hub, which browsers never read.`);
}
for (const p of problems) console.error(`wrong: ${p}`);
process.exit(problems.length > 0 ? 1 : 0);
