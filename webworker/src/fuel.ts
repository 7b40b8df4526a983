// The refill rule: docs/spec/meter.md, section "The refill rule"; the slice
// follows docs/spec/abi.md, section "Times".

const sliceMillis = 20;
const firstSlice = 200_000;
const minSlice = 10_000;
const maxSlice = 1_000_000_000;

/** The fuel account of one segment. */
export class Fuel {
  #granted = 0n;

  constructor(
    readonly limit: bigint,
    public slice = firstSlice,
  ) {}

  /** What the module has used when its balance is as given. */
  used(balance: bigint): bigint {
    return this.#granted - balance;
  }

  over(balance: bigint): boolean {
    return this.used(balance) > this.limit;
  }

  /** Makes the next slice last about 20 ms, given how long the last one took. */
  adapt(millis: number): void {
    const scale = Math.min(4, Math.max(1 / 4, sliceMillis / Math.max(millis, 0.01)));
    this.slice = Math.min(maxSlice, Math.max(minSlice, Math.round(this.slice * scale)));
  }

  /** The grant for a module that is not over its limit: up to a slice, never past the limit, at least 1. */
  grant(balance: bigint): bigint {
    const left = this.limit - this.used(balance);
    const slice = BigInt(this.slice);
    const wanted = (slice < left ? slice : left) - balance;
    const grant = wanted < 1n ? 1n : wanted;
    this.#granted += grant;
    return grant;
  }
}
