// The page's side of one sandbox: frame, worker, and the runner in it.
//
// A runner is asked to stop first: by a message, which is heard where modules
// can wait in the middle of a task, and by taking its leash away, which it looks
// at once a slice where they cannot. What does not answer is torn down.

import frame from "embed:frame";
import type { Bytes } from "./bytes.ts";
import { type Checkpoint, decodeRunner, type FromRunner, type Job, type Outcome, type ToRunner } from "./channel.ts";
import { trustedPolicy } from "./trusted.ts";

/** How long a runner may take to stop by itself, in milliseconds: one that hears, and one that looks at its leash once a slice. */
const politeMillis = { yields: 50, not: 300 };
/** How long a frame may take to start. */
const startMillis = 10_000;
/** How long browsers take to end a worker that does not answer: Chromium, the slowest measured, two seconds. */
const cutMillis = 2_500;

/** How a kill went: how long it took, and whether the end of the worker was seen or only ordered. */
export interface Silence {
  readonly millis: number;
  readonly seen: boolean;
}

export interface Handlers {
  compiled(): void;
  progress(permille: number, text: string, fuel: number): void;
  checkpoint(at: Checkpoint): void;
}

export class Sandbox {
  yields = false;
  readonly #port: MessagePort;
  readonly #control: MessagePort;
  readonly #gone: Promise<void>;
  #ready: (() => void) | null = null;
  #ended: ((o: Outcome) => void) | null = null;
  #broken: ((e: Error) => void) | null = null;
  #idle = true;

  private constructor(
    private readonly element: HTMLIFrameElement,
    private readonly handlers: Handlers,
  ) {
    const control = new MessageChannel();
    const runner = new MessageChannel();
    this.#control = control.port1;
    this.#port = runner.port1;
    this.#port.onmessage = (e) => this.#receive(decodeRunner(e.data));
    this.#control.onmessage = () => this.#fail("the browser did not start the runner");
    // Fires when the worker that holds the other end is no more, in browsers
    // that tell. Chromium 156 does not, for a worker that was terminated.
    this.#gone = new Promise((resolve) => this.#port.addEventListener("close", () => resolve()));
    element.contentWindow?.postMessage(null, "*", [control.port2, runner.port2]);
  }

  /** Makes a frame with a worker in it; mount is where the page has it. */
  static async open(mount: Node, handlers: Handlers): Promise<Sandbox> {
    const element = document.createElement("iframe");
    element.setAttribute("sandbox", "allow-scripts");
    element.setAttribute("aria-hidden", "true");
    element.tabIndex = -1;
    element.hidden = true;
    element.srcdoc = trustedPolicy().createHTML(frame);
    const loaded = new Promise((resolve) => (element.onload = resolve));
    mount.appendChild(element);
    await within(startMillis, loaded);
    const sandbox = new Sandbox(element, handlers);
    const ready = new Promise<void>((resolve, reject) => {
      sandbox.#ready = resolve;
      sandbox.#broken = reject;
    });
    try {
      await within(startMillis, ready);
    } catch (e) {
      element.remove();
      throw e;
    }
    return sandbox;
  }

  /** Gives the module away: afterwards only the runner has these bytes. */
  load(module: Bytes): void {
    this.#send({ type: "load", module }, [module.buffer]);
  }

  /** Gives the job's input away, too. */
  run(job: Job): Promise<Outcome> {
    this.#idle = false;
    const outcome = new Promise<Outcome>((resolve, reject) => {
      this.#ended = resolve;
      this.#broken = reject;
    });
    this.#send({ type: "run", job }, [job.input.buffer]);
    return outcome.finally(() => (this.#idle = true));
  }

  pace(share: number, paused: boolean): void {
    this.#send({ type: "pace", share, paused });
  }

  /** Ends whatever runs and removes the frame; since is when that was decided. */
  async kill(since: number): Promise<Silence> {
    const alreadyIdle = this.#idle;
    this.#send({ type: "stop" });
    this.#control.postMessage("let go");
    const stopped = alreadyIdle || (await this.#stopsBy(this.yields ? politeMillis.yields : politeMillis.not));
    this.#control.postMessage("terminate");
    this.element.remove();
    const seen = stopped || (await before(cutMillis, this.#gone));
    const millis = performance.now() - since;
    this.#fail("torn down");
    this.#port.close();
    this.#control.close();
    return { millis, seen };
  }

  #stopsBy(millis: number): Promise<boolean> {
    const ended = this.#ended;
    return before(millis, new Promise<void>((resolve) => {
      this.#ended = (o) => {
        ended?.(o);
        resolve();
      };
    }));
  }

  #send(message: ToRunner, transfer: Transferable[] = []): void {
    this.#port.postMessage(message, transfer);
  }

  #fail(what: string): void {
    this.#broken?.(new Error(what));
  }

  #receive(message: FromRunner | null): void {
    switch (message?.type) {
      case "ready":
        this.yields = message.yields;
        return this.#ready?.();
      case "compiled":
        return this.handlers.compiled();
      case "progress":
        return this.handlers.progress(message.permille, message.text, message.fuel);
      case "checkpoint":
        return this.handlers.checkpoint(message.at);
      case "end":
        return this.#ended?.(message.outcome);
      default:
        return this.#fail("the runner sent what no runner sends");
    }
  }
}

/** Whether p is fulfilled within so many milliseconds. */
function before(millis: number, p: Promise<void>): Promise<boolean> {
  return Promise.race([p.then(() => true), new Promise<boolean>((resolve) => setTimeout(() => resolve(false), millis))]);
}

async function within<T>(millis: number, p: Promise<T>): Promise<T> {
  let timer = 0;
  const late = new Promise<never>((_, reject) => {
    timer = window.setTimeout(() => reject(new Error("the sandbox did not start")), millis);
  });
  return Promise.race([p, late]).finally(() => clearTimeout(timer));
}
