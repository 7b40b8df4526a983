// Following a policy and an index: what is believed, for how long, and that
// nobody leads back.

import assert from "node:assert/strict";
import test, { mock } from "node:test";
import { index, policy, Signer } from "../../test/e2e/sign.ts";
import { Failure } from "../src/failure.ts";
import { Follower, type Memory } from "../src/follow.ts";
import { later } from "../src/memory.ts";
import { parsePublicKey } from "../src/minisign.ts";
import { nothingSeen, type Seen } from "../src/policy.ts";

// Statements have whole seconds: were one to begin between two looks at the clock, an index would hold longer than a test lets it.
mock.timers.enable({ apis: ["Date"], now: Date.parse("2026-01-01T00:00:00.999Z") });

const minute = 60_000;
const [root, clock, ada, eve] = [new Signer(), new Signer(), new Signer(), new Signer()];

/** A hub of two files, a clock that is set, and timers that go off when told. */
class Scene {
  readonly bodies = new Map<string, string | (() => Response)>();
  readonly timers = new Set<{ at: number; f: () => void }>();
  asked: string[] = [];
  now = Date.now();
  seen: Seen | null = null;
  changes = 0;

  constructor() {
    this.policies(policy(root, [ada.text], { clock_key: clock.text }));
    this.index(index(clock, 10));
  }

  policies(...all: { statement: string; signatures: string }[]): void {
    this.bodies.set("/v1/policy", JSON.stringify({ policies: all }));
  }

  index(x: { statement: string; signature: string }): void {
    this.bodies.set("/v1/index", JSON.stringify(x));
  }

  readonly memory: Memory = {
    recall: () => Promise.resolve(this.seen),
    remember: (seen) => Promise.resolve(void (this.seen = seen)),
  };

  follower(floor = 1): Follower {
    return new Follower({
      hub: "http://hub", root: { keys: [parsePublicKey(root.text)], threshold: 1, floor }, log: null, now: () => this.now, memory: this.memory, changed: () => this.changes++,
      fetch: (url) => {
        const path = new URL(url).pathname;
        this.asked.push(path);
        const body = this.bodies.get(path);
        if (typeof body === "function") return Promise.resolve(body());
        return Promise.resolve(new Response(body ?? "none", { status: body === undefined ? 404 : 200 }));
      },
      env: {
        random: () => 1,
        after: (millis, f) => {
          const timer = { at: this.now + millis, f };
          this.timers.add(timer);
          return () => this.timers.delete(timer);
        },
      },
    });
  }

  /** Lets time go on, timer by timer. */
  async pass(millis: number): Promise<void> {
    const end = this.now + millis;
    for (;;) {
      const [next] = [...this.timers].filter((t) => t.at <= end).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.timers.delete(next);
      this.now = Math.max(this.now, next.at);
      const { changes } = this;
      next.f(); // whichever it is, it tells when it is done
      while (this.changes === changes) await new Promise((resolve) => setImmediate(resolve));
    }
    this.now = end;
  }
}

function check(f: Follower): string {
  const e = f.barred;
  if (e === null) return "ok";
  return e instanceof Failure ? e.check : "trouble";
}

async function begun(s: Scene, floor = 1): Promise<Follower> {
  const f = s.follower(floor);
  await f.begin();
  return f;
}

test("a policy and its index are believed, remembered, and looked at again within five minutes", async () => {
  const s = new Scene();
  const f = await begun(s);
  assert.equal(check(f), "ok");
  assert.deepEqual(s.asked, ["/v1/policy", "/v1/index"]);
  assert.deepEqual([s.seen?.policy, s.seen?.index, s.seen?.clock_key], [1, 10, clock.text]);
  const before = f.at();
  await s.pass(5 * minute);
  assert.equal(s.asked.length, 4);
  assert.equal(f.at().trust.policy.version, 1);
  assert.equal(f.at().logs, before.logs, "what was proved stays proved");
  f.end();
  await s.pass(60 * minute);
  assert.equal(s.asked.length, 4, "after the end nobody looks");
  assert.equal(s.timers.size, 0);
});

test("an index that is not renewed ends everything when it expires, and no earlier", async () => {
  const s = new Scene();
  s.index(index(clock, 11, {}, 600));
  const f = await begun(s);
  s.bodies.delete("/v1/index");
  await s.pass(599_000 - 1000);
  assert.equal(check(f), "ok", "a hub that is silent is not believed to have revoked anything");
  const changes = s.changes;
  await s.pass(3_000);
  assert.equal(check(f), "expiry");
  assert.ok(s.changes > changes, "the volunteer is told at the expiry itself");
  s.now = Date.now();
  s.index(index(clock, 12));
  await s.pass(6 * minute);
  assert.equal(check(f), "ok");
});

