// How far one lease has come, and telling the hub of it: docs/spec/wire.md,
// section "Checkpoints".

import { hex, sha256 } from "./bytes.ts";
import type { Checkpoint } from "./channel.ts";
import { Failure } from "./failure.ts";
import { every } from "./interval.ts";
import type { OfferMessage } from "./keeper.ts";
import type { Release } from "./statement.ts";
import { countersign, type Identity, type Reached, signedBy } from "./vote.ts";
import { type CheckpointFile, type Lease, offer } from "./wire.ts";

export interface TrailDeps {
  readonly identity: Identity;
  /** Sends an offer, now or when there is a connection. */
  offer(message: OfferMessage): void;
  /** Keeps it in this browser. */
  keep(message: OfferMessage): void;
  /** Seconds that a visit lasts, as the hub says; 0: not known. */
  visit(): number;
}

export class Trail {
  #ready: OfferMessage | null = null; // the last one, signed, so that a page that closes can send it at once
  #told: number;
  #toldAt = performance.now();
  #cost = 0; // seconds that the last offer took
  #ended = false;

  /** from is how many segments are somebody else's work, told how many the hub has. */
  constructor(
    private readonly deps: TrailDeps,
    private readonly lease: Lease,
    private readonly module: string,
    private readonly input: string,
    readonly from: number,
    told: number,
  ) {
    this.#told = told;
  }

  /** Notes the end of a segment, and tells the hub when it is time. */
  async reached(at: Checkpoint): Promise<void> {
    const began = performance.now();
    const { order, task, lane, id } = this.lease;
    const reached: Reached = {
      type: "countersign.checkpoint/v1", order, task, lane, lease: id,
      module: this.module, input: this.input, segments: at.links.length / 32, fuel: at.fuel,
      transcript: hex(at.links.subarray(-32)), state: await sha256(at.state), output: await sha256(at.output), from: this.from,
    };
    const message = offer(this.lease.lease, reached, at, await countersign(this.deps.identity, reached));
    if (this.#ended || message.checkpoint.segments <= (this.#ready?.checkpoint.segments ?? 0)) return;
    this.#ready = message;
    this.deps.keep(message);
    if (performance.now() - this.#toldAt >= 1000 * every(this.#cost, this.deps.visit())) {
      this.tell();
      this.#cost = (performance.now() - began) / 1000;
    }
  }

  /** Tells the hub what it does not know yet. */
  tell(): void {
    if (this.#ready === null || this.#ready.checkpoint.segments <= this.#told) return;
    this.#told = this.#ready.checkpoint.segments;
    this.#toldAt = performance.now();
    this.deps.offer(this.#ready);
  }

  /** The vote says all: nothing more is told or kept. */
  end(): void {
    this.#ended = true;
    this.#ready = null;
  }
}

/** Makes sure that a checkpoint is what its author signed, and of this lease. Whether the state is right nobody can see from it. */
export async function checkFile(file: CheckpointFile, lease: Lease, release: Release, input: string): Promise<void> {
  const { reached: r, at } = file;
  const good =
    r.order === lease.order && r.task === lease.task && r.module === release.module_sha256 && r.input === input &&
    r.fuel <= release.limits.task_fuel && at.output.length <= release.limits.output_bytes &&
    r.state === (await sha256(at.state)) && r.output === (await sha256(at.output)) &&
    at.links.length === 32 * r.segments && r.transcript === hex(at.links.subarray(-32)) &&
    (await signedBy(file.worker, r, file.signature));
  if (!good) throw new Failure("checkpoint", "the checkpoint is not one of this task, or not as its author signed it");
}
