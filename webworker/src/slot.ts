// A slot does one lease at a time: verify, run, countersign.

import { type Bytes, fromHex, hex, sha256 } from "./bytes.ts";
import { beginning, type Checkpoint, type Outcome } from "./channel.ts";
import { Deadline } from "./deadline.ts";
import { Failure } from "./failure.ts";
import type { Library, Verified } from "./library.ts";
import { apart, checkInput, type InputRule } from "./merkle.ts";
import type { Handlers, Sandbox, Silence } from "./sandbox.ts";
import type { Release } from "./statement.ts";
import { checkFile, Trail, type TrailDeps } from "./trail.ts";
import { countersign, type Identity, type Vote, type VotedEnd } from "./vote.ts";
import { type Lease, result, type ReturnReason, type ToHub } from "./wire.ts";

export interface SlotDeps {
  readonly library: Library;
  readonly identity: Identity;
  readonly trail: TrailDeps;
  open(handlers: Handlers): Promise<Sandbox>;
  changed(slot: Slot): void;
  silenced(silence: Silence): void;
}

/** Why work ends from outside: for a Failure, when it may run no more. */
export type Cause = "stopped" | "killed" | "deadline" | Failure;

export type Finish =
  | { readonly type: "voted"; readonly fuel: number; readonly message: ToHub }
  | { readonly type: "returned"; readonly reason: ReturnReason; readonly check: string; readonly detail: string };

/** The runner keeps the time limit too, a little later: the timers of a page that nobody looks at come late. */
const runnerGrace = 1.25;

export class Slot {
  lease: Lease | null = null;
  phase: "idle" | "verifying" | "running" = "idle";
  verified: Verified | null = null;
  permille = 0;
  text = "";
  fuel = 0;

  #sandbox: Sandbox | null = null;
  #holds = ""; // digest of the release that the sandbox has compiled
  #deadline: Deadline | null = null;
  #trail: Trail | null = null;
  #interrupt: (finish: Finish) => void = () => {};
  #ending: Promise<void> | null = null;

  constructor(
    private readonly deps: SlotDeps,
    private share: number,
    private paused: boolean,
  ) {}

  /** Whether this slot can hold its breath in the middle of a task. */
  get yields(): boolean {
    return this.#sandbox?.yields ?? true;
  }

  pace(share: number, paused: boolean): void {
    [this.share, this.paused] = [share, paused];
    this.#sandbox?.pace(share, paused);
    this.#deadline?.pace(this.#rate());
  }

