// The connection to the hub: docs/spec/wire.md. It joins, comes back after a
// loss, and keeps every result until the hub says that it is on disk.

import { printable } from "./bytes.ts";
import { signJoin, type Identity } from "./vote.ts";
import {
  decodeFrame, encodeMessage, type FromHub, type Hello, joinText, maxText, maxWant, type ReturnReason, subprotocol, type ToHub, WireError,
} from "./wire.ts";

const agent = "countersign-browser/0.1.0";
const firstDelay = 5_000;
const maxDelay = 60_000;
const maxHint = 600_000; // however long the hub wants to be left alone
/** A connection that lasted this long was a good one: the next delay is short again. */
const goodMillis = 10_000;
const maxReturns = 64;
const closeProtocol = 4008; // of the codes that pages may send, the one closest to 1008

/** What of a WebSocket the link uses. */
export interface Socket {
  onmessage: ((data: unknown) => void) | null;
  onclose: (() => void) | null;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

export interface Environment {
  connect(url: string, protocol: string): Socket;
  now(): number;
  random(): number;
  after(millis: number, f: () => void): () => void; // returns how to call it off
}

/** What happens on the link, for its owner. Messages are those after the welcome. */
export interface LinkEvents {
  open(halted: boolean, visit: number): void;
  lost(why: string): void;
  message(m: Exclude<FromHub, Hello | { type: "welcome" } | { type: "error" }>): void;
}

export class Link {
  #socket: Socket | null = null;
  #stage: "closed" | "hello" | "welcome" | "open" = "closed";
  #openedAt = 0;
  #attempt = 0;
  #why = "";
  #hint = 0; // milliseconds that the hub asked for
  #session = ""; // to come back with, in the place of the site's token
  #callOff: () => void = () => {};
  #wanted = 0;
  readonly #results = new Map<string, ToHub>();
  readonly #offers = new Map<string, ToHub>();
  #returns: ToHub[] = [];

  constructor(
    private readonly url: string,
    private readonly identity: Identity,
    private readonly site: string, // the page's token, or ""
    private readonly env: Environment,
    private readonly events: LinkEvents,
  ) {}

  get unacknowledged(): number {
    return this.#results.size + this.#offers.size;
  }

  start(): void {
    if (this.#socket !== null) return;
    this.#callOff();
    this.#why = "";
    this.#stage = "hello";
    const socket = this.env.connect(this.url, subprotocol);
    this.#socket = socket;
    socket.onmessage = (data) => void this.#receive(socket, data);
    socket.onclose = () => this.#closed(socket);
  }

  /** Closes for good. What is not acknowledged by then is lost to the hub, and never counted. */
  close(): void {
    this.#callOff();
    const socket = this.#socket;
    this.#socket = null;
    this.#stage = "closed";
    socket?.close(1000);
  }

  want(leases: number): void {
    leases = Math.min(leases, maxWant);
    if (leases === this.#wanted) return;
    this.#wanted = leases;
    this.#send({ type: "want", leases });
  }

  deliver(id: string, message: ToHub): void {
    this.#results.set(id, message);
    this.#send(message);
  }

  /** Offers a checkpoint until the hub says what it has. */
  offer(id: string, message: ToHub): void {
    this.#offers.set(id, message);
    this.#send(message);
  }

  giveBack(id: string, reason: ReturnReason, check: string, detail: string): void {
    const message: ToHub = { type: "return", id, reason, check, detail: printable(detail, maxText) };
    if (!this.#send(message) && this.#returns.length < maxReturns) this.#returns.push(message);
  }

  progress(id: string, permille: number, text: string, fuel: number): void {
    this.#send({ type: "progress", id, permille, text, fuel });
  }

  #send(message: ToHub): boolean {
    if (this.#stage !== "open") return false;
    this.#socket?.send(encodeMessage(message));
    return true;
  }

  async #receive(socket: Socket, data: unknown): Promise<void> {
    try {
      for (const message of decodeFrame(data)) {
        if (socket !== this.#socket) return;
        if (this.#stage === "open") this.#dispatch(message);
        else await this.#greet(socket, message);
      }
    } catch (e) {
      if (!(e instanceof WireError)) throw e;
      this.#why = `the hub sent what is no message: ${e.message}`;
      socket.close(closeProtocol, "message");
    }
  }

  async #greet(socket: Socket, message: FromHub): Promise<void> {
    if (message.type === "error") {
      this.#session = ""; // it may be the reason
      return this.#failed(message);
    }
    if (message.type === "hello" && this.#stage === "hello") {
      this.#stage = "welcome";
      const signature = await signJoin(this.identity, joinText(message));
      if (socket === this.#socket) socket.send(encodeMessage({ type: "join", worker: this.identity.worker, signature, agent, pass: this.#session || this.site }));
    } else if (message.type === "welcome" && this.#stage === "welcome") {
      this.#stage = "open";
      this.#session = message.session;
      this.#openedAt = this.env.now();
      this.#resume();
      this.events.open(message.halted, message.visit);
    } else throw new WireError(`${message.type} before the welcome`);
  }

  /** After a new welcome: first what the hub may have missed, then the wish for more. */
  #resume(): void {
    for (const m of this.#results.values()) this.#send(m);
    for (const m of this.#offers.values()) this.#send(m);
    for (const m of this.#returns) this.#send(m);
    this.#returns = [];
    if (this.#wanted > 0) this.#send({ type: "want", leases: this.#wanted });
  }

  #dispatch(message: FromHub): void {
    switch (message.type) {
      case "hello":
      case "welcome":
        throw new WireError(`a second ${message.type}`);
      case "error":
        return this.#failed(message);
      case "ack":
      case "refused":
        this.#offers.delete(message.id);
        if (!this.#results.delete(message.id)) return; // answered before: it was sent twice
        break;
      case "kept":
        if (!this.#offers.delete(message.id)) return;
    }
    this.events.message(message);
  }

  #failed({ code, message, retry }: Extract<FromHub, { type: "error" }>): void {
    this.#why = `${message} (${code})`;
    this.#hint = Math.min(retry * 1000, maxHint);
  }

  #closed(socket: Socket): void {
    if (socket !== this.#socket) return;
    if (this.#stage === "open" && this.env.now() - this.#openedAt >= goodMillis) this.#attempt = 0;
    this.#socket = null;
    this.#stage = "closed";
    const longest = Math.min(maxDelay, firstDelay * 2 ** this.#attempt++);
    // All volunteers of a hub that restarts lose it at once; they must not come back at once.
    const delay = longest * (0.1 + 0.9 * this.env.random());
    this.#callOff = this.env.after(Math.max(delay, this.#hint * (1 + this.env.random() / 4)), () => this.start());
    this.#hint = 0;
    this.events.lost(this.#why);
  }
}
