// Runs one task of a compiled module: docs/spec/abi.md, section "How a run
// ends", and docs/spec/meter.md, section "The refill rule".

import { printable } from "./bytes.ts";
import type { End, Job, Outcome } from "./channel.ts";
import { Fuel } from "./fuel.ts";
import { Ended, Host, type Machine } from "./host.ts";

// JavaScript Promise Integration, which TypeScript's library does not know yet.
type Suspending = new (f: (balance: bigint) => bigint | Promise<bigint>) => WebAssembly.ImportValue;
type Promising = (f: () => void) => () => Promise<void>;
const jspi = WebAssembly as unknown as { Suspending?: Suspending; promising?: Promising };

/** Whether a running module can wait, so that stop and sleep work in the middle of a task. */
export const canYield = typeof jspi.Suspending === "function" && typeof jspi.promising === "function";

export type Go = "go" | "deadline" | "cancelled";

/** Decides at each refill, after millis of running, whether to go on; only asked to wait where modules can. */
export interface Pace {
  readonly yields: boolean;
  slice(millis: number, fuel: number): Go | Promise<Go>;
}

const outOfMemory = -(2n ** 63n); // the balance that $grow leaves when the engine has none

interface Exports extends Machine {
  readonly stack: WebAssembly.Global;
  readonly start: () => void;
}

export async function execute(
  module: WebAssembly.Module,
  job: Job,
  pace: Pace,
  now: () => number,
  onProgress: (permille: number, text: string, fuel: number) => void,
): Promise<Outcome> {
  const fuel = new Fuel(BigInt(job.fuel));
  const run = new Run(fuel, pace, now);
  const host = new Host(job, (permille, text) => onProgress(permille, text, run.reported));
  let end: End = "fault";
  let code = 0;
  let detail = "";
  let balance = 0n;
  try {
    const machine = instantiate(module, host, run);
    host.attach(machine);
    [end, code] = await start(machine, run);
    balance = machine.fuel.value;
    if (balance === outOfMemory) [end, code, detail] = ["fault", 0, "no memory left"];
    else if (end === "trap" && Number(machine.stack.value) < 0) detail = "call stack exhausted";
  } catch (e) {
    detail = printable(String(e), 256);
  }
  let used = fuel.used(balance);
  // When it was stopped, a function may have had the balance in a local.
  if (run.stopped !== null) used = run.asked;
  // A fault is the host's own trouble and comes at another moment on every
  // host, so fuel cannot turn it into something to vote on.
  if (end !== "fault" && (run.stopped === "fuel" || used > fuel.limit)) [end, code, used] = ["fuel", 0, fuel.limit];
  else if (end !== "fault" && run.stopped !== null) [end, code] = [run.stopped, 0];
  return { end, code, fuel: count(used), output: host.output(), detail };
}

/** The refill import and what it decided. */
class Run {
  stopped: "fuel" | "deadline" | "cancelled" | null = null;
  reported = 0; // fuel at the last refill
  asked = 0n; // the same, whole
  #begun = false;
  #since: number;

  constructor(
    private readonly fuel: Fuel,
    private readonly pace: Pace,
    private readonly now: () => number,
  ) {
    this.#since = now();
  }

  get yields(): boolean {
    return this.pace.yields;
  }

  readonly refill = (balance: bigint): bigint | Promise<bigint> => {
    const millis = this.now() - this.#since;
    this.asked = this.fuel.used(balance);
    this.reported = count(this.asked);
    if (this.fuel.over(balance)) this.stopped ??= "fuel";
    if (this.stopped !== null) return 0n;
    if (this.#begun) this.fuel.adapt(millis);
    this.#begun = true;
    const go = this.pace.slice(millis, this.reported);
    return go instanceof Promise ? go.then((g) => this.#answer(balance, g)) : this.#answer(balance, go);
  };

  #answer(balance: bigint, go: Go): bigint {
    if (go !== "go") {
      this.stopped ??= go;
      return 0n;
    }
    this.#since = this.now();
    return this.fuel.grant(balance);
  }
}

function instantiate(module: WebAssembly.Module, host: Host, run: Run): Exports {
  const refill = run.yields && jspi.Suspending ? new jspi.Suspending(run.refill) : run.refill;
  const progress = (permille: number, ptr: number, len: number) => host.progress(permille, ptr, len);
  const instance = new WebAssembly.Instance(module, {
    wasi_snapshot_preview1: host.preview1(),
    countersign: { refill, progress },
  });
  const { memory, _start, countersign_fuel: fuel, countersign_stack: stack } = instance.exports;
  if (!(memory instanceof WebAssembly.Memory) || typeof _start !== "function" || !(fuel instanceof WebAssembly.Global) || !(stack instanceof WebAssembly.Global)) {
    throw new Error("not a metered module");
  }
  const start = _start as () => void;
  return { memory, fuel, stack, start };
}

/** Runs _start. Throws for what is neither an exit nor a trap. */
async function start(machine: Exports, run: Run): Promise<[End, number]> {
  try {
    if (run.yields && jspi.promising) await jspi.promising(machine.start)();
    else machine.start();
    return ["exit", 0];
  } catch (e) {
    if (e instanceof Ended) return [e.end, e.code];
    // Engines report an exhausted stack with errors of their own.
    if (e instanceof WebAssembly.RuntimeError) return ["trap", 0];
    throw e;
  }
}

function count(fuel: bigint): number {
  return Math.min(Math.max(Number(fuel), 0), Number.MAX_SAFE_INTEGER);
}
