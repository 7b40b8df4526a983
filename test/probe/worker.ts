// What somebody could try who broke out of WebAssembly: JavaScript in the place
// of the runner, in the real frame. Every way is tried, and what came of it is
// told to the page over the only port that there is.
//
// The same file runs in an ordinary worker of the page, too: there the ways must
// lead somewhere, or this would show nothing.

import { harmless, type Told, type Ways, within } from "./ways.ts";

/** A property that may not be there, of the global or of something else. */
function have<T>(name: string, of: unknown = globalThis): T {
  const value = (of as Record<string, T | undefined>)[name];
  if (value === undefined || value === null) throw new Error(`there is no ${name}`);
  return value;
}

const make = <T>(name: string, ...args: unknown[]): T => new (have<new (...a: unknown[]) => T>(name))(...args);

/** Fulfilled by one of the events, rejected by the others. */
function event(target: EventTarget, good: string[], bad: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    for (const type of good) target.addEventListener(type, () => resolve(type));
    for (const type of bad) target.addEventListener(type, () => reject(new Error(type)));
  });
}

const script = (source: string): string => URL.createObjectURL(new Blob([source], { type: "text/javascript" }));

/** The request of an IndexedDB or similar. */
function request(r: EventTarget): Promise<string> {
  return event(r, ["success"], ["error", "blocked"]);
}

/** Does something in a worker inside of this worker, which may have more rights. */
async function nested(url: string, source: string): Promise<string> {
  const worker = make<Worker>("Worker", url === "" ? script(source) : url);
  try {
    return await within(3000, new Promise<string>((resolve, reject) => {
      worker.onmessage = ({ data }: MessageEvent<{ ok?: string; bad?: string }>) => (data.ok === undefined ? reject(new Error(data.bad ?? "?")) : resolve(data.ok));
      worker.onerror = (e) => {
        e.preventDefault();
        reject(new Error(e.message || "it was not started"));
      };
    }));
  } finally {
    worker.terminate();
  }
}

const inNested = (expression: string): string =>
  `(async () => { try { postMessage({ ok: String(await (${expression})) }) } catch (e) { postMessage({ bad: String(e) }) } })()`;

