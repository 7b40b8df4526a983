// A reverse proxy in front of a hub that changes what it is told to change:
// what a stolen hub, or whoever sits on the line, could do.

import { createServer, request, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";

export class Proxy {
  /** What to answer instead, by path. */
  answers = new Map<string, Buffer>();
  /** Changes what the hub answers. */
  change: (path: string, body: Buffer) => Buffer = (_, body) => body;
  private readonly server: Server;

  constructor(hub: string) {
    const { hostname, port } = new URL(hub);
    this.server = createServer((q, r) => {
      const headers = { ...q.headers, "accept-encoding": "identity" };
      delete headers["if-none-match"];
      const upstream = request({ hostname, port, path: q.url, method: q.method, headers }, (answer) => {
        const parts: Buffer[] = [];
        answer.on("data", (d: Buffer) => parts.push(d));
        answer.on("end", () => {
          const { "content-length": _, etag: __, ...rest } = answer.headers;
          r.writeHead(answer.statusCode ?? 502, rest);
          r.end(this.answers.get(q.url ?? "") ?? this.change(q.url ?? "", Buffer.concat(parts)));
        });
      });
      upstream.on("error", () => r.destroy());
      q.pipe(upstream);
    });
    // Sockets pass through as they are.
    this.server.on("upgrade", (q, socket, head) => {
      const upstream = connect(Number(port), hostname, () => {
        const lines = [`${q.method} ${q.url} HTTP/1.1`];
        for (let i = 0; i < q.rawHeaders.length; i += 2) lines.push(`${q.rawHeaders[i]}: ${q.rawHeaders[i + 1]}`);
        upstream.write(lines.join("\r\n") + "\r\n\r\n");
        upstream.write(head);
        upstream.pipe(socket);
        socket.pipe(upstream);
      });
      upstream.on("error", () => socket.destroy());
      socket.on("error", () => upstream.destroy());
    });
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.server.close();
    this.server.closeAllConnections();
  }
}
