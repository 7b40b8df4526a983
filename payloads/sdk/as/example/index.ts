// {{name}} reads numbers from 1 to 10,000,000,000, one a line. For each it writes
// which start up to that number has the longest Collatz sequence, and how many
// steps that takes to 1.
//
// It may take long, so it runs in segments: when one is due to end it gives its
// state away, and the next, in a fresh instance, goes on from there.
//
// console, process and the like are @assemblyscript/wasi-shim's.

import { checkpoint, progress, restore, segmentDue } from "./countersign";

/** Up to where sequences stay below 2^64. */
const limit: u64 = 10_000_000_000;

/** What a later segment needs to go on, as 8 bytes each. */
class State {
  next: u64 = 1; // start to try
  best: u64 = 1;
  steps: u64 = 0;

  constructor(public lines: u64) {} // finished

  static restore(): State {
    const saved = Uint64Array.wrap(restore());
    const s = new State(0);
    if (saved.length == 4) {
      s.lines = saved[0];
      s.next = saved[1];
      s.best = saved[2];
      s.steps = saved[3];
    }
    return s;
  }

  bytes(): ArrayBuffer {
    const saved = new Uint64Array(4);
    saved[0] = this.lines;
    saved[1] = this.next;
    saved[2] = this.best;
    saved[3] = this.steps;
    return saved.buffer;
  }

  longest(last: u64): void {
    for (; this.next <= last; this.next++) {
      if (this.next % 4096 == 0) this.breathe(last);
      const steps = collatz(this.next);
      if (steps > this.steps) {
        this.best = this.next;
        this.steps = steps;
      }
    }
  }

  /** Reports, and ends the segment if that is due. */
  breathe(last: u64): void {
    progress(<u32>((1000 * this.next) / last), `${this.next} of ${last}`);
    if (segmentDue()) checkpoint(this.bytes());
  }
}

function collatz(n: u64): u64 {
  let steps: u64 = 0;
  for (; n != 1; steps++) n = n % 2 ? 3 * n + 1 : n / 2;
  return steps;
}

/** Standard input to its end. */
function input(): string {
  const part = new ArrayBuffer(65536);
  let all = "";
  for (let n = process.stdin.read(part); n > 0; n = process.stdin.read(part)) all += String.UTF8.decode(part.slice(0, n));
  return all;
}

/** The number that a line has, or 0. */
function parse(line: string): u64 {
  if (line.length == 0 || line.length > 11) return 0;
  for (let i = 0; i < line.length; i++) {
    const c = line.charCodeAt(i);
    if (c < 0x30 || c > 0x39) return 0;
  }
  const n = U64.parseInt(line);
  return n <= limit ? n : 0;
}

function main(): void {
  const text = input();
  const lines = text.split("\n");
  if (text.endsWith("\n") || text == "") lines.pop();
  let state = State.restore();
  for (let i = 0; i < lines.length; i++) {
    const last = parse(lines[i]);
    if (last == 0) {
      console.error(`{{name}}: line ${i + 1}: want a number from 1 to ${limit}`);
      process.exit(2);
    }
    if (<u64>i < state.lines) continue; // of an earlier segment
    state.longest(last);
    console.log(`${last} -> ${state.best}, ${state.steps} steps`);
    state = new State(<u64>i + 1);
  }
}

main();
