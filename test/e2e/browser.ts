// Real Chromium, and what a page of it said and asked for.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BrowserContext, chromium, type Locator, type Page } from "playwright-core";

const flags = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** A visitor: a browser with a fresh profile. */
export class Visitor {
  readonly complaints: string[] = []; // console errors, exceptions, policy violations
  readonly requests: string[] = [];
  workers = 0;

  private constructor(
    readonly context: BrowserContext,
    public page: Page,
    private readonly profile: string,
  ) {
    this.watch();
    context.on("request", (r) => this.requests.push(r.url()));
  }

  private watch(): void {
    this.page.on("console", (m) => {
      if (m.type() === "error" || m.type() === "warning") this.complaints.push(m.text());
    });
    this.page.on("pageerror", (e) => this.complaints.push(String(e)));
    this.page.on("worker", () => this.workers++);
  }

  static async arrive(options: { width?: number; height?: number; scheme?: "light" | "dark"; } = {}): Promise<Visitor> {
    const profile = mkdtempSync(join(tmpdir(), "countersign-visitor-"));
    const context = await chromium.launchPersistentContext(profile, {
      executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
      headless: true,
      args: flags,
      viewport: { width: options.width ?? 1280, height: options.height ?? 800 },
      colorScheme: options.scheme ?? "light",
    });
    const page = context.pages()[0] ?? (await context.newPage());
    return new Visitor(context, page, profile);
  }

  async leave(): Promise<void> {
    await this.context.close();
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 20 }); // its last processes may still write
  }

  /** The page's process ends without a word, and the visitor opens another page. */
  async crash(): Promise<void> {
    const session = await this.context.newCDPSession(this.page);
    const gone = this.page.waitForEvent("crash");
    session.send("Page.crash").catch(() => {}); // nobody is left to answer
    await gone;
    this.page = await this.context.newPage();
    this.watch();
  }

  get start(): Locator {
    return this.page.getByRole("button", { name: "Start", exact: true });
  }

  get stop(): Locator {
    return this.page.getByRole("button", { name: "Stop", exact: true });
  }

  get status(): Locator {
    return this.page.locator("p.status"); // of the panel; the hub's page may have another
  }

  /** Waits for the panel to be in a state. */
  async state(...states: string[]): Promise<void> {
    const selector = states.map((s) => `[data-state="${s}"]`).join(", ");
    await this.page.locator(selector).first().waitFor({ state: "attached", timeout: 30_000 });
  }

  /** A number that the panel shows. */
  async gauge(name: string): Promise<number> {
    const value = this.page.locator("dl.gauges div", { hasText: name }).locator("dd");
    return Number((await value.textContent())?.replaceAll(",", ""));
  }

  async until(what: string, f: () => boolean | Promise<boolean>, millis = 30_000): Promise<void> {
    const end = Date.now() + millis;
    while (!(await f())) {
      if (Date.now() > end) throw new Error(`waited ${millis} ms for ${what}; the panel says: ${await this.status.textContent()}`);
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }

  /** From order to silence, in milliseconds, of every program that was cut short, as the page measured it. */
  async silences(): Promise<{ cause: string; millis: number; seen: boolean }[]> {
    return this.page.evaluate(() =>
      performance.getEntriesByName("countersign-silence").map((e) => {
        const { cause, millis, seen } = (e as PerformanceMeasure).detail as { cause: string; millis: number; seen: boolean };
        return { cause, millis, seen };
      }));
  }

  /** Processor time of the whole browser until now, in milliseconds. */
  cpuMillis(): number {
    const all = new Map<number, { parent: number; ticks: number }>();
    let root = 0;
    for (const pid of readdirSync("/proc").map(Number).filter((n) => n > 0)) {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
        const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" "); // from the state on
        all.set(pid, { parent: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]) });
        const command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
        if (command.includes(`--user-data-dir=${this.profile}`) && !command.includes("--type=")) root = pid;
      } catch {
        // It ended while we looked.
      }
    }
    const ours = (pid: number): boolean => pid === root || (pid > 1 && ours(all.get(pid)?.parent ?? 0));
    let ticks = 0;
    for (const [pid, p] of all) if (ours(pid)) ticks += p.ticks;
    return ticks * 10; // USER_HZ is 100
  }

  /** How long it takes from then until the browser uses less than a tenth of a core, in milliseconds. */
  async untilIdle(millis: number, from = Date.now()): Promise<number> {
    const window = 200;
    while (Date.now() - from < millis) {
      const before = this.cpuMillis();
      await new Promise((resolve) => setTimeout(resolve, window));
      if (this.cpuMillis() - before < window / 10) return Date.now() - from - window;
    }
    throw new Error(`the browser was still busy after ${millis} ms`);
  }

  /** How often a runner compiled a module. */
  async compiled(): Promise<number> {
    return this.page.evaluate(() => performance.getEntriesByName("countersign-compiled").length);
  }
}
