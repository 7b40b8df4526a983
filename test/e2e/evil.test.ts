// An evil hub against the real client in Chromium. Whatever a hub sends in the
// place of files and messages: nothing that is unsigned, rolled back or revoked
// reaches the sandbox, the panel names the check, and Stop works.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { Visitor } from "./browser.ts";
import { type Lie, Liar } from "./liar.ts";
import { root } from "./paths.ts";
import { ask, Desk, factor, loop, type Payload, run, Running } from "./real.ts";
import { canonical, order, release, sha256, Signer } from "./sign.ts";

const [root1, root2, clock, ada, eve, mallory] = Array.from({ length: 6 }, () => new Signer()) as [Signer, Signer, Signer, Signer, Signer, Signer];
const modules = new Map([factor, loop].map((p) => [p, readFileSync(p.module)]));
const module = modules.get(factor)!;
const hour = 3600;
const witness = (JSON.parse(readFileSync(`${root}/testdata/vectors/log/ok-two-witnesses-of-three.json`, "utf8")) as { witnesses: string[] }).witnesses[0]!;

let desk: Desk;
let hub: Running;
let url: string;
let liar: Liar;
let at: string;
let v: Visitor;
let work: { release: Buffer; order: Buffer };
let other: { release: Buffer; order: Buffer };
let chain: Signed[] = [];
let log = "";
let lease = ""; // that the hub sent once
let sequence = Math.floor(Date.now() / 1000);
const table: string[] = [];

interface Signed {
  readonly statement: string;
  readonly signatures: string;
}

const time = (seconds: number): string => new Date(Date.now() + seconds * 1000).toISOString().slice(0, 19) + "Z";
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

function researcher(name: string, key: Signer, seconds = 3600): unknown {
  return { name, key: key.text, prefix: `${name.toLowerCase()}/`, ceilings: { task_fuel: 2 ** 53 - 1, memory_pages: 4096, seconds, tasks: 1e6 } };
}

function policy(version: number, change: Record<string, unknown> = {}, ...by: Signer[]): Signed {
  const statement = canonical({
    type: "countersign.policy/v1", version, root_keys: [root1.text, root2.text], threshold: 2, researchers: [researcher("Ada", ada), researcher("Eve", eve)],
    clock_key: clock.text, log_key: log, witnesses: [], witness_quorum: 0, origins: [], revoked_keys: [], expires: time(60 * 24 * hour), ...change,
  });
  const signatures = Buffer.concat((by.length > 0 ? by : [root1, root2]).map((s) => s.sign(statement)));
  return { statement: statement.toString("base64"), signatures: signatures.toString("base64") };
}

const chainOf = (...policies: Signed[]): Buffer => json({ policies });

/** The answer with an index: a newer one than any before, unless it says so. */
function index(change: Record<string, unknown> = {}, seconds = hour, by = clock): Buffer {
  const statement = canonical({
    type: "countersign.index/v1", sequence: ++sequence, policy_version: 1, floors: [], revoked: [], halt: "", issued: time(-60), expires: time(seconds), ...change,
  });
  return json({ statement: statement.toString("base64"), signature: by.sign(statement).toString("base64") });
}

async function post(path: string, statement: Buffer, signature: Buffer): Promise<void> {
  const form = new FormData();
  form.set("statement", new Blob([Uint8Array.from(statement)]), "statement");
  form.set("signature", new Blob([Uint8Array.from(signature)]), "signature");
  const answer = await fetch(url + path, { method: "POST", body: form });
  assert.equal(answer.status, 201, `${path}: ${await answer.text()}`);
}

const plain = (base64: string): Buffer => Buffer.from(base64, "base64");

async function publishIndex(): Promise<void> {
  const { statement, signature } = JSON.parse(index().toString()) as { statement: string; signature: string };
  await post("/v1/index", plain(statement), plain(signature));
}

