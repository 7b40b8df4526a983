// The volunteer: slots, leases and the link, from start to stop. It decides
// when to ask for work; the panel shows its View.

import { loadIdentity } from "./identity.ts";
import { keeper } from "./keeper.ts";
import { Failure } from "./failure.ts";
import type { Fetch } from "./fetching.ts";
import { Follower } from "./follow.ts";
import { Library } from "./library.ts";
import { type Environment, Link } from "./link.ts";
import { memoryOf } from "./memory.ts";
import type { Policy, Root } from "./policy.ts";
import { type Handlers, Sandbox, type Silence } from "./sandbox.ts";
import { type Cause, type Finish, Slot } from "./slot.ts";
import { describe, quiet, type Settings, type State, type Trouble, troubleOf, type View } from "./view.ts";
import { type LogTag, logTrust } from "./tlogproof.ts";
import type { FromHub, Kill, Lease } from "./wire.ts";

const firstRest = 5_000; // after a lease that went wrong, in milliseconds
const maxRest = 300_000;
const flushMillis = 5_000;
const longPause = 60_000;
const progressMillis = 1_000;
const maxQueue = 64;

export interface Options {
  readonly hub: string; // origin
  readonly root: Root; // who makes policies
  readonly log: LogTag | null; // a transparency log that must have what runs, whatever the policy says
  readonly site: string; // the hub's token for this site, or ""
  mount(): Node; // where frames are put
  readonly fetch: Fetch;
  readonly env: Environment;
  changed(view: View): void;
}

export class Volunteer {
  #on = false;
  #state: "off" | "starting" | "working" | "stopping" | "stopped" | "unsupported" = "off";
  #settings: Settings = { share: 0.25, slots: 1 };
  #pausedFor = ""; // why, or ""
  #link: Link | null = null;
  #follower: Follower | null = null;
  #connected = false;
  #halted = false;
  #visit = 0;
  #handedOn = false;
  #lostFor = "";
  #notice = "";
  #silence: Silence | null = null;
  #trouble: Trouble | null = null;
  #troubles = 0;
  #resting = false;
  #callOffRest: () => void = () => {};
  #callOffPause: () => void = () => {};
  #callOffFlush: () => void = () => {};
  #stops = 0;
  #ends: Promise<unknown> = Promise.resolve(); // of all that was told to end
  #slots: Slot[] = [];
  #queue: { readonly lease: Lease; readonly since: number }[] = [];
  #job: View["job"] = null;
  #policy: Policy | null = null; // that was believed last
  #done = 0;
  #acknowledged = 0;
  #fuel = 0;
  readonly #reported = new Map<Slot, number>();
  #preparing: Promise<void> | null = null;
  #slotDeps: ConstructorParameters<typeof Slot>[0] | null = null;

  constructor(private readonly options: Options) {}

