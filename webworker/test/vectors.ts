// Reads the vectors that Go and TypeScript share. Every folder says in INDEX
// how many there are, so that a test of none fails.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";

const root = "../testdata/vectors"; // npm starts the tests in webworker

export type Vector = Record<string, unknown>;

export function vectors(folder: string): Vector[] {
  const path = `${root}/${folder}`;
  const files = readdirSync(path).filter((f) => f.endsWith(".json"));
  const expected = Number(readFileSync(`${path}/INDEX`, "utf8").trim());
  assert.ok(expected > 0, `${path}/INDEX says how many there are`);
  assert.equal(files.length, expected, `${path}: number of vectors`);
  return files.map((f) => JSON.parse(readFileSync(`${path}/${f}`, "utf8")) as Vector);
}

export function text(v: Vector, name: string): string {
  const s = v[name];
  assert.equal(typeof s, "string", `vector "${String(v["name"])}": member ${name}`);
  return s as string;
}