/** A release of a payload and an order of it, given to the hub. */
function publish(payload: Payload, name: string, by: Signer, tasks: number): typeof work {
  const r = release(modules.get(payload)!, { name, purpose: payload.purpose, source_sha256: sha256(readFileSync(payload.source)), version: 1 + table.length }, { seconds: 600 });
  const lines = "15\n".repeat(tasks);
  const o = order(sha256(r), `An order of ${name}`, lines, 1);
  desk.keep("r.json", r, by);
  desk.signer("publish", "r.json", "--source", payload.source, "--module", payload.module, "--hub", url);
  desk.keep("o.json", o, by);
  desk.signer("submit", "o.json", "--input", desk.write("lines.txt", lines), "--hub", url, "--json");
  return { release: r, order: o };
}

function kill(o: Buffer): void {
  desk.write("token", run(desk.dir, "hub", "token", "mint", "--data", "data", "--subject", "test"));
  run(desk.dir, "hub", "kill", "order", sha256(o), "--reason", "the test is over", "--hub", url, "--token-file", "token");
}

before(async () => {
  desk = new Desk();
  const serve = ["--data", "data", "--listen", "127.0.0.1:0", "--root", `${root1.text},${root2.text}`, "--threshold", "2", "--unsafe-one-network"];
  chain = [policy(1)];
  desk.write("policy.json", plain(chain[0]!.statement).toString());
  desk.write("policy.json.minisig", plain(chain[0]!.signatures).toString());
  hub = new Running(desk.dir, "hub", "serve", ...serve, "--policy", "policy.json");
  url = (await hub.says(/listening\s+(http:\S+)/))[1]!;
  log = run(desk.dir, "hub", "log-key", "--data", "data").trim();
  chain.push(policy(2));
  await post("/v1/policy", plain(chain[1]!.statement), plain(chain[1]!.signatures));
  await publishIndex();
  other = publish(factor, "ada/other", ada, 1);
  kill(other.order);
  work = publish(factor, "ada/factor", ada, 3000);
  liar = new Liar(url);
  liar.body = truth;
  at = await liar.start();
  v = await Visitor.arrive();
  // What the page hands to a sandbox, by digest: the only way there is through a port.
  await v.context.addInitScript(() => {
    const handed: Promise<string>[] = ((globalThis as unknown as Record<string, unknown>)["handed"] = []) as Promise<string>[];
    const digest = async (bytes: Uint8Array<ArrayBuffer>): Promise<string> =>
      [...new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))].map((b) => b.toString(16).padStart(2, "0")).join("");
    const send = MessagePort.prototype.postMessage;
    MessagePort.prototype.postMessage = function (this: MessagePort, ...args: unknown[]) {
      const { module } = (args[0] ?? {}) as { module?: unknown };
      if (module instanceof Uint8Array) handed.push(digest(new Uint8Array(module)));
      (send as (...a: unknown[]) => void).apply(this, args);
    } as typeof send;
  });
});

after(async () => {
  console.log(["| attack | stopped by | ms |", "| --- | --- | ---: |", ...table].join("\n"));
  await v?.leave();
  liar?.stop();
  await hub?.stop();
  desk?.clear();
});

const handed = (): Promise<string[]> => v.page.evaluate(() => Promise.all((globalThis as unknown as { handed: Promise<string>[] }).handed));
const checkShown = (): Promise<string> => v.page.evaluate(() => document.querySelector<HTMLElement>("[data-state]")?.dataset["check"] ?? "");
const panel = (): Promise<string> => v.page.evaluate(() => document.querySelector<HTMLElement>("[data-state]")?.dataset["state"] ?? "");

/** Loads the page anew, as a new worker that remembers what it saw, and presses Start. */
async function begin(): Promise<number> {
  await v.page.goto(at);
  await v.page.evaluate(async () => {
    const db = await new Promise<IDBDatabase | null>((resolve) => {
      const request = indexedDB.open("countersign", 3);
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => resolve(null);
      request.onupgradeneeded = () => request.transaction?.abort();
    });
    await new Promise((resolve) => {
      if (db === null) return resolve(null);
      const t = db.transaction(["keys", "checkpoints"], "readwrite");
      t.objectStore("keys").clear();
      t.objectStore("checkpoints").clear();
      t.oncomplete = resolve;
    });
    db?.close();
  });
  v.workers = 0;
  await v.page.getByLabel("Share of each core").fill("100");
  const from = Date.now();
  liar.closes = 0; // of the page before
  await v.start.click();
  return from;
}

