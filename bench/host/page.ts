// The page that each browser opens to measure: most things in a worker, and how
// long a stop takes with the sandbox that volunteers use.

import { beginning } from "../../webworker/src/channel.ts";
import { Sandbox } from "../../webworker/src/sandbox.ts";

const post = (body: unknown): Promise<Response> => fetch("/found", { method: "POST", body: JSON.stringify(body) });
const bytes = async (path: string): Promise<Uint8Array<ArrayBuffer>> => new Uint8Array(await (await fetch(path)).arrayBuffer());

function inWorker(what: string, args: unknown): Promise<unknown> {
  const worker = new Worker("/worker.js");
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<{ found?: unknown; failed?: string }>) => {
      worker.terminate();
      if (data.failed !== undefined) reject(new Error(data.failed));
      else resolve(data.found);
    };
    worker.onerror = (e) => reject(new Error(e.message));
    worker.postMessage({ what, with: args });
  });
}

/** From the order to stop until a busy program is silent, a few times. */
async function stops(module: Uint8Array<ArrayBuffer>): Promise<unknown> {
  const millis: number[] = [];
  let seen = true;
  let yields = false;
  for (let i = 0; i < 5; i++) {
    const sandbox = await Sandbox.open(document.body, { compiled: () => {}, progress: () => {}, checkpoint: () => {} });
    yields = sandbox.yields;
    sandbox.load(module.slice());
    sandbox.run({
      input: new Uint8Array(), args: [], seed: new Uint8Array(32), fuel: 2 ** 53 - 1, segmentFuel: 2 ** 53 - 1, outputBytes: 0, millis: 600_000, from: beginning,
    }).catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 1500 + 37 * i));
    const silence = await sandbox.kill(performance.now());
    millis.push(silence.millis);
    seen &&= silence.seen;
  }
  return { yields, seen, millis: millis.map((m) => Math.round(10 * m) / 10) };
}

async function main(): Promise<void> {
  const { numbers } = (await (await fetch("/numbers")).json()) as { numbers: number[] };
  const [factor, loop, flood, sha] = await Promise.all(["/factor", "/loop", "/flood", "/warm"].map(bytes));
  await post({ factors: await inWorker("factors", { numbers, module: factor }) });
  await post({ warmth: await inWorker("warmth", { module: sha, input: await bytes("/warm-input"), fuel: 2 ** 50 }) });
  await post({ segmented: await inWorker("warmth", { module: sha, input: await bytes("/warm-input"), fuel: 40_000_000 }) });
  await post({ segments: await inWorker("segments", { module: flood, input: new Uint8Array() }) });
  await post({ refill: await inWorker("refill", { module: loop }) });
  await post({ stops: await stops(loop!) });
  await post({ done: true });
}

main().catch((e: unknown) => post({ failed: String(e) }));