  async start(): Promise<void> {
    if (this.#on) return;
    this.#on = true;
    [this.#state, this.#silence, this.#notice, this.#trouble, this.#troubles] = ["starting", null, "", null, 0];
    this.#handedOn = false;
    this.#callOffFlush();
    this.#changed();
    try {
      await (this.#preparing ??= this.#prepare());
    } catch (e) {
      this.#preparing = null;
      [this.#on, this.#state, this.#notice] = [false, "unsupported", e instanceof Error ? e.message : String(e)];
      return this.#changed();
    }
    if (!this.#on) return; // stopped meanwhile
    await this.#follower?.begin();
    if (!this.#on) return;
    this.#state = "working";
    this.#resize();
    this.#link?.start();
    this.#ask();
    this.#changed();
  }

  /** Ends everything that runs, at once. */
  async stop(): Promise<void> {
    if (!this.#on) return;
    [this.#on, this.#state, this.#resting] = [false, "stopping", false];
    this.#silence = null;
    this.#callOffRest();
    this.#callOffPause();
    this.#ask();
    this.#changed();
    const stops = ++this.#stops;
    await this.#endAll("stopped");
    if (this.#on || stops !== this.#stops) return; // started again meanwhile, and maybe stopped
    this.#state = "stopped";
    this.#follower?.end();
    // What is done but not acknowledged gets a moment more.
    this.#callOffFlush = this.options.env.after(flushMillis, () => this.#disconnect());
    this.#settle();
    this.#changed();
  }

  configure(settings: Settings): void {
    this.#settings = settings;
    this.#resize();
    for (const s of this.#slots) s.pace(settings.share, this.#pausedFor !== "");
    this.#ask();
    this.#changed();
  }

  /** Pauses for a reason, or goes on when it is "". */
  pause(reason: string): void {
    if (reason === this.#pausedFor) return;
    const was = this.#pausedFor;
    this.#pausedFor = reason;
    for (const s of this.#slots) s.pace(this.#settings.share, reason !== "");
    if (reason === "") this.#callOffPause();
    else if (was === "") {
      // A task that cannot wait ends; one that can is kept for a while.
      for (const s of this.#slots) if (!s.yields) this.#giveUp(s);
      this.#callOffPause = this.options.env.after(longPause, () => void this.#endAll("stopped"));
    }
    this.#ask();
    this.#pump();
    this.#changed();
  }

  async #prepare(): Promise<void> {
    if (!isSecureContext || crypto.subtle === undefined) {
      throw new Error("This page was not loaded over https, so the browser cannot check signatures. Nothing can run.");
    }
    const identity = await loadIdentity().catch(() => {
      throw new Error("This browser cannot check Ed25519 signatures. Nothing can run; a newer browser can.");
    });
    const { hub, root, fetch, env } = this.options;
    const log = this.options.log === null ? null : await logTrust(this.options.log);
    const now = (): number => Date.now();
    const follower = new Follower({ hub, root, log, fetch, now, env, memory: memoryOf(root), changed: () => this.#trustChanged() });
    this.#follower = follower;
    this.#slotDeps = {
      library: new Library(hub, follower, fetch, now),
      identity,
      trail: {
        identity,
        offer: (message) => this.#link?.offer(message.checkpoint.lease, message),
        keep: (message) => void keeper.keep(message),
        visit: () => this.#visit,
      },
      open: (handlers: Handlers) => Sandbox.open(this.options.mount(), handlers),
      changed: (slot) => this.#slotChanged(slot),
      silenced: (silence) => this.#silenced(silence),
    };
    this.#link = new Link(hub.replace(/^http/, "ws") + "/v1/work", identity, this.options.site, env, {
      open: (halted, visit) => this.#opened(halted, visit),
      lost: (why) => this.#lost(why),
      message: (m) => this.#receive(m),
    });
    // What an earlier visit left unfinished.
    for (const message of await keeper.left()) this.#link.offer(message.checkpoint.lease, message);
  }

  // Slots

  #resize(): void {
    if (this.#slotDeps === null) return;
    while (this.#slots.length < this.#settings.slots) {
      this.#slots.push(new Slot(this.#slotDeps, this.#settings.share, this.#pausedFor !== ""));
    }
    for (const s of this.#slots.splice(this.#settings.slots)) this.#giveUp(s);
    this.#pump();
  }

  #giveUp(slot: Slot): void {
    if (slot.lease !== null) this.#handBack(slot, slot.lease);
    void slot.end("stopped");
  }

  /** Gives a lease back, and before that what was done of it. */
  #handBack(slot: Slot, lease: Lease): void {
    slot.handOn();
    this.#link?.giveBack(lease.id, "stopped", "", "");
  }

  async #endAll(cause: Cause): Promise<void> {
    for (const { lease } of this.#queue) this.#link?.giveBack(lease.id, "stopped", "", "");
    this.#queue = [];
    const slots = this.#slots;
    if (!this.#on) this.#slots = [];
    await this.#endSlots(slots, cause);
  }

  async #endSlots(slots: readonly Slot[], cause: Cause): Promise<void> {
    if (cause === "stopped") {
      // The hub may have it back now: whatever a stopped run still says is not used.
      for (const s of slots) if (s.lease !== null) this.#handBack(s, s.lease);
    }
    this.#ends = Promise.all([this.#ends, ...slots.map((s) => s.end(cause))]);
    await this.#ends;
  }

  /** Of several that end together, the last one to be silent counts. */
  #silenced(silence: Silence): void {
    if (this.#silence === null || silence.millis > this.#silence.millis || this.#state !== "stopping") this.#silence = silence;
    this.#changed();
  }

  #pump(): void {
    if (!this.#on || this.#pausedFor !== "") return;
    for (const slot of this.#slots) {
      if (slot.lease !== null) continue;
      const next = this.#queue.shift();
      if (next === undefined) return;
      if (this.options.env.now() - next.since > next.lease.seconds * 1000) {
        this.#link?.giveBack(next.lease.id, "stopped", "", "it waited too long for its turn");
        continue;
      }
      void this.#work(slot, next.lease);
    }
  }

  async #work(slot: Slot, lease: Lease): Promise<void> {
    const finish = await slot.perform(lease);
    this.#reported.delete(slot);
    this.#finished(lease, finish);
    this.#pump();
    this.#ask();
    this.#changed();
  }

  #finished(lease: Lease, finish: Finish): void {
    if (finish.type === "voted") {
      this.#done++;
      this.#fuel += finish.fuel;
      this.#troubles = 0;
      this.#link?.deliver(lease.id, finish.message);
      void keeper.forget(lease.id);
      return;
    }
    if (finish.reason === "stopped") return; // given back when it was decided
    this.#link?.giveBack(lease.id, finish.reason, finish.check, finish.detail);
    void keeper.forget(lease.id);
    if (finish.reason !== "killed") this.#rest(troubleOf(finish.reason, finish.check, finish.detail));
  }

  /** After something went wrong, asks for nothing for a while, longer each time. */
  #rest(trouble: Trouble): void {
    if (!this.#on) return;
    this.#trouble = trouble;
    this.#resting = true;
    this.#callOffRest();
    this.#callOffRest = this.options.env.after(Math.min(maxRest, firstRest * 2 ** this.#troubles++), () => {
      this.#resting = false;
      this.#ask();
    });
  }

  // Trust

  /** Why nothing may run at all. */
  get #barred(): unknown {
    return this.#follower === null ? null : this.#follower.barred;
  }

  /** Ends what may run no more, and asks for work or for none. */
  #trustChanged(): void {
    const { trust } = this.#believed ?? {};
    if (trust !== undefined) this.#policy = trust.policy;
    for (const s of this.#slots) void s.recheck();
    this.#ask();
    this.#changed();
  }

  get #believed(): ReturnType<Follower["at"]> | null {
    try {
      return this.#follower?.at() ?? null;
    } catch {
      return null;
    }
  }

  // Link

  /** Tells the hub how many leases to keep here: one for each slot and one to go on with. */
  #ask(): void {
    const working = this.#on && this.#state === "working" && this.#pausedFor === "" && !this.#resting && this.#barred === null;
    this.#link?.want(working ? this.#settings.slots + 1 : 0);
  }

  #opened(halted: boolean, visit: number): void {
    [this.#connected, this.#halted, this.#lostFor, this.#visit] = [true, halted, "", visit];
    this.#settle();
    this.#changed();
  }

  #lost(why: string): void {
    [this.#connected, this.#lostFor] = [false, why];
    if (!this.#on) this.#disconnect();
    this.#changed();
  }

  #receive(m: Exclude<FromHub, { type: "hello" | "welcome" | "error" }>): void {
    switch (m.type) {
      case "lease":
        this.#borrow(m);
        break;
      case "kept":
        if (!this.#slots.some((s) => s.lease?.id === m.id)) void keeper.forget(m.id);
        this.#handedOn = m.segments > 0;
        this.#settle();
        break;
      case "ack":
        this.#acknowledged++;
        this.#settle();
        break;
      case "refused":
        this.#notice = `The hub did not take a result: ${m.message}`;
        this.#settle();
        break;
      case "kill":
        void this.#obey(m);
        break;
      case "resume":
        this.#halted = false;
        break;
      case "idle":
        break;
    }
    this.#changed();
  }

  #borrow(lease: Lease): void {
    const known = this.#queue.some((q) => q.lease.id === lease.id) || this.#slots.some((s) => s.lease?.id === lease.id);
    if (known) return;
    if (!this.#on || this.#queue.length >= maxQueue) return this.#link?.giveBack(lease.id, "stopped", "", "");
    this.#queue.push({ lease, since: this.options.env.now() });
    this.#pump();
  }

  async #obey(kill: Kill): Promise<void> {
    const hit = (l: Lease): boolean => kill.scope === "all" || kill.target === { order: l.order, release: l.release, task: `${l.order}/${l.task}`, lease: l.id }[kill.scope];
    if (kill.scope === "all") this.#halted = true;
    for (const { lease } of this.#queue) if (hit(lease)) this.#link?.giveBack(lease.id, "killed", "", "");
    this.#queue = this.#queue.filter((q) => !hit(q.lease));
    const slots = this.#slots.filter((s) => s.lease !== null && hit(s.lease));
    this.#notice = `The hub ended this work: ${kill.reason === "" ? "no reason given" : kill.reason}.`;
    await this.#endSlots(slots, "killed");
    this.#changed();
  }

  /** Once stopped, the link stays only as long as it owes something. */
  #settle(): void {
    if (this.#state === "stopped" && (this.#link?.unacknowledged ?? 0) === 0) this.#disconnect();
  }

  #disconnect(): void {
    this.#callOffFlush();
    this.#link?.close();
    this.#connected = false;
  }

  // View

  #slotChanged(slot: Slot): void {
    if (slot.verified !== null && slot.phase !== "idle") {
      const { release, signer } = slot.verified;
      const researcher = this.#policy?.researchers.find((r) => r.key === signer.text)?.name ?? "";
      this.#job = { release, signer: signer.text, researcher, policy: this.#policy?.version ?? 0 };
    }
    if (slot.phase === "running" && slot.lease !== null) this.#report(slot, slot.lease);
    this.#changed();
  }

  /** Tells the hub of progress, about once a second. */
  #report(slot: Slot, lease: Lease): void {
    const now = this.options.env.now();
    const last = this.#reported.get(slot);
    if (last === undefined) this.#notice = "";
    if (last === undefined && !this.#resting) this.#trouble = null; // something runs again
    if (last !== undefined && now - last < progressMillis) return;
    this.#reported.set(slot, now);
    if (last !== undefined) this.#link?.progress(lease.id, slot.permille, slot.text, slot.fuel);
  }

  /** Shows the view as it is. */
  refresh(): void {
    this.#changed();
  }

  #changed(): void {
    const [state, sentence] = this.#describe();
    const check = state === "refused" ? (this.#refusal?.check ?? "") : "";
    this.options.changed({
      state,
      sentence,
      check,
      on: this.#on,
      job: this.#job,
      slots: this.#slots.map((s) => ({ permille: s.permille, text: s.text, running: s.phase === "running" })),
      done: this.#done,
      acknowledged: this.#acknowledged,
      fuel: this.#fuel + this.#slots.reduce((n, s) => n + (s.phase === "running" ? s.fuel : 0), 0),
      note: check !== "" ? `Failed check: ${check}. It stands in the hub’s log, too.` : this.#silence === null ? "" : quiet(this.#silence),
    });
  }

  /** What was refused: everything, or the last lease. */
  get #refusal(): Trouble | null {
    const barred = this.#state === "working" ? this.#barred : null;
    if (barred instanceof Failure) return troubleOf("refused", barred.check, barred.message);
    return this.#trouble;
  }

  #describe(): [State, string] {
    switch (this.#state) {
      case "off":
        return ["off", "Nothing runs until you press Start."];
      case "unsupported":
        return ["unsupported", this.#notice];
      case "starting":
        return ["starting", "Getting ready."];
      case "stopping":
        return ["stopping", "Stopping."];
      case "stopped":
        return ["stopped", this.#handedOn ? "Stopped. Nothing runs. The hub keeps what was done for the next visitor." : "Stopped. Nothing runs."];
      case "working":
        return describe({
          trouble: this.#refusal,
          pausedFor: this.#pausedFor,
          phases: this.#slots.map((s) => s.phase),
          resumed: this.#slots.some((s) => s.resumed),
          connected: this.#connected && (this.#barred === null || this.#barred instanceof Failure),
          lostFor: this.#barred === null || this.#barred instanceof Failure ? this.#lostFor : "it did not send its policy",
          halted: this.#halted,
          unacknowledged: this.#link?.unacknowledged ?? 0,
          notice: this.#notice,
        });
    }
  }
}