/** The page answers, and Stop stops. */
async function stops(): Promise<void> {
  await v.page.evaluate(() => new Promise((resolve) => requestAnimationFrame(resolve)));
  await v.stop.click();
  await v.state("stopped");
}

function tell(attack: string, stopped: string, from: number): void {
  table.push(`| ${attack} | ${stopped} | ${Date.now() - from} |`);
}

/** What must be true of each attack that a check catches: nothing was made that could have run it. */
async function refused(attack: string, ...checks: string[]): Promise<void> {
  const from = await begin();
  await v.until(`${checks.join(" or ")} for ${attack}`, async () => checks.includes(await checkShown()));
  const check = await checkShown();
  tell(attack, check, from);
  assert.equal(await panel(), "refused");
  assert.deepEqual([await handed(), v.workers, v.page.frames().length], [[], 0, 1], attack);
  await stops();
  honest();
}

/** Nothing ever comes: nothing runs, and Stop works. */
async function withheld(attack: string, path: () => string): Promise<void> {
  const asked = liar.asked.length;
  const from = await begin();
  await v.until(`a request for ${attack}`, () => liar.asked.slice(asked).includes(path()));
  await v.page.waitForTimeout(100);
  assert.deepEqual([await handed(), v.workers], [[], 0], attack);
  assert.ok(["connecting", "verifying", "waiting", "starting"].includes(await panel()), `${attack}: ${await panel()}`);
  await stops();
  tell(attack, "nothing comes, nothing runs; Stop works", from);
  honest();
}

const bend = (b: Buffer): Buffer => Buffer.from(b.map((x, i) => (i === b.length >> 1 ? x ^ 1 : x)));
const half = (b: Buffer): Buffer => b.subarray(0, b.length >> 1);
/** What is no lie: the hub's own, with an index that is newer than any before. */
const truth = (path: string): Lie | null => (path === "/v1/index" ? index() : null);
const lieAt = (path: string, lie: Lie | ((body: Buffer) => Lie)): void => {
  liar.body = (p, body) => (p !== path ? truth(p) : typeof lie === "function" ? lie(body) : lie);
};
function honest(): void {
  liar.honest();
  liar.body = truth;
}
const bent = (name: string) => (body: Buffer): Buffer => {
  const all = JSON.parse(body.toString()) as { policies?: Record<string, string>[] } & Record<string, string>;
  const one = all.policies?.[1] ?? all;
  one[name] = bend(plain(one[name]!)).toString("base64");
  return json(all);
};

test("honest, it works, and remembers policy and index", async () => {
  liar.messages = (text) => {
    if (text.includes('"type":"lease"') && !text.includes('"lease":""')) lease = text; // one with a token of its own
    return [text];
  };
  await begin();
  await v.until("a task", async () => (await v.gauge("Tasks done")) > 0);
  assert.deepEqual([...new Set(await handed())], [sha256(module)], "the witness sees what is run");
  await stops();
  assert.notEqual(lease, "");
  honest();
});

test("the policy", async () => {
  const lies: [string, Lie | ((b: Buffer) => Lie), string[]][] = [
    ["altered", bent("statement"), ["threshold"]],
    ["signatures altered", bent("signatures"), ["threshold", "signature_malformed", "signature_legacy"]],
    ["truncated", half, ["encoding"]],
    ["endless", "endless", ["too_large"]],
    ["of other roots", chainOf(policy(1, { root_keys: [mallory.text], threshold: 1 }, mallory)), ["threshold"]],
    ["signed by one of two", chainOf(policy(1, {}, root1)), ["threshold"]],
    ["of version 1 replayed", chainOf(chain[0]!), ["rollback"]],
    ["of version 2, another one", chainOf(chain[0]!, policy(2, { expires: time(20 * 24 * hour) })), ["rollback"]],
    ["with a gap", chainOf(chain[0]!, policy(3)), ["policy_chain"]],
    ["swapped for the index", index(), ["encoding"]],
    ["empty chain", chainOf(), ["policy_chain"]],
  ];
  for (const [what, lie, checks] of lies) {
    lieAt("/v1/policy", lie);
    await refused(`policy ${what}`, ...checks);
  }
  lieAt("/v1/policy", "never");
  await withheld("policy delayed for ever", () => "/v1/policy");
});