test("a hub that never answers does not keep anything going past the expiry", async () => {
  const s = new Scene();
  s.index(index(clock, 11, {}, 60));
  const f = await begun(s);
  s.bodies.set("/v1/index", () => new Response(new ReadableStream({ pull: () => new Promise(() => {}) })));
  const { changes } = s;
  const timers = [...s.timers].sort((a, b) => a.at - b.at);
  assert.equal(timers.length, 2, "the next look, and the expiry");
  timers[0]!.f(); // a look that hangs
  s.now += 60_000;
  timers[1]!.f();
  assert.equal(s.changes, changes + 1);
  assert.equal(check(f), "expiry");
});

test("a look that an end and another beginning overtook comes to nothing", async () => {
  const s = new Scene();
  const old = new TextEncoder().encode(s.bodies.get("/v1/index") as string);
  let answer: (() => void) | null = null;
  s.bodies.set("/v1/index", () => new Response(new ReadableStream({
    start: (c) => {
      answer = () => (c.enqueue(old), c.close());
    },
  })));
  const f = s.follower();
  const first = f.begin();
  while (answer === null) await new Promise((resolve) => setImmediate(resolve));
  f.end();
  s.index(index(clock, 11));
  await f.begin();
  (answer as () => void)();
  await first;
  assert.deepEqual([f.at().trust.index?.sequence, s.seen?.index], [11, 11]);
  assert.equal(s.timers.size, 2, "the next look, and the expiry");
  const { length } = s.asked;
  f.end();
  await s.pass(60 * minute);
  assert.equal(s.asked.length, length);
});

test("a halt, a revocation and a new policy come with the next look", async () => {
  const s = new Scene();
  const f = await begun(s);
  s.index(index(clock, 11, { halt: "wrong results" }));
  await s.pass(5 * minute);
  assert.equal(check(f), "halted");
  s.index(index(clock, 12, { revoked: ["ab".repeat(32)] }));
  await s.pass(5 * minute);
  assert.equal(check(f), "ok");
  assert.deepEqual(f.at().trust.index?.revoked, ["ab".repeat(32)]);
  const first = policy(root, [ada.text], { clock_key: clock.text });
  const s2 = new Scene();
  s2.policies(first);
  const g = await begun(s2);
  s2.policies(first, policy(root, [eve.text], { version: 2, clock_key: clock.text, revoked_keys: [ada.text] }));
  await s2.pass(5 * minute);
  assert.deepEqual([check(g), g.at().trust.policy.version], ["ok", 2]);
});

test("nobody leads back: what was seen is remembered for the next visit", async () => {
  const first = policy(root, [ada.text], { clock_key: clock.text });
  const second = policy(root, [ada.text], { version: 2, clock_key: clock.text });
  const s = new Scene();
  s.policies(first, second);
  (await begun(s)).end();
  for (const [what, want, lie] of [
    ["the first policy alone", "rollback", () => s.policies(first)],
    ["another second policy", "rollback", () => s.policies(first, policy(root, [eve.text], { version: 2, clock_key: clock.text }))],
    ["an older index", "rollback", () => s.index(index(clock, 9))],
    ["no index", "index_missing", () => s.bodies.delete("/v1/index")],
    ["an index by another", "signature_unknown_key", () => s.index(index(eve, 12))],
    ["a stale index", "expiry", () => s.index(index(clock, 12, { issued: "2020-01-01T00:00:00Z", expires: "2020-01-01T01:00:00Z" }))],
    ["a policy by another", "threshold", () => s.policies(policy(eve, [eve.text]))],
    ["no chain", "policy_chain", () => s.policies()],
    ["no policy", "trouble", () => s.bodies.delete("/v1/policy")],
    ["no JSON", "encoding", () => s.bodies.set("/v1/policy", "<html>")],
    ["another shape", "encoding", () => s.bodies.set("/v1/policy", '{"policies":[],"more":1}')],
    ["base64 that is none", "encoding", () => s.bodies.set("/v1/index", '{"statement":"?","signature":""}')],
    ["a policy without end", "too_large", () => s.bodies.set("/v1/policy", () => new Response(new ReadableStream({ pull: (c) => c.enqueue(new Uint8Array(1 << 20)) })))],
  ] as const) {
    s.policies(first, second);
    s.index(index(clock, 10));
    lie();
    const f = await begun(s);
    assert.equal(check(f), want, what);
    f.end();
  }
  s.policies(first, second);
  s.index(index(clock, 10));
  assert.equal(check(await begun(s)), "ok");
});

test("a floor is asked for where nothing was seen", async () => {
  assert.equal(check(await begun(new Scene(), 2)), "rollback");
});

test("of what two pages saw, the later is kept", () => {
  const seen = (policy: number, index: number, clock_key = "c"): Seen => ({ ...nothingSeen, policy, policy_sha256: String(policy), index, clock_key });
  assert.deepEqual(later(seen(2, 5), seen(1, 9)), seen(2, 9));
  assert.deepEqual(later(seen(1, 9), seen(2, 5)), seen(2, 9));
  assert.deepEqual(later(seen(1, 9, "old"), seen(2, 5)), seen(2, 5));
  assert.deepEqual(later(seen(2, 5), seen(2, 6)), seen(2, 6));
});
