// The deterministic host: docs/spec/abi.md. Everything a module can observe
// follows from the module, the input, the arguments and the seed.
//
// It works on any Machine, so that the shared vectors run on it without an
// engine.

import type { Bytes } from "./bytes.ts";
import { Xoshiro } from "./xoshiro.ts";

export interface Segment {
  readonly input: Bytes;
  readonly args: readonly string[]; // argv[1] and on
  readonly seed: Bytes; // 32 bytes, the segment's
  readonly outputBytes: number; // limit of the task
  readonly number: number;
  readonly state: Bytes; // that it begins with
  readonly written: number; // bytes of output that earlier segments wrote
}

/** What the host sees of a running module. */
export interface Machine {
  readonly memory: { readonly buffer: ArrayBufferLike };
  readonly fuel: { value: bigint }; // the module's balance
}

/** Thrown through the module to end its segment. */
export class Ended {
  constructor(
    readonly end: "exit" | "output" | "state" | "checkpoint",
    readonly code: number,
    readonly state: Bytes = new Uint8Array(), // of a checkpoint
  ) {}
}

const success = 0;
const badf = 8;
const fault = 21;
const inval = 28;
const nosys = 52;
const spipe = 70;

const maxVectors = 1024;
const maxSubscriptions = 1024;
const maxLog = 65536;
const maxProgress = 256;
const clockStart = 1_700_000_000_000_000_000n;
const clockStep = 1_000n;
const clockEra = 1_000_000_000_000n; // by which it is later in each segment
const lastTime = 2n ** 64n - 1n;
const newInstance = 1_000_000; // what a checkpoint costs beside its state

export const maxState = 1 << 20;
export const maxSegments = 16384;

type Import = (...args: (number | bigint)[]) => number | bigint | void;

/** Functions of preview 1 that answer one number, whatever they are asked. */
const fixed: readonly [number, string][] = [
  [success, "sched_yield"],
  [
    badf,
    "fd_advise fd_allocate fd_fdstat_set_rights fd_filestat_set_size fd_filestat_set_times fd_pread fd_prestat_get fd_prestat_dir_name " +
      "fd_pwrite fd_readdir fd_renumber path_create_directory path_filestat_get path_filestat_set_times path_link path_open path_readlink " +
      "path_remove_directory path_rename path_symlink path_unlink_file",
  ],
  [nosys, "proc_raise sock_accept sock_recv sock_send sock_shutdown"],
];

/** One element of a vector of buffers. */
interface Span {
  readonly ptr: number;
  readonly len: number;
}

/** One thing that poll_oneoff is asked to wait for. */
interface Subscription {
  readonly userdata: bigint;
  readonly tag: number; // 0: a clock, 1: reading, 2: writing
  readonly error: number;
  readonly bytes: number; // that can be read
  readonly due: bigint; // a time, for clocks; otherwise now
}

export class Host {
  #machine: Machine | null = null;
  readonly #random: Xoshiro;
  readonly #argv: Bytes[];
  readonly #out = new Sink();
  readonly #logged = new Sink();
  #readAt = 0;
  #clock: bigint;

  constructor(
    private readonly task: Segment,
    private readonly onProgress: (permille: number, text: string) => void,
    private readonly due: () => boolean = () => false,
  ) {
    this.#clock = clockStart + clockEra * BigInt(task.number);
    this.#random = new Xoshiro(task.seed);
    const encoder = new TextEncoder();
    this.#argv = ["countersign", ...task.args].map((a) => encoder.encode(a + "\0"));
  }

  /** Gives the host the module's memory and balance, before the module runs. */
  attach(machine: Machine): void {
    this.#machine = machine;
  }

  /** What this segment wrote. */
  output(): Bytes {
    return this.#out.bytes();
  }

  log(): Bytes {
    return this.#logged.bytes();
  }

