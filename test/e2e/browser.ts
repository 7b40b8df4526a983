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
    await this.page.locator(selector).first().waitFor({ state: "attached", timeout: 60_000 });
  }

  /** A number that the panel shows. */
  async gauge(name: string): Promise<number> {
    const value = this.page.locator("dl.gauges div", { hasText: name }).locator("dd");
    return Number((await value.textContent())?.replaceAll(",", ""));
  }

  async until(what: string, f: () => boolean | Promise<boolean>, millis = 60_000): Promise<void> {
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

  /** Processor time of each worker of this browser, in milliseconds; one that has ended is not among them. */
  workerTimes(): number[] {
    const parents = new Map<number, number>();
    let root = 0;
    for (const pid of readdirSync("/proc").map(Number).filter((n) => n > 0)) {
      parents.set(pid, Number(statOf(`/proc/${pid}`)[2]));
      const command = gone("", () => readFileSync(`/proc/${pid}/cmdline`, "utf8"));
      if (command.includes(`--user-data-dir=${this.profile}`) && !command.includes("--type=")) root = pid;
    }
    const ours = (pid: number): boolean => pid === root || (pid > 1 && ours(parents.get(pid) ?? 0));
    const threads = [...parents.keys()].filter(ours).flatMap((pid) => gone([], () => readdirSync(`/proc/${pid}/task`).map((tid) => statOf(`/proc/${pid}/task/${tid}`))));
    return threads.filter(([name]) => name === "DedicatedWorker").map((stat) => 10 * (Number(stat[12]) + Number(stat[13]))); // USER_HZ is 100
  }

  /** How often a runner compiled a module. */
  async compiled(): Promise<number> {
    return this.page.evaluate(() => performance.getEntriesByName("countersign-compiled").length);
  }
}

/** What f reads of a process or thread, or something else if that has ended meanwhile. */
function gone<T>(otherwise: T, f: () => T): T {
  try {
    return f();
  } catch {
    return otherwise;
  }
}

/** The name of a process or thread, and what its stat says after that: state, parent, and so on. */
function statOf(path: string): string[] {
  const stat = gone("", () => readFileSync(`${path}/stat`, "utf8"));
  const end = stat.lastIndexOf(")");
  return [stat.slice(stat.indexOf("(") + 1, end), ...stat.slice(end + 2).split(" ")];
}
