// The deterministic host: the shared vectors of the ABI.

import assert from "node:assert/strict";
import test from "node:test";
import { checkVector } from "./abi.ts";
import { text, vectors } from "./vectors.ts";

for (const v of vectors("abi")) {
  test(`abi vector: ${text(v, "name")}`, () => assert.equal(checkVector(v), null));
}