  /** Every function of wasi_snapshot_preview1. */
  preview1(): Record<string, Import> {
    const all: Record<string, Import> = {};
    for (const [errno, names] of fixed) for (const name of names.split(" ")) all[name] = () => errno;
    const own: Record<string, (...args: number[]) => number> = {
      args_sizes_get: (n, size) => this.#sizes(n!, size!, this.#argv),
      args_get: (ptrs, buf) => this.#strings(ptrs!, buf!, this.#argv),
      environ_sizes_get: (n, size) => this.#sizes(n!, size!, []),
      environ_get: (ptrs, buf) => this.#strings(ptrs!, buf!, []),
      fd_read: (fd, iovs, n, nread) => this.#fdRead(fd!, iovs!, n!, nread!),
      fd_write: (fd, iovs, n, nwritten) => this.#fdWrite(fd!, iovs!, n!, nwritten!),
      fd_close: (fd) => standard(fd!, success),
      fd_seek: (fd) => standard(fd!, spipe),
      fd_tell: (fd) => standard(fd!, spipe),
      fd_fdstat_set_flags: (fd) => standard(fd!, success),
      fd_datasync: (fd) => standard(fd!, success),
      fd_sync: (fd) => standard(fd!, success),
      fd_fdstat_get: (fd, ptr) => this.#fdstat(fd!, ptr!),
      fd_filestat_get: (fd, ptr) => (fd! > 2 ? badf : this.#put(ptr!, 64, () => {})),
      clock_res_get: (id, ptr) => (id! > 3 ? inval : this.#put(ptr!, 8, (v) => v.setBigUint64(0, clockStep, true))),
      clock_time_get: (id, _precision, ptr) => (id! > 3 ? inval : this.#time(ptr!)),
      poll_oneoff: (subs, events, n, count) => this.#poll(subs!, events!, n!, count!),
      random_get: (ptr, len) => this.#randomGet(ptr!, len!),
      proc_exit: (code) => {
        throw new Ended("exit", code!);
      },
    };
    // All pointers and lengths are unsigned; only clocks and seeks take an i64,
    // which they do not look at.
    for (const [name, f] of Object.entries(own)) all[name] = (...args) => f(...args.map((a) => Number(a) >>> 0));
    return all;
  }

  /** countersign.progress. */
  progress(permille: number, ptr: number, len: number): void {
    if (!this.#inside(ptr >>> 0, len >>> 0)) return;
    const n = Math.min(len >>> 0, maxProgress);
    this.#charge(n);
    const text = String.fromCharCode(...this.#bytes(ptr >>> 0, n)).replace(/[^\x20-\x7e]/g, "?");
    this.onProgress(Math.min(permille >>> 0, 1000), text);
  }

  /** Every function of countersign but refill. */
  own(): Record<string, Import> {
    return {
      progress: (permille, ptr, len) => this.progress(Number(permille), Number(ptr), Number(len)),
      restore: (ptr, cap) => this.#restore(Number(ptr) >>> 0, Number(cap) >>> 0),
      checkpoint: (ptr, len) => this.#checkpoint(Number(ptr) >>> 0, Number(len) >>> 0),
      segment_due: () => (this.due() ? 1 : 0),
    };
  }

  #restore(ptr: number, cap: number): number {
    const { state } = this.task;
    const n = Math.min(cap, state.length);
    if (!this.#inside(ptr, n)) return -1;
    this.#charge(n);
    this.#bytes(ptr, n).set(state.subarray(0, n));
    return state.length;
  }

  #checkpoint(ptr: number, len: number): never {
    if (!this.#inside(ptr, len) || len > maxState || this.task.number >= maxSegments - 1) throw new Ended("state", 0);
    this.#charge(len + 8 * newInstance);
    throw new Ended("checkpoint", 0, this.#bytes(ptr, len).slice());
  }

  get #attached(): Machine {
    if (this.#machine === null) throw new Error("the module called its host before it was started");
    return this.#machine;
  }

  // Memory may grow and move between calls, so no view of it is kept.
  #bytes(ptr: number, len: number): Uint8Array {
    return new Uint8Array(this.#attached.memory.buffer, ptr, len);
  }

  #view(ptr: number, len: number): DataView {
    return new DataView(this.#attached.memory.buffer, ptr, len);
  }

  #inside(ptr: number, len: number): boolean {
    return ptr + len <= this.#attached.memory.buffer.byteLength;
  }

  #charge(bytes: number): void {
    this.#attached.fuel.value -= BigInt(Math.floor(bytes / 8));
  }

  /** Zeroes len bytes at ptr and lets fill write there; or answers fault. */
  #put(ptr: number, len: number, fill: (view: DataView) => void): number {
    if (!this.#inside(ptr, len)) return fault;
    this.#bytes(ptr, len).fill(0);
    fill(this.#view(ptr, len));
    return success;
  }

  #sizes(n: number, size: number, list: Bytes[]): number {
    if (!this.#inside(n, 4) || !this.#inside(size, 4)) return fault;
    this.#view(n, 4).setUint32(0, list.length, true);
    this.#view(size, 4).setUint32(0, total(list), true);
    return success;
  }

  #strings(ptrs: number, buf: number, list: Bytes[]): number {
    if (!this.#inside(ptrs, 4 * list.length) || !this.#inside(buf, total(list))) return fault;
    for (const [i, s] of list.entries()) {
      this.#view(ptrs + 4 * i, 4).setUint32(0, buf, true);
      this.#bytes(buf, s.length).set(s);
      buf += s.length;
    }
    return success;
  }

  /** Reads a vector of buffers; null when the vector or a buffer is outside of the memory. */
  #vector(iovs: number, n: number): Span[] | null {
    if (!this.#inside(iovs, 8 * n)) return null;
    const view = this.#view(iovs, 8 * n);
    const spans: Span[] = [];
    for (let i = 0; i < n; i++) {
      const span = { ptr: view.getUint32(8 * i, true), len: view.getUint32(8 * i + 4, true) };
      if (!this.#inside(span.ptr, span.len)) return null;
      spans.push(span);
    }
    return spans;
  }

  #fdRead(fd: number, iovs: number, n: number, nread: number): number {
    if (fd !== 0) return badf;
    if (n > maxVectors) return inval;
    const spans = this.#vector(iovs, n);
    if (spans === null || !this.#inside(nread, 4)) return fault;
    const input = this.task.input;
    const delivered = Math.min(input.length - this.#readAt, length(spans));
    this.#charge(delivered);
    const end = this.#readAt + delivered;
    for (const { ptr, len } of spans) {
      const part = input.subarray(this.#readAt, Math.min(end, this.#readAt + len));
      this.#bytes(ptr, part.length).set(part);
      this.#readAt += part.length;
    }
    this.#view(nread, 4).setUint32(0, delivered, true);
    return success;
  }

  #fdWrite(fd: number, iovs: number, n: number, nwritten: number): number {
    if (fd !== 1 && fd !== 2) return badf;
    if (n > maxVectors) return inval;
    const spans = this.#vector(iovs, n);
    if (spans === null || !this.#inside(nwritten, 4)) return fault;
    const given = length(spans);
    this.#charge(given);
    if (fd === 1) this.#appendOutput(spans, given);
    else this.#appendLog(spans);
    this.#view(nwritten, 4).setUint32(0, given, true);
    return success;
  }

  #appendOutput(spans: Span[], given: number): void {
    if (this.task.written + this.#out.length + given > this.task.outputBytes) throw new Ended("output", 0);
    for (const { ptr, len } of spans) this.#out.append(this.#bytes(ptr, len));
  }

  #appendLog(spans: Span[]): void {
    for (const { ptr, len } of spans) this.#logged.append(this.#bytes(ptr, Math.min(len, maxLog - this.#logged.length)));
  }

  #fdstat(fd: number, ptr: number): number {
    if (fd > 2) return badf;
    const rights = fd === 0 ? 1n << 1n : 1n << 6n;
    return this.#put(ptr, 24, (v) => v.setBigUint64(8, rights, true));
  }

  #time(ptr: number): number {
    return this.#put(ptr, 8, (v) => {
      v.setBigUint64(0, this.#clock, true);
      this.#clock = BigInt.asUintN(64, this.#clock + clockStep);
    });
  }

  /** Nothing waits: when nothing is ready, the clock goes on to the first time asked for. */
  #poll(subs: number, events: number, n: number, count: number): number {
    if (n === 0 || n > maxSubscriptions) return inval;
    if (!this.#inside(subs, 48 * n) || !this.#inside(events, 32 * n) || !this.#inside(count, 4)) return fault;
    const asked: Subscription[] = [];
    for (let i = 0; i < n; i++) {
      const s = this.#subscription(this.#view(subs + 48 * i, 48));
      if (s === null) return inval;
      asked.push(s);
    }
    this.#charge(48 * n);
    const first = asked.reduce((t, s) => (s.due < t ? s.due : t), lastTime);
    if (first > this.#clock) this.#clock = first;
    const ready = asked.filter((s) => s.due <= this.#clock);
    for (const [i, s] of ready.entries()) {
      this.#put(events + 32 * i, 32, (v) => {
        v.setBigUint64(0, s.userdata, true);
        v.setUint16(8, s.error, true);
        v.setUint8(10, s.tag);
        v.setBigUint64(16, BigInt(s.bytes), true);
      });
    }
    this.#view(count, 4).setUint32(0, ready.length, true);
    return success;
  }

  #subscription(v: DataView): Subscription | null {
    const [userdata, tag, subject] = [v.getBigUint64(0, true), v.getUint8(8), v.getUint32(16, true)];
    const now = this.#clock;
    const atOnce = (error: number, bytes = 0): Subscription => ({ userdata, tag, error, bytes, due: now });
    if (tag > 2) return null;
    if (tag === 1) return subject === 0 ? atOnce(success, this.task.input.length - this.#readAt) : atOnce(badf);
    if (tag === 2) return atOnce(subject === 1 || subject === 2 ? success : badf);
    if (subject > 3) return atOnce(inval);
    const timeout = v.getBigUint64(24, true);
    const due = (v.getUint8(40) & 1) === 1 ? timeout : now + timeout;
    return { userdata, tag, error: success, bytes: 0, due: due > lastTime ? lastTime : due };
  }

  #randomGet(ptr: number, len: number): number {
    if (!this.#inside(ptr, len)) return fault;
    this.#charge(len);
    this.#random.fill(this.#bytes(ptr, len));
    return success;
  }
}

/** Bytes that grow at their end. Its callers bound it. */
class Sink {
  length = 0;
  #buffer = new Uint8Array(256);

  append(bytes: Uint8Array): void {
    const length = this.length + bytes.length;
    if (length > this.#buffer.length) {
      const larger = new Uint8Array(Math.max(length, 2 * this.#buffer.length));
      larger.set(this.#buffer);
      this.#buffer = larger;
    }
    this.#buffer.set(bytes, this.length);
    this.length = length;
  }

  bytes(): Bytes {
    return this.#buffer.slice(0, this.length);
  }
}

/** The answer for the three standard descriptors; all others are bad. */
function standard(fd: number, errno: number): number {
  return fd > 2 ? badf : errno;
}

function length(spans: Span[]): number {
  return spans.reduce((n, s) => n + s.len, 0);
}

function total(list: Bytes[]): number {
  return list.reduce((n, s) => n + s.length, 0);
}