/** Every way, by what it reaches for. Each returns when it got there, and throws when not. */
function waysOf(known: Ways): Record<string, Record<string, () => unknown>> {
  const { page, stranger, socket, pageBlob, otherBlob, channel } = known;
  const fetched = async (url: string, init?: RequestInit): Promise<string> => `status ${(await fetch(url, init)).status}`;
  return {
    network: {
      "fetch of the page's server": () => fetched(`${page}/canary/fetch`),
      "fetch of another server": () => fetched(`${stranger}/canary/fetch`, { mode: "no-cors" }),
      "fetch with keepalive": () => fetched(`${stranger}/canary/keepalive`, { mode: "no-cors", keepalive: true, method: "POST", body: "x" }),
      "fetch of a name, for the look-up": () => fetched(`http://probe-${Date.now()}.localhost:1/`, { mode: "no-cors" }),
      "fetch of data:": () => fetched("data:text/plain,x"),
      "fetch of file:": () => fetched("file:///etc/hostname"),
      "fetch through a Request and a redirect": () => fetch(new Request(`${page}/redirect`, { redirect: "follow" })),
      "XMLHttpRequest": async () => {
        const x = make<XMLHttpRequest>("XMLHttpRequest");
        x.open("GET", `${page}/canary/xhr`);
        x.send();
        return event(x, ["load"], ["error", "abort", "timeout"]);
      },
      "XMLHttpRequest, synchronous": () => {
        const x = make<XMLHttpRequest>("XMLHttpRequest");
        x.open("GET", `${page}/canary/xhr-sync`, false);
        x.send();
        return x.status;
      },
      "WebSocket": () => event(make<WebSocket>("WebSocket", socket), ["open"], ["error", "close"]),
      "WebSocketStream": () => have<Promise<unknown>>("opened", make("WebSocketStream", socket)),
      "EventSource": () => {
        const s = make<EventSource>("EventSource", `${page}/canary/events`);
        return event(s, ["open"], ["error"]).finally(() => s.close()); // it would try again for ever
      },
      "WebTransport": () => have<Promise<unknown>>("ready", make("WebTransport", page.replace("http:", "https:"))),
      "RTCPeerConnection": () => make<RTCPeerConnection>("RTCPeerConnection", { iceServers: [{ urls: `stun:${stranger.slice(7)}` }] }).createDataChannel("x"),
      "sendBeacon": () => {
        const sent = have<(url: string) => boolean>("sendBeacon", navigator).call(navigator, `${page}/canary/beacon`);
        if (!sent) throw new Error("not sent");
      },
      "importScripts of the page's server": () => have<(url: string) => void>("importScripts")(`${page}/canary/import.js`),
      "importScripts of data:": () => have<(url: string) => void>("importScripts")("data:text/javascript,0"),
      "import() of the page's server": () => import(`${page}/canary/module.js`).then(() => "imported"),
      "FontFace": () => make<FontFace>("FontFace", "probe", `url(${page}/canary/font)`).load(),
      "a stylesheet or image": () => have<Document>("document").createElement("img"),
      "a Worker from the page's server": () => nested(`${page}/canary/worker.js`, ""),
      "a Worker from data:": () => nested(`data:text/javascript,${encodeURIComponent(inNested("1"))}`, ""),
      "fetch in a Worker inside": () => nested("", inNested(`fetch(${JSON.stringify(`${page}/canary/nested`)}).then((r) => r.status)`)),
      "WebSocket in a Worker inside": () =>
        nested("", inNested(`new Promise((f, r) => { const w = new WebSocket(${JSON.stringify(socket)}); w.onopen = () => f("open"); w.onerror = () => r("error") })`)),
      "importScripts in a Worker inside": () => nested("", inNested(`importScripts(${JSON.stringify(`${page}/canary/nested-import.js`)})`)),
      "a SharedWorker": () => event(make<EventTarget>("SharedWorker", script("onconnect = (e) => e.ports[0].postMessage(1)")), [], ["error"]),
      "a service worker": () => have<ServiceWorkerContainer>("serviceWorker", navigator).register(`${page}/canary/service.js`),
      "background fetch": () => have("backgroundFetch", have("registration")),
    },
    page: {
      "document": () => have("document"),
      "window, parent, top, opener": () => ["window", "parent", "top", "opener"].map((name) => have(name)),
      "a blob of the page": () => fetched(pageBlob),
      "a BroadcastChannel that the page listens to": async () => {
        const c = make<BroadcastChannel>("BroadcastChannel", channel);
        c.postMessage("probe");
        return within(1500, new Promise((resolve) => (c.onmessage = resolve)));
      },
      "a lock that the page holds": async () => {
        const { held } = await have<LockManager>("locks", navigator).query();
        if (!held?.some((l) => l.name === channel)) throw new Error("not seen");
      },
      "a client list": async () => have("clients"),
      "navigation": () => {
        location.href = `${page}/canary/navigation`;
        throw new Error("nothing happened");
      },
    },
    // Code that it brought along, in the place that it has: this alone gives it nothing.
    [harmless]: {
      "import() of data:": () => import("data:text/javascript,export default 1" as string).then(() => "imported"),
      "eval": () => (0, eval)("1"),
      "new Function": () => new Function("return 1")(),
      "a timer with text": () => new Promise((resolve) => {
        Object.assign(globalThis, { reached: resolve });
        setTimeout("reached('text ran')" as unknown as () => void, 0);
        setTimeout(() => resolve(Promise.reject(new Error("the text did not run"))), 300);
      }),
    },
    storage: {
      "indexedDB.open": () => request(have<IDBFactory>("indexedDB").open("probe")),
      "indexedDB.databases": () => have<IDBFactory>("indexedDB").databases(),
      // WebKit gives opaque origins a cache, each its own.
      "a cache that another worker filled": async () => {
        if ((await have<CacheStorage>("caches").match(cached)) === undefined) throw new Error("it is not there");
      },
      "localStorage": () => have<Storage>("localStorage").setItem("probe", "1"),
      "sessionStorage": () => have<Storage>("sessionStorage").setItem("probe", "1"),
      "cookieStore": () => have<{ set(a: string, b: string): Promise<void> }>("cookieStore").set("probe", "1"),
      "the origin's private file system": () => have<StorageManager>("storage", navigator).getDirectory(),
      "storage.persist": () => have<StorageManager>("storage", navigator).estimate(),
      "FileReaderSync of a file": () => have<(type: number, size: number) => unknown>("webkitRequestFileSystemSync")(0, 1),
    },
    "other workers": {
      "a blob of another sandbox": () => fetched(otherBlob),
      "a Worker from another sandbox's blob": () => nested(otherBlob, ""),
      "a BroadcastChannel that another sandbox listens to": async () => {
        const c = make<BroadcastChannel>("BroadcastChannel", `${channel}-sandbox`);
        c.postMessage("probe");
        return within(1500, new Promise((resolve) => (c.onmessage = resolve)));
      },
      "SharedArrayBuffer": () => make<SharedArrayBuffer>("SharedArrayBuffer", 8).byteLength,
    },
    "the visitor's things": {
      "camera and microphone": () => have<MediaDevices>("mediaDevices", navigator).getUserMedia({ video: true }),
      "geolocation": () => have("geolocation", navigator),
      "notifications": () => {
        const { permission } = have<typeof Notification>("Notification");
        if (permission !== "granted") throw new Error(`permission ${permission}`);
      },
      "clipboard": () => have<Clipboard>("clipboard", navigator).readText(),
      "USB": () => have<{ requestDevice(o: unknown): unknown }>("usb", navigator).requestDevice({ filters: [] }),
      "HID": () => have<{ requestDevice(o: unknown): unknown }>("hid", navigator).requestDevice({ filters: [] }),
      "serial": () => have<{ requestPort(): unknown }>("serial", navigator).requestPort(),
      "Bluetooth": () => have<{ requestDevice(o: unknown): unknown }>("bluetooth", navigator).requestDevice({ acceptAllDevices: true }),
      "fonts of this machine": () => have<() => unknown>("queryLocalFonts")(),
      "credentials": () => have<CredentialsContainer>("credentials", navigator).get(),
      "a push subscription": () => have("pushManager", have("registration")),
    },
  };
}

