// The panel: what the visitor sees and decides. It shows a View and hands on
// what is pressed; it knows nothing of hubs.

import style from "embed:style";
import { el, set } from "./dom.ts";
import { amount } from "./format.ts";
import type { Root } from "./policy.ts";
import type { Settings, State, View } from "./view.ts";

export interface Actions {
  start(): void;
  stop(): void;
  configure(settings: Settings): void;
  pauseHidden(on: boolean): void;
}

const tones: Partial<Record<State, string>> = {
  running: "good", verifying: "good", sending: "good", waiting: "good",
  starting: "wait", connecting: "wait", paused: "wait", halted: "wait", stopping: "wait", trouble: "wait",
  refused: "bad", unsupported: "bad",
};

const names: Record<State, string> = {
  off: "Off", starting: "Starting", connecting: "Connecting", waiting: "Waiting", verifying: "Verifying", running: "Running",
  sending: "Sending", paused: "Paused", halted: "Halted", refused: "Refused", trouble: "Trouble", stopping: "Stopping",
  stopped: "Stopped", unsupported: "Not possible",
};

export class Panel {
  /** Where frames may be put: part of the page, never seen. */
  readonly mount: ShadowRoot;
  readonly #card = el("section", { className: "card", ariaLabel: "Countersign" });
  readonly #chip = el("span", { className: "chip" });
  readonly #intro: HTMLElement;
  readonly #job = el("div", { className: "job", hidden: true });
  readonly #bars = el("ul", { className: "bars", hidden: true });
  readonly #gauges = el("dl", { className: "gauges", hidden: true });
  readonly #counts = ["Tasks done", "Acknowledged", "Fuel given"].map((name) => gauge(this.#gauges, name));
  readonly #startButton = el("button", { type: "button", textContent: "Start" });
  readonly #stopButton = el("button", { type: "button", className: "stop", textContent: "Stop", hidden: true });
  readonly #status = el("p", { className: "status", role: "status", ariaLive: "polite" });
  readonly #quiet = el("p", { className: "quiet soft", hidden: true });
  readonly #settings: HTMLElement;
  #shownJob: View["job"] = null;

