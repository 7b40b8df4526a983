// Follows the policy and the index of a hub, from the root keys that the page
// pins: what may run, and whether it still may. docs/spec/statement.md, sections
// "policy/v1" and "index/v1".
//
// A hub that withholds news cannot keep a revoked program going for longer than
// the index holds; one that sends older news is told so.

import { type Bytes, fromBase64 } from "./bytes.ts";
import { millis } from "./canon.ts";
import { Failure } from "./failure.ts";
import { download, type Fetch, Status } from "./fetching.ts";
import type { Environment } from "./link.ts";
import { maxSignature } from "./minisign.ts";
import {
  checkCurrent, checkGood, maxIndex, maxPolicy, nothingSeen, openChain, openIndex, policyLog, type Policy, type Root, type Seen, type Signed, type Trust,
} from "./policy.ts";
import type { LogTrust } from "./tlogproof.ts";

const every = 5 * 60_000; // milliseconds between two looks, at most
const firstRetry = 2_000;
const longest = 24 * 3600_000; // timers of months are none in browsers
const maxChain = 64;
const maxBundle = 32 * maxSignature;

/** What to go by at one moment. It does not change. */
export interface Believed {
  readonly trust: Trust;
  readonly logs: readonly LogTrust[]; // each must have what runs
}

/** Says what to go by now, or throws the Failure for which nothing may run. */
export interface Anchor {
  at(): Believed;
}

/** Remembers what was seen, so that nobody can lead back behind it. */
export interface Memory {
  recall(): Promise<Seen | null>;
  remember(seen: Seen): Promise<void>;
}

export interface FollowerDeps {
  readonly hub: string;
  readonly root: Root;
  readonly log: LogTrust | null; // that the page asks for, whatever the policy says
  readonly fetch: Fetch;
  readonly now: () => number; // milliseconds since 1970
  readonly env: Pick<Environment, "after" | "random">;
  readonly memory: Memory;
  changed(): void;
}

export class Follower implements Anchor {
  #current: Believed | null = null;
  #seen: Seen = nothingSeen;
  #problem: unknown = null; // of the last look
  #retry = firstRetry;
  #on = false;
  #begun = 0; // how often: a look from before the last time comes to nothing
  #callOffLook: () => void = () => {};
  #callOffExpiry: () => void = () => {}; // a timer of its own: a look may hang

  constructor(private readonly deps: FollowerDeps) {}

