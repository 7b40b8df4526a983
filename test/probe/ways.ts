// What page and probe say to each other.

/** Where the probe may try to go. */
export interface Ways {
  readonly page: string; // origin
  readonly stranger: string; // origin
  readonly socket: string;
  readonly pageBlob: string;
  readonly otherBlob: string; // of another sandbox
  readonly channel: string;
}

/** What may be reached: more code of its own. */
export const harmless = "its own code";

/** One way, and what came of it. */
export interface Told {
  readonly what: string;
  readonly way: string;
  readonly reached: boolean;
  readonly how: string;
}

export function within<T>(millis: number, p: Promise<T>): Promise<T> {
  return Promise.race([p, new Promise<T>((_, reject) => setTimeout(() => reject(new Error(`nothing came of it in ${millis} ms`)), millis))]);
}
