// Bodies from the hub, each with its cap.

import { type Bytes, concat } from "./bytes.ts";

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

const patience = 120_000; // milliseconds for a body

/** An answer that is not a good one. */
export class Status extends Error {
  constructor(
    readonly status: number,
    path: string,
  ) {
    super(`the hub answered ${status} for ${path}`);
  }
}

/** Reads a body of at most cap bytes, and throws over() as soon as there are more. */
export async function download(fetch: Fetch, url: string, cap: number, over: () => Error, cache: RequestCache): Promise<Bytes> {
  const response = await fetch(url, {
    cache, credentials: "omit", redirect: "error", referrerPolicy: "no-referrer", signal: AbortSignal.timeout(patience),
  });
  if (!response.ok || response.body === null) throw new Status(response.status, new URL(url).pathname.slice(0, 10));
  const parts: Uint8Array[] = [];
  let length = 0;
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return concat(...parts);
    length += value.length;
    if (length > cap) {
      void reader.cancel().catch(() => {});
      throw over();
    }
    parts.push(value);
  }
}
