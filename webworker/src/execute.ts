// Runs one task of a compiled module, segment after segment: docs/spec/abi.md,
// sections "Segments" and "How a run ends", and docs/spec/meter.md, section
// "The refill rule".

import { type Bytes, concat, printable } from "./bytes.ts";
import type { Checkpoint, End, Job, Outcome } from "./channel.ts";
import { Fuel } from "./fuel.ts";
import { Ended, Host, type Machine } from "./host.ts";
import { follow, type SegmentEnd, segmentSeed } from "./transcript.ts";

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

export interface Listener {
  progress(permille: number, text: string, fuel: number): void;
  /** Called at the end of every segment but the last. */
  checkpoint(at: Checkpoint): void;
}

export async function execute(module: WebAssembly.Module, job: Job, pace: Pace, now: () => number, listener: Listener): Promise<Outcome> {
  const run = new Run(pace, now);
  let at = job.from;
  for (;;) {
    const s = await segment(module, job, at, run, listener);
    const output = concat(at.output, s.output);
    const fuel = at.fuel + count(s.fuel);
    const { end } = s;
    const counts = end !== "deadline" && end !== "cancelled" && end !== "fault";
    const links = counts ? follow(at.links, end, s.code, s.fuel, s.output, s.state) : at.links;
    if (end !== "checkpoint") return { end, code: s.code, fuel, output, links, detail: s.detail };
    at = { fuel, links, state: s.state, output };
    listener.checkpoint(at);
  }
}

interface SegmentOutcome {
  readonly end: End | "checkpoint";
  readonly code: number;
  readonly fuel: bigint; // of this segment
  readonly output: Bytes; // of this segment
  readonly state: Bytes; // that a checkpoint left
  readonly detail: string;
}

/** Runs a fresh instance. */
async function segment(module: WebAssembly.Module, job: Job, at: Checkpoint, run: Run, listener: Listener): Promise<SegmentOutcome> {
  const number = at.links.length / 32;
  const fuel = new Fuel(BigInt(Math.min(job.segmentFuel, job.fuel - at.fuel)), run.slice);
  run.begin(fuel, at.fuel);
  const half = BigInt(job.segmentFuel) - BigInt(job.segmentFuel) / 2n;
  const machine: { current: Exports | null } = { current: null };
  const host = new Host(
    {
      input: job.input,
      args: job.args,
      seed: segmentSeed(job.seed, number),
      outputBytes: job.outputBytes,
      number,
      state: at.state,
      written: at.output.length,
    },
    (permille, text) => listener.progress(permille, text, run.reported),
    () => fuel.used(machine.current!.fuel.value) >= half,
  );
  let end: SegmentOutcome["end"] = "fault";
  let code = 0;
  let detail = "";
  let state: Bytes = new Uint8Array();
  let balance = 0n;
  try {
    machine.current = instantiate(module, host, run);
    host.attach(machine.current);
    ({ end, code, state } = await start(machine.current, run));
    balance = machine.current.fuel.value;
    if (balance === outOfMemory) [end, code, detail] = ["fault", 0, "no memory left"];
    else if (end === "trap" && Number(machine.current.stack.value) < 0) detail = "call stack exhausted";
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
  run.slice = fuel.slice;
  return { end, code, fuel: used, output: host.output(), state: end === "checkpoint" ? state : new Uint8Array(), detail };
}

/** The refill import and what it decided. */
class Run {
  stopped: "fuel" | "deadline" | "cancelled" | null = null;
  reported = 0; // fuel of the task at the last refill
  asked = 0n; // fuel of the segment then
  slice: number | undefined; // what slices have come to
  #fuel = new Fuel(0n);
  #before = 0; // fuel of earlier segments
  #begun = false;
  #since: number;

  constructor(
    private readonly pace: Pace,
    private readonly now: () => number,
  ) {
    this.#since = now();
  }

  /** Begins a segment. */
  begin(fuel: Fuel, before: number): void {
    [this.#fuel, this.#before, this.#begun] = [fuel, before, false];
  }

  get yields(): boolean {
    return this.pace.yields;
  }

  readonly refill = (balance: bigint): bigint | Promise<bigint> => {
    const millis = this.now() - this.#since;
    this.asked = this.#fuel.used(balance);
    this.reported = this.#before + count(this.asked);
    if (this.#fuel.over(balance)) this.stopped ??= "fuel";
    if (this.stopped !== null) return 0n;
    if (this.#begun) this.#fuel.adapt(millis);
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
    return this.#fuel.grant(balance);
  }
}

function instantiate(module: WebAssembly.Module, host: Host, run: Run): Exports {
  const refill = run.yields && jspi.Suspending ? new jspi.Suspending(run.refill) : run.refill;
  const instance = new WebAssembly.Instance(module, {
    wasi_snapshot_preview1: host.preview1(),
    countersign: { refill, ...host.own() },
  });
  const { memory, _start, countersign_fuel: fuel, countersign_stack: stack } = instance.exports;
  if (!(memory instanceof WebAssembly.Memory) || typeof _start !== "function" || !(fuel instanceof WebAssembly.Global) || !(stack instanceof WebAssembly.Global)) {
    throw new Error("not a metered module");
  }
  const start = _start as () => void;
  return { memory, fuel, stack, start };
}

/** Runs _start. Throws for what is neither an end of the segment nor a trap. */
async function start(machine: Exports, run: Run): Promise<{ end: SegmentEnd; code: number; state: Bytes }> {
  const state = new Uint8Array();
  try {
    if (run.yields && jspi.promising) await jspi.promising(machine.start)();
    else machine.start();
    return { end: "exit", code: 0, state };
  } catch (e) {
    if (e instanceof Ended) return e;
    // Engines report an exhausted stack with errors of their own.
    if (e instanceof WebAssembly.RuntimeError) return { end: "trap", code: 0, state };
    throw e;
  }
}

function count(fuel: bigint): number {
  return Math.min(Math.max(Number(fuel), 0), Number.MAX_SAFE_INTEGER);
}