  /** Looks for the first time, and again and again until end. */
  async begin(): Promise<void> {
    if (this.#on) return;
    this.#on = true;
    this.#begun++;
    this.#seen = (await this.deps.memory.recall()) ?? this.#seen;
    await this.#turn();
  }

  end(): void {
    this.#on = false;
    this.#callOffLook();
    this.#callOffExpiry();
  }

  at(): Believed {
    if (this.#current === null) throw this.#problem ?? new Error("nothing has been verified yet");
    try {
      checkCurrent(this.#current.trust, this.deps.now());
    } catch (e) {
      // Why there is no index says more than that there is none.
      throw e instanceof Failure && e.check === "index_missing" && this.#problem !== null ? this.#problem : e;
    }
    return this.#current;
  }

  /** Why nothing may run now: a Failure, another error when the hub could not be asked, or null. */
  get barred(): unknown {
    try {
      checkGood(this.at().trust);
      return null;
    } catch (e) {
      return e;
    }
  }

  async #turn(): Promise<void> {
    const begun = this.#begun;
    let wait = every * (0.5 + 0.5 * this.deps.env.random());
    const problem: unknown = await this.#look(begun).then(() => null, (e: unknown) => e);
    if (begun !== this.#begun) return;
    this.#problem = problem;
    if (problem === null) {
      this.#retry = firstRetry;
      wait = Math.min(wait, Math.max(this.#left() / 2, firstRetry)); // before anything expires
    } else {
      wait = Math.min(wait, this.#retry);
      this.#retry = Math.min(2 * this.#retry, every);
    }
    if (!this.#on) return;
    this.#callOffLook = this.deps.env.after(wait, () => void this.#turn());
    this.deps.changed();
  }

  /** Tells when what is believed expires. */
  #arm(): void {
    this.#callOffExpiry();
    this.#callOffExpiry = () => {};
    const left = this.#left();
    if (!this.#on || left === 0) return;
    this.#callOffExpiry = this.deps.env.after(Math.min(left, longest), () => {
      this.deps.changed();
      this.#arm();
    });
  }

  /** Milliseconds for which what is believed holds. */
  #left(): number {
    if (this.#current === null) return Infinity;
    const { policy, index } = this.#current.trust;
    return Math.max(0, Math.min(millis(policy.expires), index === null ? Infinity : millis(index.expires)) - this.deps.now());
  }

  /** Fetches policy and index, and goes by them if they verify. What was verified before holds on otherwise, until it expires. */
  async #look(begun: number): Promise<void> {
    const chain = chainOf(await this.#fetch("/v1/policy", maxChain * (maxPolicy + maxBundle)));
    const was = this.#current;
    let [policy, seen] = await openChain(this.deps.root, chain, this.#seen, this.deps.now());
    const same = was !== null && seen.policy_sha256 === this.#seen.policy_sha256;
    const logs = same ? was.logs : await this.#logs(policy); // the same ones, so that what was proved stays proved
    let index = was?.trust.policy.clock_key === policy.clock_key ? was.trust.index : null;
    let late: unknown = null;
    if (policy.clock_key !== "") {
      try {
        const s = await this.#index();
        [index, seen] = await openIndex(policy, s.statement, s.signatures, seen, this.deps.now());
      } catch (e) {
        late = e;
      }
    }
    if (begun !== this.#begun) return;
    // A policy counts also when the index does not: it may be the one that revokes a key.
    this.#current = { trust: { policy, index }, logs };
    this.#arm();
    const news = JSON.stringify(seen) !== JSON.stringify(this.#seen);
    this.#seen = seen;
    if (news) await this.deps.memory.remember(seen);
    if (late !== null) throw late;
  }

  async #logs(policy: Policy): Promise<LogTrust[]> {
    return [this.deps.log, await policyLog(policy)].filter((l) => l !== null);
  }

  async #index(): Promise<Signed> {
    try {
      const { statement, signature } = members(await this.#fetch("/v1/index", maxIndex + maxSignature), "statement", "signature");
      return { statement: bytes(statement), signatures: bytes(signature) };
    } catch (e) {
      throw e instanceof Status && e.status === 404 ? new Failure("index_missing", "the hub has no index") : e;
    }
  }

  /** JSON around so many bytes of statements, which are in base64. */
  async #fetch(path: string, most: number): Promise<unknown> {
    const body = await download(this.deps.fetch, this.deps.hub + path, 2 * most, () => new Failure("too_large", `${path} is larger than any can be`), "no-store");
    try {
      return JSON.parse(new TextDecoder().decode(body));
    } catch {
      throw strange();
    }
  }
}

function chainOf(value: unknown): Signed[] {
  const { policies } = members(value, "policies");
  if (!Array.isArray(policies) || policies.length > maxChain) throw new Failure("policy_chain", "not a chain of policies");
  return policies.map((p: unknown) => {
    const { statement, signatures } = members(p, "statement", "signatures");
    return { statement: bytes(statement), signatures: bytes(signatures) };
  });
}

function members(value: unknown, ...names: string[]): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Object.keys(value).sort().join() !== names.sort().join()) throw strange();
  return value as Record<string, unknown>;
}

function bytes(base64: unknown): Bytes {
  const all = typeof base64 === "string" ? fromBase64(base64) : null;
  if (all === null) throw strange();
  return all;
}

function strange(): Failure {
  return new Failure("encoding", "policy or index are not as a hub sends them");
}
