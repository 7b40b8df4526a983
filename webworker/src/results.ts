// The page of results: an order's results as they come, as text or, where the
// order draws one, as a picture. It shows what the hub answers and verifies
// nothing, and says so. `/results?order=DIGEST`; without an order, all orders.

import { el, set } from "./dom.ts";
import { amount } from "./format.ts";
import { drawable, fill, type Picture } from "./picture.ts";
import { decode, type Line, readLines } from "./resultlines.ts";

interface Order {
  readonly order: string;
  readonly title: string;
  readonly name: string;
  readonly state: string;
  readonly reason?: string;
  readonly tasks: number;
  readonly accepted: number;
  readonly undecided: number;
  readonly votes: number;
  readonly leases: number;
  readonly text: string;
}

const every = 2_000; // milliseconds between two looks, or five times what one took
const most = 10_000; // lines read
const shown = 1_000; // lines shown as text
const words = 4_096; // characters shown of one output

const main = document.querySelector("main")!;

/** What is wrong, as a sentence. */
class Problem extends Error {
  constructor(message: string, readonly passing: boolean) {
    super(message);
  }
}

const problem = (error: unknown) => (error instanceof Problem ? error : new Problem("The hub cannot be reached.", true));

/** Asks the hub; what is wrong is its answer's sentence. */
async function ask(path: string): Promise<Response> {
  const r = await fetch(path, { cache: "no-store", credentials: "omit" });
  if (r.ok) return r;
  const text = await r.text().catch(() => "");
  let message = `the hub answered ${r.status}`;
  try {
    message = String((JSON.parse(text) as { error: { message: string } }).error.message);
  } catch {
    // not the hub's own error
  }
  throw r.status === 401 || r.status === 403
    ? new Problem("This hub shows results to those with its auditor’s token only: signer results ORDER --token-file FILE.", false)
    : new Problem(`The hub says: ${message}.`, r.status >= 500 || r.status === 429);
}

async function list(): Promise<void> {
  const { orders } = (await (await ask("/v1/orders")).json()) as { orders: Order[] };
  const items = orders.toReversed().map((o) =>
    el("li", {}, el("a", { href: `?order=${o.order}`, textContent: o.title }), bar(o), el("span", { textContent: standing(o) })));
  main.replaceChildren(
    el("h1", { textContent: "Results" }),
    items.length === 0 ? el("p", { textContent: "Nobody has submitted an order to this hub yet." }) : el("ul", { className: "orders" }, ...items),
  );
}

/** How an order stands, in a line. */
function standing(o: Order): string {
  const parts = [o.state, `${o.accepted.toLocaleString("en")} of ${o.tasks.toLocaleString("en")} tasks accepted`];
  if (o.undecided > 0) parts.push(`${o.undecided.toLocaleString("en")} undecided`);
  parts.push(`${o.votes.toLocaleString("en")} votes`);
  if (o.leases > 0) parts.push(`${o.leases.toLocaleString("en")} lent now`);
  return parts.join(" · ") + (o.reason ? ` (${o.reason})` : "");
}

function bar(o: Order): HTMLElement {
  return el("progress", { max: o.tasks, value: o.accepted, ariaLabel: "Tasks accepted" });
}

/** One order: its head, and under it what came of it. */
class Sheet {
  readonly #title = el("h1", {});
  readonly #name = el("p", { className: "of" });
  readonly #bar = el("progress", { ariaLabel: "Tasks accepted" });
  readonly #standing = el("p", { className: "standing" });
  readonly #status = el("p", { role: "status", ariaLive: "polite" });
  readonly #outcome = el("section", { ariaLabel: "Results" });
  readonly #download = el("a", { hidden: true, textContent: "Save what is here" });
  #seen = ""; // which verdicts there were when the lines were last read