  /** Time of a task counts by the share that it gets; a runner that cannot sleep within a task gets all. */
  #rate(): number {
    if (!this.yields) return 1;
    return this.paused ? 0 : this.share;
  }

  async perform(lease: Lease): Promise<Finish> {
    [this.lease, this.phase, this.#ending] = [lease, "verifying", null];
    [this.permille, this.text, this.fuel] = [0, "", 0];
    const interrupted = new Promise<Finish>((resolve) => (this.#interrupt = resolve));
    this.deps.changed(this);
    const finish = await Promise.race([this.#attempt(lease), interrupted]);
    this.#deadline?.cancel();
    [this.lease, this.phase, this.#deadline, this.#trail] = [null, "idle", null, null];
    this.deps.changed(this);
    return finish;
  }

  /** Ends what runs. Resolves when it is silent. */
  end(cause: Cause): Promise<void> {
    const interrupt = this.#interrupt;
    this.#ending ??= this.#kill(cause).then(() => interrupt(finishOf(cause)));
    return this.#ending;
  }

  /** Ends what may run no more by what is believed now. */
  async recheck(): Promise<void> {
    const { lease } = this;
    try {
      if (lease !== null) await this.deps.library.order(lease.order);
    } catch (e) {
      // What cannot be fetched was not begun.
      if (e instanceof Failure && this.lease === lease) await this.end(e);
    }
  }

  /** Tells the hub how far the lease has come, before it goes back. */
  handOn(): void {
    this.#trail?.tell();
  }

  /** Whether it goes on from what others did. */
  get resumed(): boolean {
    return this.phase === "running" && (this.#trail?.from ?? 0) > 0;
  }

  async #kill(cause: Cause): Promise<void> {
    const since = performance.now();
    const running = this.phase === "running";
    const silence = await this.#discard(since);
    if (silence === null || !running) return;
    performance.measure("countersign-silence", { start: since, duration: silence.millis, detail: { cause: cause instanceof Failure ? "refused" : cause, ...silence } });
    this.deps.silenced(silence);
  }

  async #discard(since = performance.now()): Promise<Silence | null> {
    const sandbox = this.#sandbox;
    this.#sandbox = null;
    return sandbox === null ? null : sandbox.kill(since);
  }

  /** Does the work and tells how it ended. Once the slot was ended, nobody listens to it. */
  async #attempt(lease: Lease): Promise<Finish> {
    const finish = await this.#work(lease).catch(async (e: unknown) => {
      if (!this.#stale(lease)) await this.#discard();
      if (e instanceof Failure) return returned("refused", e.check, e.message);
      return returned("fault", "", e instanceof Error ? e.message : String(e));
    });
    return this.#stale(lease) ? new Promise(() => {}) : finish;
  }

  #stale(lease: Lease): boolean {
    return this.lease !== lease || this.#ending !== null;
  }

  async #work(lease: Lease): Promise<Finish> {
    const { order, rule } = await this.deps.library.order(lease.order);
    if (order.release_sha256 !== lease.release) throw new Failure("bounds", "the lease names another release than its order");
    const bytes = await this.#input(lease, rule);
    const verified = await this.deps.library.open(lease.release);
    const input = await sha256(bytes);
    const from = await this.#takeOver(lease, verified.release, input);
    const seed = await seedOf(lease);
    const sandbox = await this.#prepared(lease, verified);
    const { limits, module_sha256 } = verified.release;
    [this.phase, this.verified] = ["running", verified];
    this.deps.changed(this);
    const millis = Math.min(limits.seconds, order.deadline_seconds ?? Infinity) * 1000;
    this.#deadline = new Deadline(millis, () => performance.now(), () => void this.end("deadline"));
    this.#deadline.pace(this.#rate());
    const outcome = await sandbox.run({
      input: bytes,
      args: order.parameters ?? [],
      seed,
      fuel: limits.task_fuel,
      segmentFuel: limits.segment_fuel,
      outputBytes: limits.output_bytes,
      millis: millis * runnerGrace,
      from,
    });
    this.#deadline.cancel();
    return this.#finish(lease, module_sha256, input, outcome);
  }

  /** The task's input, verified: it came with the lease, or is fetched if it is too long for one. */
  async #input(lease: Lease, rule: InputRule): Promise<Bytes> {
    const length = apart(rule, lease.task);
    if (length > 0 && lease.input.length > 0) throw new Failure("input", "the lease has an input that is to be fetched");
    const input = length > 0 ? await this.deps.library.input(lease.order, lease.task, length) : lease.input;
    await checkInput(rule, lease.task, input, lease.proof);
    return input;
  }

  /** Where to go on: from the checkpoint that the lease names, verified, or from the start. */
  async #takeOver(lease: Lease, release: Release, input: string): Promise<Checkpoint> {
    const trail = (from: number, told: number): Trail => new Trail(this.deps.trail, lease, release.module_sha256, input, from, told);
    this.#trail = trail(0, 0);
    if (lease.checkpoint === "") return beginning;
    const file = await this.deps.library.checkpoint(lease.checkpoint);
    await checkFile(file, lease, release, input);
    // What this worker signed before, it can sign again.
    const from = file.worker === this.deps.identity.worker ? file.reached.from : file.reached.segments;
    this.#trail = trail(from, file.reached.segments);
    return file.at;
  }

  /** The sandbox, with the module of the lease's release in it. */
  async #prepared(lease: Lease, verified: Verified): Promise<Sandbox> {
    if (this.#stale(lease)) throw new Error(abandoned);
    if (this.#sandbox !== null && this.#holds === lease.release) return this.#sandbox;
    await this.#discard();
    const sandbox = await this.deps.open({
      compiled: () => performance.mark("countersign-compiled"),
      progress: (permille, text, fuel) => {
        [this.permille, this.text, this.fuel] = [permille, text, fuel];
        this.deps.changed(this);
      },
      checkpoint: (at) => void this.#trail?.reached(at).catch(() => {}),
    });
    const module = await verified.module();
    if (this.#stale(lease)) {
      await sandbox.kill(performance.now());
      throw new Error(abandoned);
    }
    sandbox.pace(this.share, this.paused);
    sandbox.load(module);
    [this.#sandbox, this.#holds] = [sandbox, lease.release];
    return sandbox;
  }

  async #finish(lease: Lease, module: string, input: string, outcome: Outcome): Promise<Finish> {
    if (!isVoted(outcome.end)) {
      if (!this.#stale(lease)) await this.#discard();
      if (outcome.end === "deadline") return returned("deadline", "", causes.deadline);
      return returned("fault", "", outcome.detail);
    }
    const vote: Vote = {
      type: "countersign.vote/v1",
      order: lease.order,
      task: lease.task,
      lane: lease.lane,
      lease: lease.id,
      module,
      input,
      end: outcome.end,
      code: outcome.code,
      fuel: outcome.fuel,
      output: await sha256(outcome.output),
      segments: outcome.links.length / 32,
      transcript: hex(outcome.links.subarray(-32)),
      from: this.#trail?.from ?? 0,
    };
    this.#trail?.end();
    const signature = await countersign(this.deps.identity, vote);
    return { type: "voted", fuel: outcome.fuel, message: result(lease.lease, vote, outcome.output, outcome.links, signature) };
  }
}

/** abi.md: SHA-256 of the order's digest followed by the task number, little-endian. */
export async function seedOf(lease: { order: string; task: number }): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(40);
  bytes.set(fromHex(lease.order, 32) ?? [], 0);
  new DataView(bytes.buffer).setBigUint64(32, BigInt(lease.task), true);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

const abandoned = "the slot was ended while it got ready";

function finishOf(cause: Cause): Finish {
  return cause instanceof Failure ? returned("refused", cause.check, cause.message) : returned(cause, "", causes[cause]);
}

const causes: Record<Exclude<Cause, Failure>, string> = {
  stopped: "",
  killed: "",
  deadline: "the task ran longer than its release allows",
};

function isVoted(end: Outcome["end"]): end is VotedEnd {
  return end === "exit" || end === "trap" || end === "fuel" || end === "output" || end === "state";
}

function returned(reason: ReturnReason, check: string, detail: string): Finish {
  return { type: "returned", reason, check, detail };
}