test("the index", async () => {
  const lies: [string, Lie | ((b: Buffer) => Lie), string[]][] = [
    ["altered", bent("statement"), ["signature_invalid"]],
    ["signature altered", bent("signature"), ["signature_invalid", "signature_malformed", "signature_unknown_key"]],
    ["truncated", half, ["encoding"]],
    ["endless", "endless", ["too_large"]],
    ["of another clock", index({}, hour, mallory), ["signature_unknown_key"]],
    ["older replayed", index({ sequence: 1 }), ["rollback"]],
    ["stale", index({ issued: time(-3600) }, -1), ["expiry"]],
    ["for a newer policy", index({ policy_version: 3 }), ["policy_version"]],
    ["swapped for the policy", chainOf(chain[0]!), ["encoding"]],
    ["withheld (404)", "missing", ["index_missing"]],
  ];
  for (const [what, lie, checks] of lies) {
    lieAt("/v1/index", lie);
    await refused(`index ${what}`, ...checks);
  }
  lieAt("/v1/index", "never");
  await withheld("index delayed for ever", () => "/v1/index");
});

test("release, order, module and proof", async () => {
  const [r, o, m] = [`/s/${sha256(work.release)}`, `/s/${sha256(work.order)}`, `/m/${sha256(module)}`];
  const theirs = release(module, { name: "eve/factor", source_sha256: sha256(readFileSync(factor.source)) });
  const stolen = release(module, { name: "ada/factor", version: 99 });
  const lies: [string, string, Lie | ((b: Buffer) => Lie), string[]][] = [
    ["release altered", r, bend, ["signature_invalid"]],
    ["release truncated", r, half, ["signature_invalid"]],
    ["release endless", r, "endless", ["too_large"]],
    ["release signature altered", `${r}.minisig`, bend, ["signature_invalid", "signature_malformed"]],
    ["release signature truncated", `${r}.minisig`, half, ["signature_malformed"]],
    ["release signature endless", `${r}.minisig`, "endless", ["too_large"]],
    ["release signature of another", `${r}.minisig`, ada.sign(other.release), ["signature_invalid"]],
    ["release signed by nobody known", `${r}.minisig`, mallory.sign(work.release), ["signature_unknown_key"]],
    ["release signed by another researcher", `${r}.minisig`, eve.sign(work.release), ["name_prefix"]],
    ["order altered", o, bend, ["signature_invalid"]],
    ["order truncated", o, half, ["signature_invalid"]],
    ["order endless", o, "endless", ["too_large"]],
    ["order signature altered", `${o}.minisig`, bend, ["signature_invalid", "signature_malformed"]],
    ["order signature truncated", `${o}.minisig`, half, ["signature_malformed"]],
    ["order signature endless", `${o}.minisig`, "endless", ["too_large"]],
    ["order signed by another researcher", `${o}.minisig`, eve.sign(work.order), ["name_prefix"]],
    ["module altered", m, bend, ["module_sha256"]],
    ["module truncated", m, half, ["module_length"]],
    ["module endless", m, "endless", ["module_length"]],
    ["module swapped for another that is signed", m, modules.get(loop)!, ["module_length"]],
    ["log proof altered", `${r}.tlog-proof`, bend, ["log_proof", "log_signature", "log_inclusion"]],
    ["log proof truncated", `${r}.tlog-proof`, half, ["log_proof"]],
    ["log proof endless", `${r}.tlog-proof`, "endless", ["too_large"]],
    ["log proof with an older checkpoint", `${r}.tlog-proof`, (b) => Buffer.from(b.toString("latin1").replace(/(\ncountersign\S*\n)\d+\n/, "$11\n"), "latin1"), ["log_signature"]],
  ];
  for (const [what, path, lie, checks] of lies) {
    lieAt(path, lie);
    await refused(what, ...checks);
  }
  for (const [what, statement, by, checks] of [
    ["release swapped for another good one", other.release, ada, ["statement_sha256"]],
    ["release swapped for another researcher's", theirs, eve, ["statement_sha256"]],
    ["release swapped for one that no log has", stolen, ada, ["statement_sha256"]],
  ] as const) {
    liar.body = (p) => (p === r ? statement : p === `${r}.minisig` ? by.sign(statement) : truth(p));
    await refused(what, ...checks);
  }
  liar.body = (p) => (p === o ? other.order : p === `${o}.minisig` ? ada.sign(other.order) : truth(p));
  await refused("order swapped for another good one", "statement_sha256");
  const proof = Buffer.from(await (await ask(`${url}/s/${sha256(other.release)}.tlog-proof`)).arrayBuffer());
  lieAt(`${r}.tlog-proof`, proof);
  await refused("log proof of another release", "log_inclusion");
  for (const [what, path] of [["release", r], ["release signature", `${r}.minisig`], ["order", o], ["module", m], ["log proof", `${r}.tlog-proof`]] as const) {
    lieAt(path, "never");
    await withheld(`${what} delayed for ever`, () => path);
  }
});

