// What is measured inside of a worker, with the code that volunteers run.

import type { Bytes } from "../../webworker/src/bytes.ts";
import { beginning, type Job, type Outcome } from "../../webworker/src/channel.ts";
import { canYield, execute, type Pace } from "../../webworker/src/execute.ts";

/** The first demo's function, as it was. */
function pfactors(n: number): number[] { var f=[];var d=2;while(n>1){while(n%d==0){f.push(d);n=n/d;}d++;}return f; }

const job = (input: Bytes, fuel: number, segmentFuel = fuel): Job => ({
  input, args: [], seed: new Uint8Array(32), fuel, segmentFuel, outputBytes: 1 << 20, millis: 600_000, from: beginning,
});

const turn = new MessageChannel();
const message = (): Promise<void> =>
  new Promise((resolve) => {
    turn.port2.onmessage = () => resolve();
    turn.port1.postMessage(null);
  });

/** Goes on at once; where modules can wait it hears messages at every slice, as runners do. */
const plain: Pace = { yields: canYield, slice: () => (canYield ? message().then(() => "go" as const) : "go") };
const silent = { progress: () => {}, checkpoint: () => {} };

async function timed(f: () => Promise<Outcome>): Promise<[number, Outcome]> {
  const began = performance.now();
  const o = await f();
  return [performance.now() - began, o];
}

function median(all: number[]): number {
  return all.sort((a, b) => a - b)[all.length >> 1]!;
}

const measures = {
  /** Factoring the same numbers: the JavaScript function, the same algorithm in the payload. */
  async factors({ numbers, module }: { numbers: number[]; module: Bytes }) {
    const input = new TextEncoder().encode(numbers.join("\n") + "\n");
    const compiled = await WebAssembly.compile(module);
    const js: number[] = [];
    const wasm: number[] = [];
    let text = "";
    for (let i = 0; i < 2; i++) {
      const began = performance.now();
      const lists = numbers.map(pfactors);
      js.push(performance.now() - began);
      const [millis, o] = await timed(() => execute(compiled, job(input, 2 ** 50), plain, () => performance.now(), silent));
      wasm.push(millis);
      text = new TextDecoder().decode(o.output);
      const want = numbers.map((n, k) => `${n} -> ${lists[k]!.join(",")}\n`).join("");
      if (text !== want) throw new Error("the payload and the function differ");
    }
    return { js: Math.min(...js), wasm: Math.min(...wasm) };
  },

  /** The first run of a module in a worker, and later ones. */
  async warmth({ module, input, fuel }: { module: Bytes; input: Bytes; fuel: number }) {
    const compiled = await WebAssembly.compile(module);
    const all: number[] = [];
    for (let i = 0; i < 6; i++) all.push((await timed(() => execute(compiled, job(input, 2 ** 50, fuel), plain, () => performance.now(), silent)))[0]);
    return { cold: all[0]!, warm: median(all.slice(3)) };
  },

  /** Segments that do nothing. */
  async segments({ module, input }: { module: Bytes; input: Bytes }) {
    const compiled = await WebAssembly.compile(module);
    const [millis, o] = await timed(() => execute(compiled, job(input, 2_000 * 1_000_500, 2_000_000), plain, () => performance.now(), silent));
    return { segments: o.links.length / 32, micros: (1000 * millis) / (o.links.length / 32) };
  },

  /** A loop in the smallest slices there are, and in large ones: the difference is refills. */
  async refill({ module }: { module: Bytes }) {
    const compiled = await WebAssembly.compile(module);
    const fuel = 100_000_000;
    const run = async (step: number): Promise<[number, number]> => {
      let t = 0;
      let n = 0;
      const pace: Pace = { yields: plain.yields, slice: (m, f) => (n++, plain.slice(m, f)) };
      const [millis] = await timed(() => execute(compiled, job(new Uint8Array(), fuel), pace, () => (t += step), silent));
      return [millis, n];
    };
    await run(20);
    const [small, many] = await run(1e9);
    const [large, few] = await run(0.0001);
    return { slices: many, micros: (1000 * (small - large)) / (many - few) };
  },
};

self.onmessage = async ({ data }: MessageEvent<{ what: keyof typeof measures; with: never }>) => {
  try {
    self.postMessage({ found: { yields: canYield, ...(await measures[data.what](data.with)) } });
  } catch (e) {
    self.postMessage({ failed: `${data.what}: ${String(e)}` });
  }
};
