// What is compared: the golden cases of every payload, and the shared vectors.
import { readdirSync, readFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const read = (path) => readFileSync(join(root, path));

function goldenFiles(folder) {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((e) => {
    const path = `${folder}/${e.name}`;
    if (e.isDirectory()) return goldenFiles(path);
    return e.name === "golden.json" ? [path] : [];
  });
}

/** The golden cases, with what must come of them. */
function payloadCases() {
  return goldenFiles("payloads").sort().flatMap((file) => {
    const folder = dirname(file);
    return JSON.parse(read(file)).map((g) => ({
      ...g,
      name: `${folder.slice("payloads/".length)} ${g.name}`,
      module: `${folder}/${g.module}`,
      input: typeof g.input === "string" ? (g.input === "" ? "" : `${folder}/${g.input}`) : g.input,
      want: {
        end: g.end, code: g.code, fuel: g.fuel, segments: g.segments, transcript: g.transcript,
        output: g.output.startsWith("sha256:") ? g.output.slice(7) : sha256(g.output === "" ? "" : read(`${folder}/${g.output}`)),
      },
    }));
  });
}

const vectorsOf = (folder) =>
  readdirSync(join(root, "testdata/vectors", folder)).filter((f) => f.endsWith(".json")).sort()
    .map((f) => JSON.parse(read(`testdata/vectors/${folder}/${f}`)));

/** Files that cases have inside of them, by the name under which they are served. */
export const inline = new Map();

function segmentCases() {
  return vectorsOf("segments").map((v) => {
    const file = (what, base64) => {
      const name = `segments/${v.name}.${what}`;
      inline.set(name, Buffer.from(base64, "base64"));
      return name;
    };
    const { task_fuel, segment_fuel, memory_pages, output_bytes } = v;
    return {
      name: `segments ${v.name}`, module: file("wasm", v.module), args: [], input: file("input", v.input), seed: v.seed,
      limits: { task_fuel, segment_fuel, memory_pages, output_bytes },
      want: {
        end: v.end, code: v.code, fuel: v.fuel, segments: v.links.length, transcript: v.links.at(-1),
        output: sha256(Buffer.from(v.output, "base64")),
      },
    };
  });
}

export const cases = [...payloadCases(), ...segmentCases()];
export const vectors = vectorsOf("abi");

export const file = (name) => (name === "" ? Buffer.alloc(0) : inline.get(name) ?? read(name));
