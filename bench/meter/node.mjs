// node.mjs ROUNDS SLICE: reads lines of module files from standard input, and
// prints for each line the least seconds of each, as JSON.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { pairs } from "./pairs.mjs";

const [rounds, slice] = process.argv.slice(2).map(Number);
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(pairs(line.split(" ").map((f) => readFileSync(f)), rounds, slice)));
}
