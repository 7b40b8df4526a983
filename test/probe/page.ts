// The page that each browser opens: the probe in the place of the runner, in the
// real sandbox and in an ordinary worker. The page has no policy of its own, so
// that all that protects is what the frame brings.

import frame from "embed:frame";
import type { Told, Ways } from "./ways.ts";

const post = (body: unknown): Promise<Response> => fetch("/told", { method: "POST", body: JSON.stringify(body) });
const channel = "probe-channel";
let heard = 0;
const workers: Worker[] = [];

/** Puts the probe where the runner would be, as webworker/src/sandbox.ts does. */
async function sandboxed(): Promise<MessagePort> {
  const element = document.createElement("iframe");
  element.setAttribute("sandbox", "allow-scripts");
  element.hidden = true;
  element.srcdoc = frame;
  const loaded = new Promise((resolve) => (element.onload = resolve));
  document.body.append(element);
  await loaded;
  const [control, runner] = [new MessageChannel(), new MessageChannel()];
  element.contentWindow!.postMessage(null, "*", [control.port2, runner.port2]);
  await answer(runner.port1);
  return runner.port1;
}

async function ordinary(): Promise<MessagePort> {
  const c = new MessageChannel();
  const worker = new Worker("/worker.js");
  workers.push(worker);
  worker.postMessage("", [c.port2]);
  await answer(c.port1);
  return c.port1;
}

function answer<T>(port: MessagePort): Promise<T> {
  return new Promise((resolve) => (port.onmessage = ({ data }: MessageEvent<T>) => resolve(data)));
}

function probe(port: MessagePort, known: Ways): Promise<Told[]> {
  const all: Told[] = [];
  return new Promise((resolve) => {
    port.onmessage = ({ data }: MessageEvent<Told | "done">) => {
      if (data === "done") return resolve(all);
      all.push(data);
      void post({ trying: data.way });
    };
    port.postMessage(known);
  });
}

async function main(): Promise<void> {
  const { stranger } = (await (await fetch("/about")).json()) as { stranger: string };
  const c = new BroadcastChannel(channel);
  c.onmessage = () => {
    heard++;
    c.postMessage("here");
  };
  void navigator.locks?.request(channel, () => new Promise(() => {}));
  const pageBlob = URL.createObjectURL(new Blob(["a secret of the page"]));
  const known = (otherBlob: string): Ways => ({ page: location.origin, stranger, socket: `ws://${location.host}/canary/socket`, pageBlob, otherBlob, channel });

  for (const [name, open] of [["ordinary worker", ordinary], ["sandbox", sandboxed]] as const) {
    const other = await open();
    const has = answer<{ blob: string; leash: string }>(other);
    other.postMessage("listen");
    heard = 0;
    await post({ begins: name });
    const told = await probe(await open(), known((await has).blob));
    await post({ name, told, heard });
    for (const w of workers.splice(0)) w.terminate();
  }
  await post({ done: true });
}

main().catch((e: unknown) => post({ failed: String(e) }));