  constructor(private readonly order: string) {
    main.replaceChildren(
      this.#title, this.#name, this.#bar, this.#standing, this.#status, this.#outcome,
      el("p", { className: "links" }, this.#download, el("a", { href: `/v1/orders/${order}/results`, textContent: "All of it, as JSON lines" })),
      el("p", { className: "soft" }, "This page shows what the hub answers. To check it, run every task again: ",
        el("code", { textContent: `verifysim verify --hub ${location.origin} ${order}` })),
    );
  }

  /** Looks at the hub; true when nothing more will come. */
  async look(): Promise<boolean> {
    const o = (await (await ask(`/v1/orders/${this.order}`)).json()) as Order;
    set(this.#title, o.title);
    set(this.#name, o.name);
    document.title = o.title;
    Object.assign(this.#bar, { max: o.tasks, value: o.accepted });
    set(this.#standing, standing(o));
    set(this.#status, o.text === "" ? "" : `The program says: ${o.text}`);
    const verdicts = `${o.accepted} ${o.undecided}`; // fewer than before, if one was withdrawn
    if (verdicts !== this.#seen) {
      const answer = await ask(`/v1/orders/${this.order}/results`);
      this.#show(await readLines(answer.body!, most), o);
      this.#seen = verdicts;
    }
    return !["queued", "running", "paused"].includes(o.state);
  }

  #show(lines: Line[], o: Order): void {
    const good = lines.filter((l) => l.end === "exit" && l.code === 0);
    const picture = drawable(good);
    if (picture !== null) this.#draw(picture, o);
    else this.#write(lines, o);
    if (good.length === 0) return;
    URL.revokeObjectURL(this.#download.href);
    this.#download.href = URL.createObjectURL(new Blob(good.map((l) => decode(l.output))));
    this.#download.download = picture === null ? `${this.order.slice(0, 12)}.txt` : `${this.order.slice(0, 12)}.pgm`;
    this.#download.hidden = false;
  }

  #draw(picture: Picture, o: Order): void {
    let canvas = this.#outcome.querySelector("canvas");
    if (canvas === null || canvas.width !== picture.width || canvas.height !== picture.height) {
      canvas = el("canvas", { width: picture.width, height: picture.height, role: "img" });
      this.#outcome.replaceChildren(canvas);
    }
    canvas.ariaLabel = `The picture that the order draws, ${picture.width} by ${picture.height} pixels; ${o.accepted} of ${o.tasks} parts are here`;
    const context = canvas.getContext("2d")!;
    const image = context.createImageData(picture.width, picture.height);
    fill(image.data, picture);
    context.putImageData(image, 0, 0);
  }

  #write(lines: Line[], o: Order): void {
    const rows = lines.slice(0, shown).map((l) =>
      el("tr", {}, el("th", { scope: "row", textContent: l.task.toLocaleString("en") }), el("td", {}, cell(l)),
        el("td", { textContent: amount(l.fuel) }), el("td", { textContent: String(l.agree) })));
    const head = el("tr", {}, ...["Task", "Output", "Fuel", "Votes for it"].map((t) => el("th", { scope: "col", textContent: t })));
    const left = o.accepted + o.undecided - rows.length;
    this.#outcome.replaceChildren(
      rows.length === 0
        ? el("p", { textContent: "No task has a result yet." })
        : el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows)),
      left > 0 && rows.length === shown ? el("p", { textContent: `And ${left.toLocaleString("en")} more.` }) : "",
    );
  }
}

/** What came of one task: its text, or how it ended otherwise. */
function cell(l: Line): Node {
  if (l.end === "undecided") return el("em", { textContent: "undecided: the votes disagree" });
  const bytes = decode(l.output);
  const text = new TextDecoder().decode(bytes.subarray(0, words));
  const binary = /[^\t\n\r\x20-\x7e\xa0-\uffef]/.test(text); // controls, and what is no UTF-8
  const out = el("pre", { textContent: binary ? `${bytes.length.toLocaleString("en")} bytes` : text.trimEnd() });
  if (bytes.length > words && !binary) out.append(" …");
  const ended = l.end === "exit" ? (l.code === 0 ? "" : `code ${l.code}`) : l.end === "trap" ? "trapped" : `over its limit: ${l.end}`;
  return ended === "" ? out : el("span", {}, el("em", { textContent: ended }), out);
}

async function start(): Promise<void> {
  const order = new URLSearchParams(location.search).get("order");
  if (order === null) return list();
  if (!/^[0-9a-f]{64}$/.test(order)) throw new Problem("An order is named by the 64 hexadecimal digits that signer submit printed.", false);
  const sheet = new Sheet(order);
  for (;;) {
    const began = performance.now();
    try {
      if (!document.hidden) {
        if (await sheet.look()) return;
        note.remove();
      }
    } catch (error) {
      const p = problem(error);
      if (!p.passing) throw p;
      tell(`${p.message} This page goes on trying.`);
    }
    await new Promise((resolve) => setTimeout(resolve, Math.max(every, 5 * (performance.now() - began))));
  }
}

const note = el("p", { className: "note", role: "alert" });

function tell(text: string): void {
  set(note, text);
  if (!note.isConnected) main.prepend(note);
}

start().catch((error: unknown) => {
  const p = problem(error);
  tell(p.passing ? `${p.message} Load this page again to try again.` : p.message);
});