/** Shows whether the client goes on after a message that it must bear: it does tasks, of the signed module alone. */
async function borne(attack: string): Promise<void> {
  const from = await begin();
  await v.until(`a task after ${attack}`, async () => (await v.gauge("Tasks done")) > 0);
  tell(attack, "harmless: signed work goes on", from);
  assert.deepEqual([...new Set(await handed())], [sha256(module)], attack);
  await stops();
  honest();
}

/** The client closes the connection, and comes back. */
async function closed(attack: string): Promise<void> {
  const from = await begin();
  await v.until(`the end of the connection for ${attack}`, () => liar.closes > 0);
  tell(attack, "connection closed", from);
  for (const m of await handed()) assert.equal(m, sha256(module), attack);
  await stops();
  honest();
}

type Fields = Record<string, unknown> & { readonly type: string };

/** One good message of each type that a hub sends, the hub's own where it has sent one. */
const samples = new Map<string, Fields>(([
  { type: "kill", scope: "all", target: "", reason: "a lie" }, { type: "resume" }, { type: "idle" },
  { type: "ack", id: "00".repeat(16), verdict: "agreed" }, { type: "refused", id: "00".repeat(16), code: "order_ended", message: "a lie" },
  { type: "kept", id: "00".repeat(16), segments: 1 },
] as Fields[]).map((m) => [m.type, m]));

const typeOf = (text: string): string => (JSON.parse(text) as Fields).type;

/** Sends something once, in the place of a message of this type, or after the welcome if the hub would not send one. */
function lieInstead(type: string, lie: (text: string) => string[], always = false): void {
  const natural = ["hello", "welcome", "lease"].includes(type);
  let told = false;
  liar.messages = (text) => {
    if ((told && !always) || typeOf(text) !== (natural ? type : "welcome")) return [text];
    told = true;
    return natural ? lie(text) : [text, ...lie(JSON.stringify(samples.get(type)))];
  };
}

test("every message of the socket: garbage, oversized, altered, replayed", async () => {
  for (const type of ["hello", "welcome", "lease", ...samples.keys()]) {
    lieInstead(type, () => [`{"type":"${type}","x":`]);
    await closed(`${type}: garbage`);
    lieInstead(type, (text) => [text.slice(0, -1) + " ".repeat(2 << 20) + "}"]);
    await closed(`${type}: oversized`);
    lieInstead(type, (text) => [JSON.stringify({ ...(JSON.parse(text) as Fields), further: 1 })]);
    await closed(`${type}: a member more`);
    lieInstead(type, (text) => [text, text]);
    if (["hello", "welcome"].includes(type)) await closed(`${type}: replayed`);
    else if (type !== "kill") await borne(`${type}: replayed`);
  }
});

