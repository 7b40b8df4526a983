// Releases, orders and modules: fetched from the hub, verified here, kept while
// the page is open. Nothing leaves this file that was not verified, by what is
// believed at that moment: what was good when it came may have been revoked.

import { type Bytes, sha256 } from "./bytes.ts";
import { Failure } from "./failure.ts";
import { download, type Fetch } from "./fetching.ts";
import type { Anchor } from "./follow.ts";
import { tasksOf } from "./merkle.ts";
import type { PublicKey } from "./minisign.ts";
import type { OpenOrder } from "./order.ts";
import { openOrderUnder, openReleaseUnder } from "./policy.ts";
import { checkModule, maxSignature, maxStatement, type Release } from "./statement.ts";
import { checkProof, type LogTrust, maxProof } from "./tlogproof.ts";
import { type CheckpointFile, decodeFile, maxFile } from "./wire.ts";

/** A verified release and its module. */
export class Verified {
  constructor(
    readonly release: Release,
    readonly signer: PublicKey,
    private readonly bytes: Bytes,
  ) {}

  /** A private copy of the module, checked again: the very bytes that will be compiled. */
  async module(): Promise<Bytes> {
    const copy = this.bytes.slice();
    await checkModule(this.release, copy);
    return copy;
  }
}

/** A statement and its signature, as the hub sent them. */
interface Signed {
  readonly statement: Bytes;
  readonly signature: Bytes;
}

interface KeptRelease extends Signed {
  readonly proved: Set<LogTrust>; // logs that have it
  verified: Verified | null; // once its module is here
}

const maxKept = 8;

export class Library {
  readonly #releases = new Map<string, KeptRelease>();
  readonly #orders = new Map<string, Signed>();
  readonly #opening = new Map<string, Promise<Verified>>();
  readonly #refused = new Set<string>();

  constructor(
    private readonly hub: string,
    private readonly anchor: Anchor,
    private readonly fetch: Fetch,
    private readonly now: () => number,
  ) {}

  /** The release with this digest, verified. Throws a Failure, or another error when it cannot be had. */
  open(digest: string): Promise<Verified> {
    let opening = this.#opening.get(digest);
    if (opening === undefined) {
      opening = this.#open(digest).finally(() => this.#opening.delete(digest));
      this.#opening.set(digest, opening);
    }
    return opening;
  }

  async #open(digest: string): Promise<Verified> {
    try {
      this.anchor.at(); // before anything is fetched
      const kept: KeptRelease = this.#releases.get(digest) ?? { ...(await this.#statement(digest)), proved: new Set(), verified: null };
      const { release, signer } = await this.#release(digest, kept);
      if (kept.verified === null) {
        const module = await this.#get(`/m/${release.module_sha256}`, release.module_length, tooLong, digest);
        await checkModule(release, module);
        await this.#release(digest, kept); // it took its time
        kept.verified = new Verified(release, signer, module);
      }
      this.#refused.delete(digest);
      keep(this.#releases, digest, kept);
      return kept.verified;
    } catch (e) {
      this.#forget(this.#releases, digest, e);
      throw e;
    }
  }

  /** Verifies a release by what is believed when it is done. */
  async #release(digest: string, kept: KeptRelease): Promise<{ release: Release; signer: PublicKey }> {
    for (;;) {
      const believed = this.anchor.at();
      const opened = await openReleaseUnder(believed.trust, kept.statement, kept.signature, this.now());
      await isAsked(kept.statement, digest);
      const missing = believed.logs.filter((l) => !kept.proved.has(l));
      if (missing.length > 0) {
        const proof = await this.#get(`/s/${digest}.tlog-proof`, maxProof, tooLarge, digest, "no-store");
        for (const log of missing) {
          await checkProof(log, kept.statement, kept.signature, proof, this.now());
          kept.proved.add(log);
        }
      }
      if (believed === this.anchor.at()) return opened;
    }
  }

  /** The order with this digest, verified, and with it its release. */
  async order(digest: string): Promise<OpenOrder> {
    try {
      this.anchor.at();
      const kept = this.#orders.get(digest) ?? (await this.#statement(digest));
      const named = async (release: string): Promise<string> => (await this.open(release)).release.name;
      for (;;) {
        const believed = this.anchor.at();
        const opened = await openOrderUnder(believed.trust, kept.statement, kept.signature, this.now(), named, (o) => tasksOf(o.rule));
        await isAsked(kept.statement, digest);
        if (believed !== this.anchor.at()) continue;
        this.#refused.delete(digest);
        keep(this.#orders, digest, kept);
        return opened;
      }
    } catch (e) {
      this.#forget(this.#orders, digest, e);
      throw e;
    }
  }

  #forget(kept: Map<string, unknown>, digest: string, e: unknown): void {
    kept.delete(digest);
    if (e instanceof Failure) this.#refused.add(digest);
  }

  async #statement(digest: string): Promise<Signed> {
    const [statement, signature] = await Promise.all([
      this.#get(`/s/${digest}`, maxStatement, tooLarge, digest), this.#get(`/s/${digest}.minisig`, maxSignature, tooLarge, digest),
    ]);
    return { statement, signature };
  }

  /** The input of a task that is too long for its lease; it is not verified. */
  input(order: string, task: number, length: number): Promise<Bytes> {
    return this.#get(`/i/${order}/${task}`, length, () => new Failure("input", "the input is longer than was signed"), order, "no-store");
  }

  /** The checkpoint file with this digest; what it says is not verified. */
  async checkpoint(digest: string): Promise<CheckpointFile> {
    const data = await this.#get(`/c/${digest}`, maxFile, () => new Failure("checkpoint", "a checkpoint larger than any"), digest);
    if ((await sha256(data)) !== digest) throw new Failure("checkpoint", "the checkpoint is another one than was announced");
    try {
      return decodeFile(data);
    } catch (e) {
      throw new Failure("checkpoint", e instanceof Error ? e.message : "it cannot be read");
    }
  }

  /** What was refused may lie in the browser's cache. */
  #get(path: string, cap: number, over: () => Failure, digest: string, cache: RequestCache = this.#refused.has(digest) ? "reload" : "default"): Promise<Bytes> {
    return download(this.fetch, this.hub + path, cap, over, cache);
  }
}

/** Keeps the few that were used last. */
function keep<T>(all: Map<string, T>, digest: string, one: T): void {
  all.delete(digest);
  all.set(digest, one);
  for (const oldest of all.keys()) {
    if (all.size <= maxKept) break;
    all.delete(oldest);
  }
}

async function isAsked(statement: Bytes, digest: string): Promise<void> {
  if ((await sha256(statement)) !== digest) throw new Failure("statement_sha256", "the statement is another one than was asked for");
}

function tooLarge(): Failure {
  return new Failure("too_large", "a statement, signature or proof is larger than its cap");
}

function tooLong(): Failure {
  return new Failure("module_length", "the module is longer than was signed");
}
