// Reads the vectors that Go and TypeScript share. Every folder says in INDEX
// how many there are, so that a test of none fails.

import assert from "node:assert/strict";
import test from "node:test";
import { readdirSync, readFileSync } from "node:fs";
import { check, type Vector } from "./checks.ts";

export type { Vector };

const root = "../testdata/vectors"; // npm starts the tests in webworker

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

/** A test for each vector of a folder, but those of the hub's side. */
export function shared(folder: string): void {
  for (const v of vectors(folder)) {
    test(`${folder} vector: ${text(v, "name")}`, async () => {
      assert.equal((await check(folder, v)) ?? "", "");
    });
  }
}