test("forged messages in good form", async () => {
  const change = (by: Record<string, unknown>) => (text: string): string[] => [JSON.stringify({ ...(JSON.parse(text) as Fields), ...by })];
  lieInstead("hello", change({ hub: "11".repeat(32) }));
  await closed("hello: another hub's key");
  lieInstead("welcome", change({ visit: 1 << 20 }));
  await borne("welcome: a long visit");
  for (const [what, by, checks] of [
    ["another input", { input: Buffer.from("16\n").toString("base64") }, ["input"]],
    ["another task", { task: 2999 }, ["input"]],
    ["a proof of nothing", { proof: "" }, ["input"]],
    ["another release", { release: sha256(other.release) }, ["bounds"]],
    ["another order", { order: sha256(other.order) }, ["bounds"]],
    ["a checkpoint that is none", { checkpoint: sha256(module) }, ["checkpoint"]],
  ] as const) {
    lieInstead("lease", change(by), true);
    if (what.startsWith("a checkpoint")) liar.body = (p) => (p.startsWith("/c/") ? Buffer.from("{}") : truth(p));
    await refused(`lease: ${what}`, ...checks);
  }
  for (const type of ["ack", "refused", "kept", "idle", "resume"]) {
    lieInstead(type, (text) => [text]);
    await borne(`${type}: forged`);
  }
  lieInstead("kill", (text) => [text]);
  const from = await begin();
  await v.until("an end of work", async () => (await v.page.getByText("The hub ended this work: a lie.").count()) > 0 || (await panel()) === "halted" || (await v.gauge("Tasks done")) > 0);
  tell("kill: forged", `work ends or goes on (${await panel()}): a hub may withhold work`, from);
  await stops();
  honest();
});

test("what runs ends when the index that is followed says so, or ends itself", async () => {
  kill(work.order);
  const endless = publish(loop, "ada/loop", ada, 5);
  const [digest] = [sha256(endless.release)];
  for (const [what, next, check] of [
    ["revoked release, while it runs", () => index({ revoked: [digest] }), "revoked"],
    ["floor, while it runs", () => index({ floors: [{ name: "ada/loop", version: 1000 }] }), "floor"],
    ["halt by the index, while it runs", () => index({ halt: "a test" }), "halted"],
    ["index delayed for ever, while it runs", (): Lie => "never", "expiry"],
    ["index replayed, while it runs", null, "expiry"],
  ] as const) {
    let short: Buffer | null = null; // looked at again before half of its time is over
    lieAt("/v1/index", () => (short ??= index({}, 20)));
    await begin();
    await v.until("the loop", async () => (await panel()) === "running");
    assert.deepEqual(await handed(), [sha256(modules.get(loop)!)]);
    const from = Date.now();
    if (next !== null) lieAt("/v1/index", next());
    await v.until(`${check} for ${what}`, async () => (await checkShown()) === check);
    tell(what, check, from);
    await v.until("silence", async () => (await v.silences()).length === 1);
    const [silence] = await v.silences();
    assert.equal(silence!.cause, "refused");
    await v.until("no frame", () => v.page.frames().length === 1);
    await stops();
    honest();
  }
  kill(endless.order);
  work = publish(factor, "ada/more", ada, 1000);
});

test("what policy and index forbid, though the hub lends it", async () => {
  const [r, o] = [sha256(work.release), sha256(work.order)];
  for (const [what, change, check] of [
    ["revoked release", { revoked: [r] }, "revoked"],
    ["revoked order", { revoked: [o] }, "revoked"],
    ["release under its floor", { floors: [{ name: "ada/more", version: 1000 }] }, "floor"],
    ["halt by the index", { halt: "a test" }, "halted"],
  ] as const) {
    lieAt("/v1/index", index(change as Record<string, unknown>));
    await refused(what, check);
  }
  // The hub says that its halt is lifted, and lends; the index says otherwise.
  lieAt("/v1/index", index({ halt: "a test" }));
  liar.messages = (text) => (text.includes('"welcome"') ? [text, '{"type":"resume"}', lease] : [text]);
  await refused("resume forged while the index halts", "halted");
  const [witnessed, ...later] = [policy(3, { witnesses: [witness], witness_quorum: 1 }), policy(4, { researchers: [researcher("Ada", ada, 1)] }),
    policy(5, { revoked_keys: [ada.text], researchers: [researcher("Eve", eve)] })];
  const seen = [...chain, witnessed];
  for (const [what, next, check] of [
    ["log that no witness vouches for", [], "log_witness"],
    ["release over a new ceiling", later.slice(0, 1), "ceiling"],
    ["release by a revoked key", later.slice(0, 2), "revoked"],
  ] as const) {
    lieAt("/v1/policy", chainOf(...(seen as Signed[]), ...(next as Signed[])));
    await refused(what, check);
  }
  // And now the hub's own chain is an old one.
  await refused("policy older than this browser has seen", "rollback");
});