const cached = "http://probe.invalid/cached";

async function tryAll(known: Ways, port: MessagePort): Promise<void> {
  for (const [what, ways] of Object.entries(waysOf(known))) {
    for (const [way, go] of Object.entries(ways)) {
      let told: Told;
      try {
        const got = await within(4000, Promise.resolve().then(go));
        told = { what, way, reached: true, how: String(got).slice(0, 80) };
      } catch (e) {
        told = { what, way, reached: false, how: (e instanceof Error ? `${e.name}: ${e.message}` : String(e)).slice(0, 120) };
      }
      port.postMessage(told);
    }
  }
  port.postMessage("done");
}

// The first message is the frame's, with the port to the page, as a runner gets
// it; in the ordinary worker the page sends the same.
self.onmessage = ({ data, ports }: MessageEvent<string>) => {
  self.onmessage = null;
  const port = ports[0]!;
  // Somebody to be reached by another sandbox.
  port.onmessage = ({ data: known }: MessageEvent<Ways | "listen">) => {
    if (known === "listen") {
      const c = new BroadcastChannel("probe-channel-sandbox");
      c.onmessage = () => c.postMessage("here");
      // Where there is no cache, there is nothing to see.
      const filled = Promise.resolve().then(() => have<CacheStorage>("caches").open("probe")).then((k) => k.put(cached, new Response("x"))).catch(() => {});
      void filled.then(() => port.postMessage({ blob: script("postMessage({ ok: 'another sandbox' })"), leash: data }));
    } else void tryAll(known, port);
  };
  port.postMessage({ type: "ready", yields: false });
};
