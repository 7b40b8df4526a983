// stack.mjs SIGNER: how deep calls can nest in node, Chromium and Firefox, as the
// total weight of the frames by the metering pass's reckoning. Prints a table.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { shapes } from "./shapes.mjs";

const all = shapes(process.argv[2]);
const modules = JSON.stringify(all.map((s) => s.module));
const here = (name) => new URL(name, import.meta.url);

const page = `<!doctype html><script type="module">
import { depths } from "/depth.mjs";
const modules = await (await fetch("/modules")).json();
const worker = new Worker("/worker.mjs", { type: "module" });
worker.onmessage = ({ data }) => fetch("/done", { method: "POST", body: JSON.stringify({ main: depths(modules), worker: data }) });
worker.postMessage(modules);
</script>`;
const worker = `import { depths } from "/depth.mjs"; onmessage = ({ data }) => postMessage(depths(data));`;

let done;
const server = createServer((q, r) => {
  const answer = { "/": [page, "text/html"], "/depth.mjs": [readFileSync(here("depth.mjs")), "text/javascript"], "/worker.mjs": [worker, "text/javascript"], "/modules": [modules, "application/json"] }[q.url];
  if (answer) return r.setHeader("content-type", answer[1]), r.end(answer[0]);
  let body = "";
  q.on("data", (d) => (body += d)).on("end", () => (r.end(), q.url === "/done" && done(JSON.parse(body))));
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const url = `http://127.0.0.1:${server.address().port}/`;

/** Starts a browser on the page and waits for what it finds. */
async function browser(command, args) {
  const result = new Promise((resolve, reject) => {
    done = resolve;
    setTimeout(() => reject(new Error(`${command}: no answer after two minutes`)), 120_000).unref();
  });
  const process = spawn(command, args, { stdio: "ignore", detached: true });
  try {
    return await result;
  } finally {
    globalThis.process.kill(-process.pid, "SIGKILL");
  }
}

async function chromium(flags) {
  const profile = mkdtempSync(join(tmpdir(), "stack-"));
  try {
    return await browser("/usr/bin/chromium", ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync", `--user-data-dir=${profile}`, `--js-flags=${flags}`, url]);
  } finally {
    rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}

async function firefox(prefs) {
  const profile = mkdtempSync(join(tmpdir(), "stack-"));
  try {
    writeFileSync(join(profile, "user.js"), Object.entries({ ...prefs, "browser.shell.checkDefaultBrowser": false, "datareporting.policy.dataSubmissionEnabled": false })
      .map(([k, v]) => `user_pref(${JSON.stringify(k)}, ${v});\n`).join(""));
    return await browser("firefox-esr", ["--headless", "--no-remote", "--profile", profile, url]);
  } finally {
    rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}

function node(...flags) {
  const script = `import { depths } from ${JSON.stringify(here("depth.mjs").href)}; import { readFileSync } from "node:fs"; console.log(JSON.stringify(depths(JSON.parse(readFileSync(0)))));`;
  return { main: JSON.parse(execFileSync("node", [...flags, "--input-type=module", "-e", script], { input: modules, maxBuffer: 1 << 26 })) };
}

const found = {};
const add = (name, r) => {
  found[name + (r.worker ? ", page" : "")] = r.main;
  if (r.worker) found[name + ", worker"] = r.worker;
};
add("node, baseline", node("--liftoff-only"));
add("node, optimised", node("--no-liftoff"));
add("Chromium, baseline", await chromium("--liftoff-only"));
add("Chromium, optimised", await chromium("--no-liftoff --no-wasm-lazy-compilation"));
if (existsSync("/usr/bin/firefox-esr")) {
  add("Firefox, baseline", await firefox({ "javascript.options.wasm_optimizingjit": false }));
  add("Firefox, optimised", await firefox({ "javascript.options.wasm_baselinejit": false }));
}
server.close();

const names = Object.keys(found);
const kib = (s, depth) => Math.round((s.weight * depth) / 1024);
console.log(`| frame | weight | ${names.join(" | ")} |\n| --- | ---: |${" ---: |".repeat(names.length)}`);
all.forEach((s, i) => console.log(`| ${s.name} | ${s.weight} | ${names.map((n) => kib(s, found[n][i])).join(" | ")} |`));
console.log(`| **least** | | ${names.map((n) => "**" + Math.min(...all.map((s, i) => kib(s, found[n][i]))) + "**").join(" | ")} |`);
process.exit(0);
