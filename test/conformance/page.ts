// The page that each browser opens: it has its worker run every case, and
// tells the runner what came of each. Meanwhile it watches that it stays alive.

import type { Case } from "./worker.ts";

interface Task extends Case {
  readonly module: string;
  readonly input: string | { readonly repeat: string; readonly bytes: number };
}

const post = (path: string, body: unknown): Promise<Response> => fetch(path, { method: "POST", body: JSON.stringify(body) });

async function main(): Promise<void> {
  const { cases, vectors } = (await (await fetch("/cases")).json()) as { cases: Task[]; vectors: unknown[] };
  // A worker for each case: WebKit gives back a worker's memories when it ends.
  const ask = (message: unknown): Promise<unknown> => {
    const worker = new Worker("/worker.js");
    const answer = new Promise((resolve, reject) => {
      worker.onmessage = (e) => resolve(e.data);
      worker.onerror = (e) => reject(new Error(e.message));
    });
    worker.postMessage(message);
    return answer.finally(() => worker.terminate());
  };
  let last = performance.now();
  let longest = 0;
  setInterval(() => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  }, 50);
  await post("/found", { vectors: await ask({ vectors }) });
  for (const c of cases) {
    const module = new Uint8Array(await (await fetch(`/file/${c.module}`)).arrayBuffer());
    await post("/found", { found: await ask({ c, module, input: await inputOf(c.input) }) });
  }
  await post("/found", { done: { longest: Math.round(longest) } });
}

async function inputOf(input: Task["input"]): Promise<Uint8Array> {
  if (typeof input === "string") return new Uint8Array(await (await fetch(`/file/${input}`)).arrayBuffer());
  const text = new TextEncoder().encode(input.repeat);
  const bytes = new Uint8Array(input.bytes);
  for (let at = 0; at < bytes.length; at += text.length) bytes.set(text.subarray(0, bytes.length - at), at);
  return bytes;
}

main().catch((e: unknown) => post("/found", { failed: String(e) }));
