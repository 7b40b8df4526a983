// A hub by script: it says what a test wants said, true or not. The real hub
// refuses to lie; a volunteer has to stand one that does.

import { createPublicKey, randomBytes, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { createHash } from "node:crypto";
import { root } from "./paths.ts";
import { auditPath, index, order, policy, sha256, Signer } from "./sign.ts";
import { Peer } from "./websocket.ts";

type Message = Record<string, unknown> & { readonly type: string };

export interface Task {
  readonly release: string;
  readonly input: Buffer;
}

/** How many tasks every order has. */
const tasks = 64;

export class ScriptedHub {
  readonly files = new Map<string, Buffer>();
  readonly root = new Signer();
  readonly clock = new Signer();
  readonly tasks: Task[] = [];
  readonly results: Message[] = [];
  readonly returns: Message[] = [];
  readonly progress: Message[] = [];
  readonly workers: unknown[] = []; // keys that joined
  readonly asked: string[] = []; // paths
  order = ""; // of the last lease
  readonly leased = new Set<string>();
  verdict = "pending";
  acknowledges = true;
  peers: Peer[] = [];
  checkpoint = ""; // that leases name
  readonly offers: Message[] = [];
  private readonly orders = new Map<string, string>();
  private clocked: ReturnType<typeof policy> | null = null;
  private wanted = 0;
  private next = 0;
  private server: Server | null = null;

  constructor(
    private readonly signer: Pick<Signer, "text" | "sign">,
    private readonly attributes = "",
    private readonly dist = "dist", // folder of the loader, in webworker
  ) {
    if (signer.text === "") return; // of whom a policy would not be one
    this.files.set("/v1/policy", Buffer.from(JSON.stringify({ policies: [policy(this.root, [signer.text])] })));
  }

  /** Gives the policy a clock key, and an index that holds for so many seconds. */
  index(sequence: number, seconds: number, change: Record<string, unknown> = {}): void {
    this.clocked ??= policy(this.root, [this.signer.text], { clock_key: this.clock.text });
    this.files.set("/v1/policy", Buffer.from(JSON.stringify({ policies: [this.clocked] })));
    this.files.set("/v1/index", Buffer.from(JSON.stringify(index(this.clock, sequence, change, seconds))));
  }

  async start(): Promise<string> {
    this.server = createServer((q, r) => this.serve(q, r));
    this.server.on("upgrade", (q, socket) => this.greet(new Peer(q, socket, "countersign.v1")));
    await new Promise<void>((resolve) => this.server!.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  stop(): void {
    for (const p of this.peers) p.destroy();
    this.server?.close();
    this.server?.closeAllConnections();
  }

  /** Publishes a signed release and returns its digest. */
  publish(statement: Buffer, signer: Signer, module: Buffer): string {
    const digest = sha256(statement);
    this.files.set(`/s/${digest}`, statement);
    this.files.set(`/s/${digest}.minisig`, signer.sign(statement));
    this.files.set(`/m/${sha256(module)}`, module);
    return digest;
  }

  /** How many leases the volunteer wants. */
  get wants(): number {
    return this.wanted;
  }

  lend(...tasks: Task[]): void {
    this.tasks.push(...tasks);
    this.top();
  }

  broadcast(message: Message): void {
    for (const p of this.peers) p.send(message);
  }

  private top(): void {
    const peer = this.peers[0];
    while (peer !== undefined && this.leased.size < this.wanted && this.next < this.tasks.length) {
      const { release, input } = this.tasks[this.next]!;
      const id = randomBytes(16).toString("hex");
      this.leased.add(id);
      const task = this.next++;
      this.order = this.orderOf(release, input);
      peer.send({
        type: "lease", lease: "a.b.c", id, order: this.order, release, task, lane: 0, input: input.toString("base64"),
        proof: auditPath(Array.from({ length: tasks }, () => input), task).toString("base64"), checkpoint: this.checkpoint, seconds: 600,
      });
    }
  }

  /** The order, signed and served, whose every task has this input. */
  private orderOf(release: string, input: Buffer): string {
    const key = release + sha256(input);
    const known = this.orders.get(key);
    if (known !== undefined) return known;
    const lines = input.toString().split("\n").length - 1;
    const statement = order(release, "An order", input.toString().repeat(tasks), lines);
    const digest = sha256(statement);
    this.files.set(`/s/${digest}`, statement);
    this.files.set(`/s/${digest}.minisig`, this.signer.sign(statement));
    this.orders.set(key, digest);
    return digest;
  }

  private greet(peer: Peer): void {
    const hub = "11".repeat(32);
    const nonce = randomBytes(32).toString("hex");
    this.peers = [peer];
    this.wanted = 0;
    peer.onclose = () => (this.peers = this.peers.filter((p) => p !== peer));
    peer.onmessage = (text) => this.receive(peer, JSON.parse(text) as Message, `countersign.join/v1\n${hub}\n${nonce}\n`);
    peer.send({ type: "hello", hub, nonce, time: Math.floor(Date.now() / 1000) });
  }

  private receive(peer: Peer, m: Message, joinText: string): void {
    switch (m.type) {
      case "join": {
        const der = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), Buffer.from(String(m["worker"]), "hex")]);
        const key = createPublicKey({ key: der, format: "der", type: "spki" });
        if (!verify(null, Buffer.from(joinText), key, Buffer.from(String(m["signature"]), "hex"))) throw new Error("join: bad signature");
        this.workers.push(m["worker"]);
        return peer.send({ type: "welcome", halted: false, visit: 60, session: "" });
      }
      case "want":
        this.wanted = Number(m["leases"]);
        return this.top();
      case "progress":
        return void this.progress.push(m);
      case "result": {
        this.results.push(m);
        const id = String((m["vote"] as Record<string, unknown>)["lease"]);
        this.leased.delete(id);
        if (this.acknowledges) peer.send({ type: "ack", id, verdict: this.verdict });
        return this.top();
      }
      case "checkpoint": {
        this.offers.push(m);
        const { lease, segments } = m["checkpoint"] as Record<string, unknown>;
        return peer.send({ type: "kept", id: lease, segments });
      }
      case "return":
        this.returns.push(m);
        this.leased.delete(String(m["id"]));
        return this.top();
      default:
        throw new Error(`a volunteer sent ${m.type}`);
    }
  }

  private serve(q: IncomingMessage, r: ServerResponse): void {
    const path = q.url ?? "/";
    this.asked.push(path);
    const loader = readFileSync(`${root}/webworker/${this.dist}/countersign.js`);
    const frame = readFileSync(`${root}/webworker/${this.dist}/frame.sha256`, "utf8").trim();
    if (path === "/") {
      const integrity = `sha384-${createHash("sha384").update(loader).digest("base64")}`;
      r.setHeader("Content-Type", "text/html; charset=utf-8");
      r.setHeader(
        "Content-Security-Policy",
        `default-src 'none'; script-src 'self' '${frame}' 'wasm-unsafe-eval'; connect-src 'self' blob:; worker-src blob:; img-src 'self'; base-uri 'none'; ` +
          "require-trusted-types-for 'script'; trusted-types countersign",
      );
      return void r.end(
        `<!doctype html><html lang="en"><title>An embedding page</title><link rel="icon" href="/icon.svg"><h1>Somebody's page</h1>
<script src="/countersign.js" integrity="${integrity}" crossorigin="anonymous" data-countersign data-root="${this.signer.text === "" ? "" : this.root.text}" ${this.attributes}></script>`,
      );
    }
    if (path === "/countersign.js") {
      r.setHeader("Content-Type", "text/javascript");
      return void r.end(loader);
    }
    if (path === "/icon.svg") {
      r.setHeader("Content-Type", "image/svg+xml");
      return void r.end(readFileSync(`${root}/webworker/page/icon.svg`));
    }
    const body = this.files.get(path);
    r.statusCode = body === undefined ? 404 : 200;
    r.end(body);
  }
}
