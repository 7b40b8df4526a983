// The real programs: signer, hub and verifysim, built from this tree.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Visitor } from "./browser.ts";
import { root } from "./paths.ts";
import type { Signer } from "./sign.ts";

export const bin = process.env["COUNTERSIGN_BIN"] ?? join(root, "bin");
const password = "correct horse battery staple";

/** Runs a program to its end and returns what it printed. */
export function run(cwd: string, program: string, ...args: string[]): string {
  const done = spawnSync(join(bin, program), args, {
    cwd,
    encoding: "utf8",
    env: { ...process.env, COUNTERSIGN_PASSWORD: password },
    timeout: 300_000,
  });
  if (done.status !== 0) throw new Error(`${program} ${args.join(" ")}: ${done.error?.message ?? `exit ${done.status}`}\n${done.stdout}${done.stderr}`);
  return done.stdout;
}

/** Asks a hub. It ends connections that are idle, which nobody here hears of while a program runs: two turns of the loop make up for that. */
export async function ask(url: string): Promise<Response> {
  for (let i = 0; i < 2; i++) await new Promise((resolve) => setImmediate(resolve));
  return fetch(url);
}

/** A researcher's desk: keys, releases and orders in a folder of their own. */
export class Desk {
  readonly dir = mkdtempSync(join(tmpdir(), "countersign-desk-"));

  constructor(...names: string[]) {
    for (const name of names) this.signer("key", "new", name);
  }

  signer(...args: string[]): string {
    return run(this.dir, "signer", ...args);
  }

  /** Writes a policy that root signs, with these researchers; hub serve wants both. */
  policy(root: string, ...args: string[]): void {
    this.signer("key", "new", root);
    this.signer("policy", "init", "--root", `${root}.pub`, ...args, "-o", "policy.json");
    this.signer("policy", "sign", "policy.json", "-k", `${root}.key`);
    this.signer("policy", "merge", "policy.json");
  }

  /** The public key of a name. */
  key(name: string): string {
    return readFileSync(join(this.dir, `${name}.pub`), "utf8").trim().split("\n").at(-1)!;
  }

  path(name: string): string {
    return join(this.dir, name);
  }

  read(name: string): Buffer {
    return readFileSync(this.path(name));
  }

  write(name: string, content: string): string {
    writeFileSync(this.path(name), content);
    return name;
  }

  /** Writes a statement with its signature beside it. */
  keep(name: string, statement: Buffer, signer: Signer): string {
    writeFileSync(this.path(name), statement);
    writeFileSync(this.path(name + ".minisig"), signer.sign(statement));
    return name;
  }

  clear(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

export interface Payload {
  readonly purpose: string;
  readonly source: string;
  readonly module: string;
}

export const factor: Payload = {
  purpose: "Factors integers by trial division.",
  source: join(root, "payloads/factor/factor.wasm"),
  module: join(root, "payloads/factor/factor.metered.wasm"),
};

export const loop: Payload = {
  purpose: "Runs for ever, to be stopped.",
  source: join(root, "payloads/hostile/loop/loop.wasm"),
  module: join(root, "payloads/hostile/loop/loop.metered.wasm"),
};

export const steps: Payload = {
  purpose: "Mixes a number for a long time.",
  source: join(root, "payloads/steps/steps.wasm"),
  module: join(root, "payloads/steps/steps.metered.wasm"),
};

export const labIO: Payload = {
  purpose: "Reads much and writes much.",
  source: join(root, "payloads/lab-io/lab-io.wasm"),
  module: join(root, "payloads/lab-io/lab-io.metered.wasm"),
};

/** A program that goes on, and what it says. */
export class Running {
  output = "";
  private readonly child: ChildProcess;

  constructor(cwd: string, program: string, ...args: string[]) {
    this.child = spawn(join(bin, program), args, { cwd, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.child.stdout!, this.child.stderr!]) stream.on("data", (d: Buffer) => (this.output += d.toString()));
  }

  async says(pattern: RegExp, millis = 60_000): Promise<RegExpMatchArray> {
    const end = Date.now() + millis;
    for (;;) {
      const m = this.output.match(pattern);
      if (m !== null) return m;
      if (this.child.exitCode !== null || Date.now() > end) throw new Error(`waited for ${String(pattern)} in:\n${this.output}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.child.once("exit", resolve));
    this.child.kill("SIGTERM");
    const timer = setTimeout(() => this.child.kill("SIGKILL"), 10_000);
    await ended;
    clearTimeout(timer);
  }
}

/** Takes a picture: for the documentation when asked to, otherwise only to see that it can be taken. */
export async function shots(v: Visitor, name: string): Promise<void> {
  const folder = process.env["COUNTERSIGN_PICTURES"];
  if (folder === undefined) return void (await v.page.screenshot());
  mkdirSync(folder, { recursive: true });
  await v.page.screenshot({ path: join(folder, `${name}.png`) });
}
