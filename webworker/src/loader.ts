// The loader: the one script that pages include. It reads its tag, shows the
// panel, and waits for the visitor; nothing is asked of the hub, and nothing
// runs, before Start is pressed.
//
//   <script src="https://HUB/countersign.js" integrity="sha384-…" crossorigin="anonymous"
//     data-countersign data-root="RW… RW… RW…" data-threshold="2" data-floor="1" data-hub="https://HUB" data-target="#id"
//     data-log="…" data-witnesses="… …" data-witness-quorum="2" data-site="…"></script>

import { Lifecycle } from "./lifecycle.ts";
import type { Environment, Socket } from "./link.ts";
import { parseKeys } from "./minisign.ts";
import { Panel } from "./panel.ts";
import type { Root } from "./policy.ts";
import type { LogTag } from "./tlogproof.ts";
import { type View } from "./view.ts";
import { Volunteer } from "./volunteer.ts";

interface Tag {
  readonly hub: string; // origin
  readonly root: Root;
  readonly log: LogTag | null;
  readonly site: string; // the hub's token for this site, or ""
  readonly host: HTMLElement;
}

const env: Environment = {
  connect: (url, protocol) => {
    const ws = new WebSocket(url, protocol);
    const socket: Socket = {
      onmessage: null,
      onclose: null,
      send: (text) => ws.send(text),
      close: (code, reason) => ws.close(code, reason),
    };
    ws.onmessage = (e) => socket.onmessage?.(e.data);
    ws.onclose = () => socket.onclose?.();
    return socket;
  },
  now: () => performance.now(),
  random: () => Math.random(),
  after: (millis, f) => {
    const timer = setTimeout(f, millis);
    return () => clearTimeout(timer);
  },
};

function main(script: HTMLScriptElement): void {
  const { hub, root, log, site, host } = readTag(script);
  const volunteer = new Volunteer({
    hub,
    root,
    log,
    site,
    env,
    fetch: (url, init) => fetch(url, init),
    mount: () => panel.mount,
    changed: (view) => show(view),
  });
  const lifecycle = new Lifecycle((reason) => volunteer.pause(reason), () => void volunteer.stop());
  const panel = new Panel(host, hub, root, {
    start: () => void volunteer.start(),
    stop: () => void volunteer.stop(),
    configure: (settings) => volunteer.configure(settings),
    pauseHidden: (on) => {
      lifecycle.pauseHidden = on;
      lifecycle.look();
    },
  });
  const show = coalesce((view: View) => panel.show(view));
  volunteer.refresh();
  lifecycle.look();
}

/** Shows the latest of what comes within one frame; at once where no frames are drawn. */
function coalesce(show: (view: View) => void): (view: View) => void {
  let latest: View | null = null;
  return (view) => {
    const waiting = latest !== null;
    latest = view;
    if (waiting) return;
    setTimeout(() => {
      if (latest !== null) show(latest);
      latest = null;
    }, 16);
  };
}

function readTag(script: HTMLScriptElement): Tag {
  const { hub, target, site } = script.dataset;
  const url = new URL(hub ?? script.src, document.baseURI);
  if (url.protocol !== "https:" && url.protocol !== "http:") throw new Error(`countersign: data-hub "${hub}" is no web address`);
  const root = readRoot(script.dataset);
  const host = target === undefined ? document.createElement("div") : document.querySelector(target);
  if (!(host instanceof HTMLElement)) throw new Error(`countersign: data-target "${target}" is not on this page`);
  if (target === undefined) script.after(host);
  return { hub: url.origin, root, log: readLog(script.dataset), site: site ?? "", host };
}

/** Root keys with white space between, how many of them must have signed a policy, and the lowest version to take. */
function readRoot(data: DOMStringMap): Root {
  const keys = parseKeys(data["root"] ?? "");
  const [threshold, floor] = [Number(data["threshold"] ?? 1), Number(data["floor"] ?? 1)];
  if (keys.length === 0) throw new Error("countersign: data-root names no keys, so nothing could ever run");
  if (!(Number.isInteger(threshold) && threshold >= 1 && threshold <= keys.length)) throw new Error(`countersign: data-threshold is not a number from 1 to ${keys.length}`);
  if (!(Number.isSafeInteger(floor) && floor >= 0)) throw new Error("countersign: data-floor is no policy version");
  return { keys, threshold, floor };
}

/** The log's key, its witnesses' with white space between, and how many must have cosigned: all if it does not say. */
function readLog(data: DOMStringMap): LogTag | null {
  const log = data["log"];
  if (log === undefined) return null;
  const witnesses = (data["witnesses"] ?? "").split(/\s+/).filter((w) => w !== "");
  return { log, witnesses, quorum: Number(data["witnessQuorum"] ?? witnesses.length) };
}

const script = document.currentScript ?? document.querySelector("script[data-countersign]");
if (script instanceof HTMLScriptElement) {
  if (document.readyState === "loading" && script.dataset["target"] !== undefined) {
    addEventListener("DOMContentLoaded", () => main(script));
  } else main(script);
}
