// A hub that lies: a proxy in front of a real one, which changes, withholds or
// floods what it is told to, of files and of the socket's messages alike.

import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, connect } from "node:net";
import type { Duplex } from "node:stream";
import { textFrame } from "./websocket.ts";

/** What comes instead of a body: other bytes, bytes without end, or nothing ever. */
export type Lie = Buffer | "endless" | "never" | "missing";

export class Liar {
  /** Says what to answer instead of a body, or null to be honest. */
  body: (path: string, body: Buffer) => Lie | null = () => null;
  /** Says which messages to send instead of one of the hub's. */
  messages: (text: string) => string[] = (text) => [text];
  closes = 0; // of connections, by either side
  readonly asked: string[] = [];
  private readonly server: Server;
  private readonly port: string;
  private readonly hostname: string;

  constructor(hub: string) {
    ({ hostname: this.hostname, port: this.port } = new URL(hub));
    this.server = createServer((q, r) => this.pass(q, r));
    this.server.on("upgrade", (q, socket, head) => this.join(q, socket, head));
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.server.close();
    this.server.closeAllConnections();
  }

  honest(): void {
    this.body = () => null;
    this.messages = (text) => [text];
    this.closes = 0;
  }

  private pass(q: IncomingMessage, r: ServerResponse): void {
    const path = q.url ?? "";
    this.asked.push(path);
    const { "if-none-match": _, ...headers } = q.headers;
    const upstream = request({ hostname: this.hostname, port: this.port, path, method: q.method, headers: { ...headers, "accept-encoding": "identity" } }, (answer) => {
      const parts: Buffer[] = [];
      answer.on("data", (d: Buffer) => parts.push(d));
      answer.on("end", () => {
        const { "content-length": _, etag: __, ...rest } = answer.headers;
        const body = Buffer.concat(parts);
        const lie = this.body(path, body);
        if (lie === "never") return;
        // Nothing of an earlier lie may lie in the browser's cache.
        r.writeHead(lie === "missing" ? 404 : lie === null ? (answer.statusCode ?? 502) : 200, { ...rest, "cache-control": "no-store" });
        if (lie === "endless") return flood(r);
        r.end(lie === null ? body : lie === "missing" ? "" : lie);
      });
    });
    upstream.on("error", () => r.destroy());
    q.pipe(upstream);
  }

  private join(q: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on("close", () => this.closes++);
    const upstream = connect(Number(this.port), this.hostname, () => {
      const lines = [`${q.method} ${q.url} HTTP/1.1`];
      for (let i = 0; i < q.rawHeaders.length; i += 2) {
        // Messages are to come as they are, not compressed.
        if (!/^sec-websocket-extensions$/i.test(q.rawHeaders[i]!)) lines.push(`${q.rawHeaders[i]}: ${q.rawHeaders[i + 1]}`);
      }
      upstream.write(lines.join("\r\n") + "\r\n\r\n");
      upstream.write(head);
      socket.pipe(upstream);
    });
    let buffer = Buffer.alloc(0);
    let greeted = false;
    upstream.on("data", (d: Buffer) => {
      buffer = Buffer.concat([buffer, d]);
      if (!greeted) {
        const end = buffer.indexOf("\r\n\r\n");
        if (end < 0) return;
        socket.write(buffer.subarray(0, end + 4));
        [buffer, greeted] = [buffer.subarray(end + 4), true];
      }
      for (let frame = take(buffer); frame !== null; frame = take(buffer)) {
        buffer = buffer.subarray(frame.whole.length);
        const text = (frame.whole[0]! & 15) === 1;
        // What was said in one frame stays in one: a lease may stand for the token of the next.
        const said = text ? frame.payload.toString().split("\n").flatMap((line) => this.messages(line)) : [];
        if (!text) socket.write(frame.whole);
        else if (said.length > 0) socket.write(textFrame(Buffer.from(said.join("\n"))));
      }
    });
    for (const [a, b] of [[upstream, socket], [socket, upstream]] as const) {
      a.on("error", () => b.destroy());
      a.on("close", () => b.end());
    }
  }
}

function flood(r: ServerResponse): void {
  const chunk = Buffer.alloc(1 << 16, 0x20);
  const more = (): void => {
    while (!r.destroyed && r.write(chunk));
    if (!r.destroyed) r.once("drain", more);
  };
  more();
}

/** The first frame of what a server sent, if it is there. */
function take(b: Buffer): { whole: Buffer; payload: Buffer } | null {
  if (b.length < 2) return null;
  let [length, at] = [b[1]! & 127, 2];
  if (length === 126) [length, at] = [b.length >= 4 ? b.readUInt16BE(2) : Infinity, 4];
  else if (length === 127) [length, at] = [b.length >= 10 ? Number(b.readBigUInt64BE(2)) : Infinity, 10];
  return b.length < at + length ? null : { whole: b.subarray(0, at + length), payload: b.subarray(at, at + length) };
}
