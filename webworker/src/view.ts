// What the panel shows, and in which words.

import { explain } from "./failure.ts";
import type { Silence } from "./sandbox.ts";
import type { Release } from "./statement.ts";
import type { ReturnReason } from "./wire.ts";

export type State =
  | "off" | "starting" | "connecting" | "waiting" | "verifying" | "running" | "sending"
  | "paused" | "halted" | "refused" | "trouble" | "stopping" | "stopped" | "unsupported";

export interface SlotView {
  readonly permille: number;
  readonly text: string;
  readonly running: boolean;
}

export interface View {
  readonly state: State;
  readonly sentence: string;
  readonly check: string; // the check that failed, or ""
  readonly on: boolean;
  readonly job: { readonly release: Release; readonly signer: string; readonly researcher: string; readonly policy: number } | null;
  readonly slots: readonly SlotView[];
  readonly done: number;
  readonly acknowledged: number;
  readonly fuel: number;
  readonly note: string; // the check's name, or how the last program that was cut short fell silent
}

export interface Settings {
  readonly share: number; // of a core, 0.1 to 1
  readonly slots: number;
}

/** Something that went wrong with a lease. */
export interface Trouble {
  readonly state: "refused" | "trouble";
  readonly check: string;
  readonly sentence: string;
}

export function troubleOf(reason: ReturnReason, check: string, detail: string): Trouble {
  switch (reason) {
    case "refused":
      return { state: "refused", check, sentence: `Refused: ${explain(check)} Nothing of it ran.` };
    case "deadline":
      return { state: "trouble", check, sentence: "A task took longer than its researcher allows, and was ended." };
    default:
      return { state: "trouble", check, sentence: `A task could not be run here: ${detail === "" ? "the browser gave no reason" : detail}.` };
  }
}

/** What the words for a volunteer at work follow from. */
export interface Work {
  readonly trouble: Trouble | null;
  readonly pausedFor: string;
  readonly phases: readonly string[];
  readonly resumed: boolean; // one of them goes on with others' work
  readonly connected: boolean;
  readonly lostFor: string;
  readonly halted: boolean;
  readonly unacknowledged: number;
  readonly notice: string;
}

export function describe(w: Work): [State, string] {
  if (w.trouble !== null) return [w.trouble.state, w.trouble.sentence];
  if (w.pausedFor !== "") return ["paused", w.pausedFor];
  if (w.phases.includes("running")) return ["running", w.resumed ? "Running a verified program, from where another visit ended." : "Running a verified program."];
  if (w.phases.includes("verifying")) return ["verifying", "Checking the program’s signature, length and digest."];
  if (!w.connected) return ["connecting", w.lostFor === "" ? "Connecting to the hub." : `The hub ended the connection: ${w.lostFor}. Trying again.`];
  if (w.halted) return ["halted", "The hub has stopped all work for now."];
  if (w.unacknowledged > 0) return ["sending", "Sending the countersigned result."];
  return ["waiting", `${w.notice} Waiting for work.`.trim()];
}

export function quiet(s: Silence): string {
  if (!s.seen) return "The program did not answer and was cut off. That takes a browser up to two seconds.";
  return `The program fell silent ${Math.ceil(s.millis)} ms after the order to stop.`;
}

