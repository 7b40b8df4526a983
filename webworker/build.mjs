// Builds dist/countersign.js, the one file that pages include, and
// dist/results.js, the script of the hub's page of results. The runner is
// bundled first and put into the frame's script as text, the frame into the
// loader: a worker or frame loaded by its own address would not be covered by
// the integrity hash of the loader.
//
//   node build.mjs           build dist
//   node build.mjs --tests   bundle test/*.test.ts and ../test/e2e/*.test.ts into .test for node --test

import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { bundle, frameDocument, source } from "./bundle.mjs";

process.chdir(dirname(fileURLToPath(import.meta.url)));

// The aim is 20 KiB. What it takes to follow policies, to go on with other
// people's work, and to check inputs and proofs, is above it.
const maxGzipped = 32 * 1024;

/** Builds the loader into a folder. Options are for the runner. */
async function buildLoader(outdir, options = {}) {
  const runner = await bundle("src/runner.ts", {}, options);
  const frame = await bundle("src/frame.ts", { runner });
  const style = await bundle("src/panel.css", {});
  const loader = await bundle("src/loader.ts", { frame: frameDocument(frame), style });
  await mkdir(outdir, { recursive: true });
  await writeFile(`${outdir}/countersign.js`, loader);
  await writeFile(`${outdir}/frame.sha256`, source("sha256", frame) + "\n");
  return loader;
}

async function buildDist() {
  const loader = await buildLoader("dist");
  await writeFile("dist/results.js", await bundle("src/results.ts", {}));
  const gzipped = gzipSync(loader, { level: 9 }).length;
  console.log(`dist/countersign.js: ${loader.length} bytes, ${gzipped} gzipped, ${source("sha384", loader)}`);
  if (gzipped > maxGzipped) throw new Error(`the loader is over its limit of ${maxGzipped} bytes gzipped`);
}

/** Bundles the tests of one folder, for a Node that reads no TypeScript. */
async function buildTests(folder, outdir) {
  const entryPoints = (await readdir(folder)).filter((f) => f.endsWith(".test.ts")).map((f) => `${folder}/${f}`);
  if (entryPoints.length === 0) throw new Error(`${folder}: no tests`);
  await build({
    entryPoints,
    bundle: true,
    platform: "node",
    packages: "external",
    target: ["node20"],
    format: "esm",
    sourcemap: "inline",
    outdir,
    outExtension: { ".js": ".mjs" },
    logLevel: "warning",
  });
}

if (process.argv.includes("--tests")) {
  await rm(".test", { recursive: true, force: true });
  await buildTests("test", ".test/unit");
  await buildTests("../test/e2e", ".test/e2e");
  // The loader as it is where modules cannot wait, for the tests of its other half.
  await buildLoader(".test/without-jspi", { banner: { js: "delete WebAssembly.Suspending;" } });
} else await buildDist();
