// The link to the hub, with a socket, a clock and chance of our own.

import assert from "node:assert/strict";
import test from "node:test";
import { Link, type Environment, type Socket } from "../src/link.ts";
import { type FromHub, result, type ToHub } from "../src/wire.ts";

const hello = { type: "hello", hub: "11".repeat(32), nonce: "22".repeat(32), time: 1 };
const id = (n: number): string => n.toString(16).padStart(32, "0");
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

class FakeSocket implements Socket {
  onmessage: Socket["onmessage"] = null;
  onclose: Socket["onclose"] = null;
  readonly sent: ToHub[] = [];
  closed: number | null = null;

  send(text: string): void {
    assert.equal(this.closed, null, "sent on a closed socket");
    this.sent.push(JSON.parse(text) as ToHub);
  }

  close(code = 1005): void {
    this.closed ??= code;
  }

  async says(message: unknown): Promise<void> {
    this.onmessage?.(typeof message === "string" ? message : JSON.stringify(message));
    await settled();
  }

  drop(): void {
    this.closed ??= 1006;
    this.onclose?.();
  }
}

class World implements Environment {
  time = 0;
  chance = 1;
  readonly sockets: FakeSocket[] = [];
  timers: { at: number; f: () => void }[] = [];
  readonly heard: FromHub[] = [];
  readonly events: string[] = [];
  readonly link: Link;

  constructor() {
    const identity = { worker: "33".repeat(32), sign: () => Promise.resolve(new Uint8Array(64)) };
    this.link = new Link("ws://hub/v1/work", identity, "si.te.token", this, {
      open: (halted) => this.events.push(`open ${halted}`),
      lost: (why) => this.events.push(`lost ${why}`),
      message: (m) => this.heard.push(m),
    });
  }

  connect(): Socket {
    const s = new FakeSocket();
    this.sockets.push(s);
    return s;
  }

  now(): number {
    return this.time;
  }

  random(): number {
    return this.chance;
  }

  after(millis: number, f: () => void): () => void {
    const timer = { at: this.time + millis, f };
    this.timers.push(timer);
    return () => (this.timers = this.timers.filter((t) => t !== timer));
  }

  get socket(): FakeSocket {
    return this.sockets.at(-1) ?? assert.fail("no connection was made");
  }

  /** Lets the next timer come due and returns how long that took. */
  wait(): number {
    const next = this.timers.shift() ?? assert.fail("no timer");
    const waited = next.at - this.time;
    this.time = next.at;
    next.f();
    return waited;
  }

  async joined(halted = false): Promise<FakeSocket> {
    await this.socket.says(hello);
    await this.socket.says({ type: "welcome", halted, visit: 60, session: "" });
    return this.socket;
  }
}

const outcome = (n: number): ToHub => result("a.b.c", { lease: id(n) } as never, new Uint8Array(), new Uint8Array(32), new Uint8Array(64));

test("it joins with its key and asks once it is welcome", async () => {
  const w = new World();
  w.link.want(3);
  w.link.start();
  assert.equal(w.socket.sent.length, 0);
  await w.socket.says(hello);
  assert.deepEqual(w.socket.sent.map((m) => m.type), ["join"]);
  await w.socket.says({ type: "welcome", halted: true, visit: 0, session: "" });
  assert.deepEqual(w.socket.sent.slice(1), [{ type: "want", leases: 3 }]);
  assert.deepEqual(w.events, ["open true"]);
  w.link.want(3);
  assert.equal(w.socket.sent.length, 2, "the same wish is not sent twice");
  w.link.want(100);
  assert.deepEqual(w.socket.sent.at(-1), { type: "want", leases: 64 });
});

test("it comes in with the site's token, and comes back with the session's", async () => {
  const w = new World();
  const passes: unknown[] = [];
  for (const answer of [
    { type: "welcome", halted: false, visit: 0, session: "se.ssi.on" },
    { type: "error", code: "unauthorized", message: "session token: spent", retry: 0 },
    { type: "welcome", halted: false, visit: 0, session: "" },
  ]) {
    w.link.start();
    await w.socket.says(hello);
    passes.push((w.socket.sent[0] as { pass?: unknown }).pass);
    await w.socket.says(answer);
    w.socket.drop();
  }
  assert.deepEqual(passes, ["si.te.token", "se.ssi.on", "si.te.token"]);
});

