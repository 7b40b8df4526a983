// Has V8 validate every file of a folder: node validate.mjs DIR prints a line
// of name and verdict for each.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

for (const name of readdirSync(process.argv[2])) {
  console.log(name, WebAssembly.validate(readFileSync(join(process.argv[2], name))) ? 'valid' : 'invalid');
}
