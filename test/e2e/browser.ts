// Real Chromium, and what a page of it said and asked for.

import { mkdtempSync, rmSync } from "node:fs";
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
    readonly page: Page,
    private readonly profile: string,
  ) {
    page.on("console", (m) => {
      if (m.type() === "error" || m.type() === "warning") this.complaints.push(m.text());
    });
    page.on("pageerror", (e) => this.complaints.push(String(e)));
    page.on("worker", () => this.workers++);
    context.on("request", (r) => this.requests.push(r.url()));
  }

  static async arrive(options: { width?: number; height?: number; scheme?: "light" | "dark" } = {}): Promise<Visitor> {
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
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }

  get start(): Locator {
    return this.page.getByRole("button", { name: "Start", exact: true });
  }

  get stop(): Locator {
    return this.page.getByRole("button", { name: "Stop", exact: true });
  }

  get status(): Locator {
    return this.page.getByRole("status");
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

  /** How often a runner compiled a module. */
  async compiled(): Promise<number> {
    return this.page.evaluate(() => performance.getEntriesByName("countersign-compiled").length);
  }
}
