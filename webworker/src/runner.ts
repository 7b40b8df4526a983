// The runner: the code of a blob: worker in the sandboxed frame. It compiles
// the bytes that the page verified and runs one task at a time of them. It can
// reach nothing: the frame's policy allows no connection, its origin is opaque.

import { printable } from "./bytes.ts";
import type { FromRunner, Job, Outcome, ToRunner } from "./channel.ts";
import { canYield, execute } from "./execute.ts";
import { Throttle } from "./throttle.ts";

const reportEvery = 200; // milliseconds

let port: MessagePort;
let compiled: Promise<WebAssembly.Module> | null = null;
let permille = 0;
let text = "";
let reportedAt = 0;

const turn = new MessageChannel();
const clock = {
  now: () => performance.now(),
  // A timer of 0 takes at least 4 ms when nested; a message does not.
  sleep: (millis: number) =>
    new Promise<void>((resolve) => {
      if (millis > 0) return void setTimeout(resolve, millis);
      turn.port2.onmessage = () => resolve();
      turn.port1.postMessage(null);
    }),
};
let leash = "";
const throttle = new Throttle(canYield, clock, report, () => leash === "" || held());

/** Whether the frame still has the leash. */
function held(): boolean {
  const request = new XMLHttpRequest();
  request.open("GET", leash, false);
  try {
    request.send();
    return true;
  } catch {
    return false;
  }
}

function send(message: FromRunner, transfer: Transferable[] = []): void {
  port.postMessage(message, transfer);
}

function report(fuel: number): void {
  const now = clock.now();
  if (now - reportedAt < reportEvery) return;
  reportedAt = now;
  send({ type: "progress", permille, text, fuel });
}

async function run(job: Job): Promise<void> {
  let outcome: Outcome;
  try {
    if (compiled === null) throw new Error("nothing to run");
    const module = await compiled;
    if ((await throttle.rest()) === "cancelled") throw new Error("stopped before it began");
    [permille, text] = [0, ""];
    throttle.begin(job.millis);
    outcome = await execute(module, job, throttle, clock.now, {
      progress: (p, t) => ([permille, text] = [p, t]),
      checkpoint: (at) => send({ type: "checkpoint", at }),
    });
  } catch (e) {
    outcome = { end: "fault", code: 0, fuel: 0, output: new Uint8Array(), links: new Uint8Array(), detail: printable(String(e), 256) };
  }
  send({ type: "end", outcome }, [outcome.output.buffer, outcome.links.buffer]);
}

async function load(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  const before = clock.now();
  compiled = WebAssembly.compile(bytes);
  try {
    await compiled;
    throttle.spend(clock.now() - before);
    send({ type: "compiled" });
  } catch {
    // run reports it, as the fault of the task that needs the module.
  }
}

function receive(message: ToRunner): void {
  switch (message.type) {
    case "load":
      return void load(message.module);
    case "run":
      return void run(message.job);
    case "pace":
      return throttle.pace(message.share, message.paused);
    case "stop":
      return throttle.stop();
  }
}

// The first message comes from the frame and brings the port to the page.
self.onmessage = (first: MessageEvent<string>) => {
  self.onmessage = null;
  leash = first.data;
  if (!canYield && !held()) leash = ""; // this browser has no use for it
  port = first.ports[0]!;
  port.onmessage = (e: MessageEvent<ToRunner>) => receive(e.data);
  send({ type: "ready", yields: canYield });
};
