// The frame: a sandboxed document of opaque origin between page and runner.
// Its policy allows one script, this one, workers made from blobs, and no
// connection to anywhere. The runner's source comes inside of it as text.

import source from "embed:runner";
import { trustedPolicy } from "./trusted.ts";

let worker: Worker | null = null;

// The page's first message brings two ports: one to this frame, by which it
// ends the worker, and one that is passed on to the runner.
addEventListener("message", (e) => {
  const [control, runner] = e.ports;
  if (e.source !== parent || worker !== null || control === undefined || runner === undefined) return;
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  worker = new Worker(trustedPolicy().createScriptURL(url));
  worker.onerror = (event) => {
    event.preventDefault();
    control.postMessage("broken");
  };
  control.onmessage = () => worker?.terminate();
  worker.postMessage(null, [runner]);
});
