// node.mjs ROUNDS SLICE MODULE...: prints the least seconds of each, as JSON.
import { readFileSync } from "node:fs";
import { pairs } from "./pairs.mjs";

const [rounds, slice, ...files] = process.argv.slice(2);
console.log(JSON.stringify(pairs(files.map((f) => readFileSync(f)), Number(rounds), Number(slice))));