test("a result is kept and sent again until it is acknowledged", async () => {
  const w = new World();
  w.link.start();
  const first = await w.joined();
  w.link.deliver(id(1), outcome(1));
  w.link.deliver(id(2), outcome(2));
  await first.says({ type: "ack", id: id(1), verdict: "pending" });
  assert.equal(w.link.unacknowledged, 1);
  first.drop();
  w.link.deliver(id(3), outcome(3));
  w.wait();
  const second = await w.joined();
  assert.deepEqual(second.sent.slice(1), [outcome(2), outcome(3)]);
  await second.says({ type: "refused", id: id(2), code: "order_ended", message: "over" });
  await second.says({ type: "ack", id: id(3), verdict: "agreed" });
  assert.equal(w.link.unacknowledged, 0);
  // The answer to what was sent twice counts once.
  const heard = w.heard.length;
  await second.says({ type: "ack", id: id(3), verdict: "agreed" });
  assert.equal(w.heard.length, heard);
});

test("a lease given back while away is given back on return", async () => {
  const w = new World();
  w.link.giveBack(id(9), "stopped", "", "caf\u00e9".repeat(100));
  w.link.start();
  const s = await w.joined();
  const [, back] = s.sent;
  assert.ok(back?.type === "return");
  assert.equal(back.detail.length, 256);
  assert.match(back.detail, /^caf\?caf/);
  s.drop();
  w.wait();
  assert.equal((await w.joined()).sent.length, 1, "once");
});

test("it comes back later and later, by chance, and soon again after a good connection", async () => {
  const w = new World();
  w.link.start();
  for (const millis of [5000, 10000, 20000, 40000, 60000, 60000]) {
    w.socket.drop();
    assert.equal(w.wait(), millis);
  }
  w.chance = 0;
  w.socket.drop();
  assert.equal(w.wait(), 6000);
  await w.joined();
  w.time += 5_000;
  w.socket.drop();
  assert.equal(w.wait(), 6000, "a connection that was welcome and dropped at once is not a good one");
  await w.joined();
  w.time += 10_000;
  w.socket.drop();
  assert.equal(w.wait(), 500);
});

test("what is no message ends the connection, and what it brought is dropped", async () => {
  for (const bad of ["{}", '{"type":"lease"}', JSON.stringify(hello), '{"type":"welcome","halted":false,"visit":0,"session":""}', '{"type":"idle","x":1}']) {
    const w = new World();
    w.link.start();
    const s = await w.joined();
    await s.says(bad);
    assert.equal(s.closed, 4008, bad);
    assert.deepEqual(w.heard, []);
    s.drop();
    assert.match(w.events.at(-1) ?? "", /^lost the hub sent what is no message/);
    assert.equal(w.timers.length, 1);
  }
});

test("work before the welcome ends the connection", async () => {
  const w = new World();
  w.link.start();
  await w.socket.says({ type: "idle" });
  assert.equal(w.socket.closed, 4008);
  assert.deepEqual(w.heard, []);
});

test("the hub's error is told, and the connection tried again", async () => {
  const w = new World();
  w.link.start();
  await w.socket.says({ type: "error", code: "rate", message: "too many messages", retry: 0 });
  w.socket.drop();
  assert.deepEqual(w.events, ["lost too many messages (rate)"]);
  assert.equal(w.wait(), 5000);
});

test("close ends it for good, also between two connections", async () => {
  const w = new World();
  w.link.start();
  const s = await w.joined();
  w.link.close();
  assert.equal(s.closed, 1000);
  s.drop();
  assert.deepEqual(w.timers, []);
  await s.says({ type: "idle" });
  assert.deepEqual(w.heard, []);

  const again = new World();
  again.link.start();
  again.socket.drop();
  again.link.close();
  assert.deepEqual(again.timers, []);
});

test("volunteers that lose the hub at once come back one after the other", () => {
  const seconds = new Map<number, number>();
  for (let i = 0; i < 1000; i++) {
    const w = new World();
    w.chance = (i + 0.5) / 1000;
    w.link.start();
    w.socket.drop();
    const second = Math.floor(w.wait() / 1000);
    seconds.set(second, (seconds.get(second) ?? 0) + 1);
  }
  assert.ok(seconds.size >= 5 && [...seconds.values()].every((n) => n < 300), JSON.stringify([...seconds]));
});

test("the hub says when to come again, and neither sooner nor without end", async () => {
  for (const [retry, chance, least, most] of [[0, 0, 500, 500], [40, 0, 40_000, 40_000], [40, 1, 50_000, 50_000], [3600, 0, 600_000, 600_000], [3600, 1, 750_000, 750_000], [1, 1, 5_000, 5_000]] as const) {
    const w = new World();
    w.chance = chance;
    w.link.start();
    await w.socket.says({ type: "error", code: "closing", message: "restarting", retry });
    w.socket.drop();
    const waited = w.wait();
    assert.ok(waited >= least && waited <= most, `${retry}: ${waited}`);
    w.socket.drop(); // without a word: the hint is used up
    assert.ok(w.wait() <= 10_000);
  }
});
