// How the loader's parts are put together; for build.mjs, and for what tries or
// measures one of the parts in the place that it has in the loader.

import { createHash } from "node:crypto";
import { build } from "esbuild";

/** Bundles one entry file to text; texts replaces the imports named "embed:NAME". */
export async function bundle(entry, texts, options = {}) {
  const embed = {
    name: "embed",
    setup(b) {
      b.onResolve({ filter: /^embed:/ }, (a) => ({ path: a.path.slice("embed:".length), namespace: "embed" }));
      b.onLoad({ filter: /.*/, namespace: "embed" }, (a) => ({ contents: texts[a.path], loader: "text" }));
    },
  };
  const result = await build({
    entryPoints: [entry],
    bundle: true,
    minify: true,
    write: false,
    format: "iife",
    target: ["es2022"],
    charset: "ascii",
    legalComments: "none",
    plugins: [embed],
    logLevel: "warning",
    ...options,
  });
  return result.outputFiles[0].text;
}

export const source = (algorithm, text) => `${algorithm}-${createHash(algorithm).update(text).digest("base64")}`;

/** The frame's document: its policy, then its script, which that policy names by hash. */
export function frameDocument(script) {
  if (/<\/script|<!--/i.test(script)) throw new Error("the frame's script would end its own element");
  const policy = [
    "default-src 'none'",
    "connect-src blob:",
    "worker-src blob:",
    `script-src '${source("sha256", script)}' 'wasm-unsafe-eval'`,
  ].join("; ");
  return `<!doctype html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${policy}"><script>${script}</script>`;
}
