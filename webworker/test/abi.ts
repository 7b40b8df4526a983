// One vector of the ABI on the deterministic host: testdata/vectors/abi. Engines
// are compared with it as well, so it knows no test framework.

import { fromBase64, fromHex, hex } from "../src/bytes.ts";
import { Ended, Host } from "../src/host.ts";

export type Vector = Record<string, unknown>;

interface Patch {
  readonly at: number;
  readonly hex: string;
}

interface Call {
  readonly fn: string;
  readonly args: readonly string[];
  readonly errno?: number;
  readonly answer?: number;
  readonly end?: string;
  readonly code?: number;
  readonly state?: string;
  readonly memory?: readonly Patch[];
}

function patch(memory: Uint8Array, patches: readonly Patch[] | undefined): void {
  for (const p of patches ?? []) memory.set(must(fromHex(p.hex, p.hex.length / 2)), p.at);
}

function must<T>(v: T | null): T {
  if (v === null) throw new Error("a vector is not as its README says");
  return v;
}

/** 64-bit arguments come as bigint from wasm; these are the functions whose argument so and so is one. */
function argument(fn: string, i: number, value: string): number | bigint {
  const wide: Record<string, readonly number[]> = { clock_time_get: [1], fd_seek: [1] };
  return wide[fn]?.includes(i) === true ? BigInt.asIntN(64, BigInt(value)) : Number(value) | 0;
}

/** What is wrong with how the host does a vector, or null. */
export function checkVector(v: Vector): string | null {
  const bytes = (name: string): Uint8Array<ArrayBuffer> => must(fromBase64((v[name] as string | undefined) ?? ""));
  const number = (name: string): number => (v[name] as number | undefined) ?? 0;
  const memory = new Uint8Array(65536);
  const fuel = { value: 0n };
  const progress: { permille: number; text: string }[] = [];
  const limit = BigInt(number("segment_fuel"));
  const host = new Host(
    {
      input: bytes("input"),
      args: v["args"] as string[],
      seed: must(fromHex(v["seed"] as string, 32)),
      outputBytes: number("output_bytes"),
      number: number("segment"),
      state: bytes("state"),
      written: 0,
    },
    (permille, text) => progress.push({ permille, text }),
    () => limit > 0n && BigInt(number("used")) - fuel.value >= limit - limit / 2n,
  );
  host.attach({ memory, fuel });
  patch(memory, v["memory"] as Patch[]);
  const functions = { ...host.preview1(), ...host.own() };
  for (const [i, c] of (v["calls"] as Call[]).entries()) {
    const expected = memory.slice();
    patch(expected, c.memory);
    const wrong = call(functions, c);
    if (wrong !== null) return `call ${i}, ${c.fn}: ${wrong}`;
    if (memory.some((b, at) => b !== expected[at])) return `call ${i}, ${c.fn}: memory differs`;
  }
  if (Number(-fuel.value) !== v["charged"]) return `charged ${-fuel.value}`;
  if (hex(host.output()) !== hex(bytes("output"))) return "output";
  if (hex(host.log()) !== hex(bytes("log"))) return "log";
  return JSON.stringify(progress) === JSON.stringify(v["progress"]) ? null : "progress";
}

function call(functions: ReturnType<Host["own"]>, c: Call): string | null {
  const args = c.args.map((a, k) => argument(c.fn, k, a));
  try {
    const answer = functions[c.fn]?.(...args);
    if (c.end !== undefined) return "it does not end the run";
    const got = typeof answer === "number" ? answer >>> 0 : answer;
    return got === (c.errno ?? c.answer) ? null : `answer ${String(got)}`;
  } catch (e) {
    if (!(e instanceof Ended)) throw e;
    if (e.end !== c.end || e.code !== (c.code ?? 0)) return `end ${e.end} ${e.code}`;
    return hex(e.state) === hex(must(fromBase64(c.state ?? ""))) ? null : "state";
  }
}
