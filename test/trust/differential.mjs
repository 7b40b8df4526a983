// differential.mjs [N] [SEED]: N random mutations of single statements, and N of
// whole chains of trust, opened by Go, by TypeScript, and, for the signatures of
// the single ones, by the minisign program. All must agree.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { bundle } from "../../webworker/bundle.mjs";

const n = Number(process.argv[2] ?? 3000);
const seed = Number(process.argv[3] ?? Date.now() % 2 ** 31);
const here = dirname(fileURLToPath(import.meta.url));
const dir = mkdtempSync(join(tmpdir(), "countersign-differential-"));
const load = async (entry) => {
  const file = join(dir, `${entry.split("/").at(-1)}.mjs`);
  writeFileSync(file, await bundle(join(here, entry), {}, { format: "esm", platform: "node", minify: false }));
  return import(pathToFileURL(file));
};
const { mutants } = await load("mutants.ts");
const { check } = await load("../../webworker/test/checks.ts");

const cases = mutants(seed, n);
const problems = [];
const classes = {};
for (const [folder, all] of Object.entries(cases)) {
  const ran = spawnSync("go", ["run", "./test/trust/opener"], { cwd: join(here, "../.."), input: JSON.stringify(all), encoding: "utf8", maxBuffer: 1 << 28 });
  if (ran.status !== 0) throw new Error(`opener: ${ran.stderr}`);
  const go = JSON.parse(ran.stdout);
  for (const [i, v] of all.entries()) {
    v.class = go[i];
    classes[go[i]] = (classes[go[i]] ?? 0) + 1;
    const wrong = await check(folder, v);
    if (wrong !== "") problems.push(`${folder} ${i}: Go says ${go[i]}, TypeScript: ${wrong}`);
  }
}

// minisign knows signatures only, and takes more spellings of them than we do:
// what it refuses we must refuse for the signature, and what it takes we may
// refuse only for the spelling, the legacy algorithm, or what is written.
let asked = 0;
let taken = 0;
for (const [i, v] of cases.statement.slice(0, 500).entries()) {
  const [file, signature] = [join(dir, "statement"), join(dir, "signature")];
  writeFileSync(file, Buffer.from(v.statement, "base64"));
  writeFileSync(signature, Buffer.from(v.signature, "base64"));
  const ran = spawnSync("minisign", ["-qVm", file, "-x", signature, "-P", v.keys[0]]);
  if (ran.error) throw ran.error;
  asked++;
  const good = ran.status === 0;
  if (good) taken++;
  const bySignature = ["signature_unknown_key", "signature_invalid"].includes(v.class);
  const byForm = v.class.startsWith("signature_") && !bySignature;
  if (good && bySignature) problems.push(`statement ${i}: minisign takes the signature, we say ${v.class}`);
  if (!good && !bySignature && !byForm) problems.push(`statement ${i}: minisign refuses the signature, we say ${v.class}`);
}
rmSync(dir, { recursive: true, force: true });
console.log(`seed ${seed}: ${n} statements and ${n} chains of trust, the same class in Go and TypeScript: ${2 * n - problems.length}`);
console.log(`classes: ${Object.entries(classes).sort((a, b) => b[1] - a[1]).map(([c, k]) => `${c} ${k}`).join(", ")}`);
console.log(`minisign was asked about ${asked} signatures, and takes ${taken}`);
for (const p of problems.slice(0, 20)) console.error(`differs: ${p}`);
process.exit(problems.length > 0 ? 1 : 0);
