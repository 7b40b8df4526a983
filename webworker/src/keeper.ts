// Where unfinished tasks stand, kept in this browser until the hub has it: a
// page that was closed offers it when its visitor comes back.

import { settled, withStore } from "./storage.ts";
import type { ToHub } from "./wire.ts";

/** Offers are of no use when their lease's token is over; no token lasts longer. */
const maxAge = 24 * 3600 * 1000;
const maxKept = 8;

export type OfferMessage = Extract<ToHub, { type: "checkpoint" }>;

interface Kept {
  readonly message: OfferMessage;
  readonly at: number;
}

export const keeper = {
  /** Keeps an offer in the place of an earlier one of the same lease. */
  async keep(message: OfferMessage): Promise<void> {
    const kept: Kept = { message, at: Date.now() };
    await quietly(withStore("checkpoints", "readwrite", (s) => settled(s.put(kept, message.checkpoint.lease))));
  },

  async forget(lease: string): Promise<void> {
    await quietly(withStore("checkpoints", "readwrite", (s) => settled(s.delete(lease))));
  },

  /** What earlier visits left; what is too old, too much or not ours goes. */
  async left(): Promise<OfferMessage[]> {
    const all = (await quietly(withStore("checkpoints", "readonly", (s) => settled(s.getAll())))) ?? [];
    const good = all.filter(isKept).sort((a, b) => b.at - a.at).slice(0, maxKept);
    if (good.length < all.length) {
      await quietly(withStore("checkpoints", "readwrite", (s) => settled(s.clear())));
      for (const k of good) await quietly(withStore("checkpoints", "readwrite", (s) => settled(s.put(k, k.message.checkpoint.lease))));
    }
    return good.map((k) => k.message);
  },
};

function isKept(v: unknown): v is Kept {
  if (typeof v !== "object" || v === null || !("message" in v) || !("at" in v)) return false;
  const { message, at } = v;
  return typeof at === "number" && Date.now() - at < maxAge && typeof message === "object" && message !== null && "type" in message && message.type === "checkpoint";
}

async function quietly<T>(p: Promise<T>): Promise<T | undefined> {
  try {
    return await p;
  } catch {
    return undefined; // storage is a help, not a need
  }
}
