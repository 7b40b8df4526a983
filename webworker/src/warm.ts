// Warming up. V8 compiles functions again while they run, but goes on with the
// slow code in those that are running: one long call never gets the fast code.
// So a module's first task is begun once for nothing, and what comes of it is
// thrown away; instances of one module share their code.

import type { Job } from "./channel.ts";
import { execute, type Go, type Pace } from "./execute.ts";

/** Long enough for the second compiler to be done with what is hot. */
const warmMillis = 60;
/** Short tasks are repeated, but not for ever: each has an instance of its own. */
const most = 32;

/** Runs the beginning of a task, again and again if it is short. Nothing of it is seen outside. */
export async function warmUp(module: WebAssembly.Module, job: Job, pace: Pace, now: () => number): Promise<void> {
  const until = now() + warmMillis;
  let over = false;
  const enough = (go: Go): Go => {
    over ||= go !== "go" || now() >= until;
    return over ? "cancelled" : "go";
  };
  const short: Pace = {
    yields: pace.yields,
    slice: (millis, fuel) => {
      const go = pace.slice(millis, fuel);
      return go instanceof Promise ? go.then(enough) : enough(go);
    },
  };
  for (let i = 0; i < most && !over && now() < until; i++) {
    const { end } = await execute(module, job, short, now, { progress: () => {}, checkpoint: () => {} });
    if (end === "fault") return; // the task itself will tell
  }
}
