// Releases and modules: fetched from the hub, verified here, kept while the
// page is open. Nothing leaves this file that was not verified.

import { type Bytes, sha256 } from "./bytes.ts";
import { Failure } from "./failure.ts";
import type { PublicKey } from "./minisign.ts";
import { type OpenOrder, openOrder } from "./order.ts";
import { checkAge, checkExpiry, checkModule, maxSignature, maxStatement, openRelease, type Release } from "./statement.ts";
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

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

const maxKept = 8;
const fetchMillis = 120_000;

export class Library {
  readonly #kept = new Map<string, Verified>();
  readonly #opening = new Map<string, Promise<Verified>>();
  readonly #orders = new Map<string, OpenOrder>();
  readonly #refused = new Set<string>();

  constructor(
    private readonly hub: string,
    private readonly trusted: readonly PublicKey[],
    private readonly fetch: Fetch,
    private readonly now: () => number,
    private readonly log: LogTrust | null = null,
  ) {}

  /** The release with this digest, verified. Throws a Failure, or another error when it cannot be had. */
  open(digest: string): Promise<Verified> {
    let opening = this.#opening.get(digest);
    if (opening === undefined) {
      opening = this.#reopen(digest).finally(() => this.#opening.delete(digest));
      this.#opening.set(digest, opening);
    }
    return opening;
  }

  async #reopen(digest: string): Promise<Verified> {
    const kept = this.#kept.get(digest);
    try {
      // What was good when it came may have expired since.
      if (kept !== undefined) checkExpiry(kept.release, this.now());
      const verified = kept ?? (await this.#download(digest));
      this.#keep(digest, verified);
      return verified;
    } catch (e) {
      this.#kept.delete(digest);
      if (e instanceof Failure) this.#refused.add(digest);
      throw e;
    }
  }

  async #download(digest: string): Promise<Verified> {
    const [statement, signature] = await this.#statement(digest);
    const { release, signer } = await openRelease(statement, signature, this.trusted, this.now());
    await isAsked(statement, digest);
    if (this.log !== null) {
      const proof = await this.#get(`/s/${digest}.tlog-proof`, maxProof, tooLarge, { ...this.#init(digest), cache: "no-store" });
      await checkProof(this.log, statement, signature, proof, this.now());
    }
    const module = await this.#get(`/m/${release.module_sha256}`, release.module_length, tooLong, this.#init(digest));
    await checkModule(release, module);
    this.#refused.delete(digest);
    return new Verified(release, signer, module);
  }

  #init(digest: string): RequestInit {
    return {
      // What was refused may lie in the browser's cache.
      cache: this.#refused.has(digest) ? "reload" : "default",
      credentials: "omit",
      redirect: "error",
      referrerPolicy: "no-referrer",
      signal: AbortSignal.timeout(fetchMillis),
    };
  }

  /** A statement and its signature, as the hub sends them. */
  #statement(digest: string): Promise<[Bytes, Bytes]> {
    const init = this.#init(digest);
    return Promise.all([this.#get(`/s/${digest}`, maxStatement, tooLarge, init), this.#get(`/s/${digest}.minisig`, maxSignature, tooLarge, init)]);
  }

  #keep(digest: string, verified: Verified): void {
    this.#kept.set(digest, verified);
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= maxKept) break;
      this.#kept.delete(oldest);
    }
  }

  /** The order with this digest, verified. */
  async order(digest: string): Promise<OpenOrder> {
    const kept = this.#orders.get(digest);
    if (kept !== undefined) {
      checkAge("order", kept.order.expires, this.now());
      return kept;
    }
    const [statement, signature] = await this.#statement(digest);
    const opened = await openOrder(statement, signature, this.trusted, this.now());
    await isAsked(statement, digest);
    this.#refused.delete(digest);
    this.#orders.set(digest, opened);
    for (const oldest of this.#orders.keys()) {
      if (this.#orders.size <= maxKept) break;
      this.#orders.delete(oldest);
    }
    return opened;
  }

  /** The checkpoint file with this digest; what it says is not verified. */
  async checkpoint(digest: string): Promise<CheckpointFile> {
    const data = await this.#get(`/c/${digest}`, maxFile, () => new Failure("checkpoint", "a checkpoint larger than any"), this.#init(digest));
    if ((await sha256(data)) !== digest) throw new Failure("checkpoint", "the checkpoint is another one than was announced");
    try {
      return decodeFile(data);
    } catch (e) {
      throw new Failure("checkpoint", e instanceof Error ? e.message : "it cannot be read");
    }
  }

  /** Reads a body of at most cap bytes and stops as soon as there are more. */
  async #get(path: string, cap: number, over: () => Failure, init: RequestInit): Promise<Bytes> {
    const response = await this.fetch(this.hub + path, init);
    if (!response.ok || response.body === null) throw new Error(`the hub answered ${response.status} for ${path.slice(0, 3)}`);
    const bytes = new Uint8Array(cap);
    let length = 0;
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return bytes.slice(0, length);
      if (length + value.length > cap) {
        void reader.cancel().catch(() => {});
        throw over();
      }
      bytes.set(value, length);
      length += value.length;
    }
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
