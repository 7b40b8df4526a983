// The server's half of a WebSocket (RFC 6455), as much of it as a scripted hub
// needs: text messages of any size, close, and nothing else.

import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";

export class Peer {
  onmessage: (text: string) => void = () => {};
  onclose: () => void = () => {};
  private buffer = Buffer.alloc(0);
  private parts: Buffer[] = [];

  constructor(
    request: IncomingMessage,
    private readonly socket: Duplex,
    protocol: string,
  ) {
    const accept = createHash("sha1").update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
        `Sec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: ${protocol}\r\n\r\n`,
    );
    socket.on("data", (chunk: Buffer) => this.read(chunk));
    socket.on("close", () => this.onclose());
    socket.on("error", () => socket.destroy());
  }

  send(message: unknown): void {
    this.socket.write(textFrame(Buffer.from(JSON.stringify(message))));
  }

  close(): void {
    this.socket.end(Buffer.of(0x88, 0));
  }

  destroy(): void {
    this.socket.destroy();
  }

  private read(chunk: Buffer): void {
    this.buffer = Buffer.concat([this.buffer, chunk]);
    for (;;) {
      const frame = this.take();
      if (frame === null) return;
      const [head, payload] = frame;
      const opcode = head & 15;
      if (opcode === 8) return void this.socket.end(Buffer.of(0x88, 0));
      if (opcode > 1) continue;
      this.parts.push(payload);
      if ((head & 0x80) === 0) continue;
      const text = Buffer.concat(this.parts).toString("utf8");
      this.parts = [];
      this.onmessage(text);
    }
  }

  /** Takes one masked frame from the buffer, if it is there. */
  private take(): [number, Buffer] | null {
    const b = this.buffer;
    if (b.length < 2) return null;
    let length = b[1]! & 127;
    let at = 2;
    if (length === 126) [length, at] = [b.length >= 4 ? b.readUInt16BE(2) : Infinity, 4];
    else if (length === 127) [length, at] = [b.length >= 10 ? Number(b.readBigUInt64BE(2)) : Infinity, 10];
    if (b.length < at + 4 + length) return null;
    const mask = b.subarray(at, at + 4);
    const payload = Buffer.from(b.subarray(at + 4, at + 4 + length).map((x, i) => x ^ mask[i % 4]!));
    this.buffer = b.subarray(at + 4 + length);
    return [b[0]!, payload];
  }
}

/** A text message in one frame, as servers send it. */
export function textFrame(payload: Buffer): Buffer {
  const n = payload.length;
  const head = n < 126 ? Buffer.of(0x81, n) : n < 65536 ? Buffer.of(0x81, 126, n >> 8, n & 255) : longHead(n);
  return Buffer.concat([head, payload]);
}

function longHead(n: number): Buffer {
  const head = Buffer.alloc(10);
  head[0] = 0x81;
  head[1] = 127;
  head.writeBigUInt64BE(BigInt(n), 2);
  return head;
}
