// The browser's half: times one task cold, warmed up, and hot.

import { beginning, type Job } from "../../webworker/src/channel.ts";
import { canYield, execute } from "../../webworker/src/execute.ts";
import { Throttle } from "../../webworker/src/throttle.ts";
import { warmUp } from "../../webworker/src/warm.ts";

interface Task {
  readonly module: Uint8Array<ArrayBuffer>;
  readonly input: Uint8Array<ArrayBuffer>;
  readonly fuel: number;
}

const turn = new MessageChannel();
const clock = {
  now: () => performance.now(),
  sleep: () =>
    new Promise<void>((resolve) => {
      turn.port2.onmessage = () => resolve();
      turn.port1.postMessage(null);
    }),
};

let made = 0;

/** Compiles bytes that the engine has not seen: it keeps the code of those that it has. */
function fresh(module: Uint8Array): Promise<WebAssembly.Module> {
  const nonce = new TextEncoder().encode(String(made++).padStart(8, "0"));
  const bytes = new Uint8Array(module.length + 12);
  bytes.set(module);
  bytes.set([0, 10, 1, 110, ...nonce], module.length); // a custom section, "n"
  return WebAssembly.compile(bytes);
}

async function measure(t: Task): Promise<{ cold: number; warm: number; hot: number; warming: number }> {
  const job: Job = {
    input: t.input, args: [], seed: new Uint8Array(32), fuel: t.fuel, segmentFuel: t.fuel, outputBytes: 1 << 20, millis: 600_000, from: beginning,
  };
  const throttle = new Throttle(canYield, clock, () => {});
  const once = async (module: WebAssembly.Module, f: typeof run = run): Promise<number> => {
    const began = clock.now();
    await f(module);
    return clock.now() - began;
  };
  const run = (module: WebAssembly.Module): Promise<unknown> => execute(module, job, throttle, clock.now, { progress: () => {}, checkpoint: () => {} });
  const cold = await once(await fresh(t.module));
  const module = await fresh(t.module);
  const warming = await once(module, (m) => warmUp(m, job, throttle, clock.now));
  const warm = await once(module);
  await once(module);
  return { cold, warm, hot: await once(module), warming };
}

self.onmessage = async ({ data }: MessageEvent<Task>) => self.postMessage(await measure(data).catch(String));