  constructor(
    private readonly host: HTMLElement,
    hub: string,
    root: Root,
    actions: Actions,
  ) {
    this.mount = host.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(style);
    this.mount.adoptedStyleSheets = [sheet];
    this.#intro = introduction(hub);
    this.#settings = settings(actions);
    this.#startButton.onclick = () => actions.start();
    this.#stopButton.onclick = () => actions.stop();
    this.#card.append(
      el("header", {}, mark(), el("b", { textContent: "Countersign" }), this.#chip),
      this.#intro, this.#job, this.#bars, this.#gauges,
      this.#settings, this.#startButton, this.#stopButton, this.#status, this.#quiet, signers(root),
    );
    this.mount.append(this.#card);
  }

  show(view: View): void {
    this.host.dataset["state"] = this.#card.dataset["state"] = view.state;
    this.host.dataset["check"] = view.check;
    this.#card.dataset["tone"] = tones[view.state] ?? "";
    set(this.#chip, names[view.state]);
    // A live region speaks when its text changes, so it changes only with the state.
    set(this.#status, view.sentence);
    set(this.#quiet, view.note);
    this.#quiet.hidden = view.note === "";
    this.#toggle(view.on);
    this.#intro.hidden = view.on || view.done > 0;
    this.#showJob(view.job);
    this.#showBars(view);
    this.#gauges.hidden = !view.on && view.done === 0;
    [view.done, view.acknowledged].forEach((n, i) => set(this.#counts[i]!, n.toLocaleString("en")));
    set(this.#counts[2]!, amount(view.fuel));
  }

  /** One of the two buttons is there; the keyboard's focus goes with it. */
  #toggle(on: boolean): void {
    const [shown, hidden] = on ? [this.#stopButton, this.#startButton] : [this.#startButton, this.#stopButton];
    if (!shown.hidden) return;
    const focused = this.mount.activeElement === hidden;
    [shown.hidden, hidden.hidden] = [false, true];
    // First decide, then start; once it runs, Stop comes before all else.
    if (on) this.#quiet.after(this.#settings);
    else this.#startButton.before(this.#settings);
    if (focused) shown.focus();
  }

  #showJob(job: View["job"]): void {
    this.#job.hidden = job === null;
    if (job === null || (job.release === this.#shownJob?.release && job.signer === this.#shownJob.signer)) return;
    this.#shownJob = job;
    const { purpose, name, version, expires } = job.release;
    const facts = el("dl", { className: "facts" });
    fact(facts, "Program", `${name}, version ${version}`);
    fact(facts, "Signed by", el("span", {}, el("span", { textContent: job.researcher }), keyText(job.signer)));
    fact(facts, "Allowed by", `policy version ${job.policy}`);
    fact(facts, "Good until", expires.slice(0, 10));
    this.#job.replaceChildren(el("h2", { textContent: purpose }), facts);
  }

  #showBars(view: View): void {
    this.#bars.hidden = !view.on || view.job === null;
    while (this.#bars.children.length > view.slots.length) this.#bars.lastElementChild?.remove();
    view.slots.forEach((slot, i) => {
      const bar = this.#bars.children[i] ?? this.#bars.appendChild(newBar(i));
      const [text, percent] = bar.querySelectorAll("span");
      const progress = bar.querySelector("progress");
      if (text) set(text, slot.running ? slot.text || "Running" : "Between tasks");
      if (percent) set(percent, slot.running ? `${Math.floor(slot.permille / 10)} %` : "");
      if (progress) progress.value = slot.running ? slot.permille : 0;
    });
  }
}

function introduction(hub: string): HTMLElement {
  return el("div", {},
    el("h2", { textContent: "Volunteer this computer" }),
    el("p", {
      textContent: `When you press Start, your browser asks ${new URL(hub).host} for work, checks the researcher’s signature on each program, ` +
        "and runs it in a sandbox that has no network, no files and no view of this page.",
    }),
    el("p", {
      className: "soft",
      textContent: "It takes the share of your processor that you choose here, and ends the moment you press Stop or close the page. It is off again the next time you load the page.",
    }));
}

function settings(actions: Actions): HTMLElement {
  const cores = Math.min(Math.max(navigator.hardwareConcurrency || 1, 1), 32);
  const share = el("input", { type: "range", min: "10", max: "100", step: "5", value: "25", id: "share" });
  const shown = el("b", {}); // not an output: that would be a second live region
  const slots = el("select", { id: "slots" });
  for (let n = 1; n <= cores; n++) slots.append(el("option", { value: String(n), textContent: String(n) }));
  const hidden = el("input", { type: "checkbox", id: "hidden", checked: true });
  const show = (): void => {
    set(shown, `${share.value} %`);
    share.ariaValueText = `${share.value} percent`;
  };
  const changed = (): void => {
    show();
    actions.configure({ share: Number(share.value) / 100, slots: Number(slots.value) });
  };
  share.oninput = slots.onchange = changed;
  hidden.onchange = () => actions.pauseHidden(hidden.checked);
  show();
  return el("fieldset", { ariaLabel: "What it may use" },
    el("div", {}, el("div", { className: "row" }, label("share", "Share of each core"), shown), share),
    el("div", { className: "row" }, label("slots", `Cores, of ${cores}`), slots),
    el("div", { className: "check" }, hidden, label("hidden", "Pause while this tab is hidden")));
}

function signers({ keys, threshold }: Root): HTMLElement {
  const list = el("ul", {}, ...keys.map((k) => el("li", {}, keyText(k.text))));
  const whose = keys.length === 1 ? "this root key" : `${threshold} of these ${keys.length} root keys`;
  const summary = `Runs only what researchers signed whom ${whose} named`;
  const fuel = el("p", { className: "soft", textContent: "Fuel counts a program’s instructions. It is the same number on every computer." });
  return el("details", { open: keys.length <= 2 }, el("summary", { textContent: summary }), list, fuel);
}

/** A key that breaks in its middle, where it does not fit on a line. */
function keyText(key: string): HTMLElement {
  return el("code", {}, el("span", { textContent: key.slice(0, 28) }), el("span", { textContent: key.slice(28) }));
}

function newBar(i: number): HTMLElement {
  const progress = el("progress", { max: 1000, ariaLabel: `Task on core ${i + 1}` });
  return el("li", {}, el("div", {}, el("span", {}), el("span", {})), progress);
}

function gauge(list: HTMLElement, name: string): HTMLElement {
  const value = el("dd", {});
  list.append(el("div", {}, el("dt", { textContent: name }), value));
  return value;
}

function fact(list: HTMLElement, name: string, value: string | Node): void {
  list.append(el("dt", { textContent: name }), el("dd", {}, value));
}

function label(htmlFor: string, textContent: string): HTMLElement {
  return el("label", { htmlFor, textContent });
}

function mark(): Element {
  const ns = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(ns, "svg");
  svg.setAttribute("viewBox", "0 0 32 32");
  svg.setAttribute("aria-hidden", "true");
  for (const d of ["M28.5 16a12.5 12.5 0 1 1-25 0a12.5 12.5 0 1 1 25 0", "M9.500 16.500l4.200 4.200 9-10"]) {
    const path = document.createElementNS(ns, "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}
