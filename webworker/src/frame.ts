// The frame: a sandboxed document of opaque origin between page and runner.
// Its policy allows one script, this one, workers made from blobs, and no
// connection to anywhere but blobs of its own. The runner's source comes inside
// of it as text.
//
// One such blob is the runner's leash. A module that cannot wait keeps its
// worker from hearing anything; but a worker can ask for a blob at any time, and
// this document can take it away.

import source from "embed:runner";
import { trustedPolicy } from "./trusted.ts";

let worker: Worker | null = null;
const leash = URL.createObjectURL(new Blob(["x"]));

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
  control.onmessage = ({ data }) => (data === "let go" ? URL.revokeObjectURL(leash) : worker?.terminate());
  worker.postMessage(leash, [runner]);
});
