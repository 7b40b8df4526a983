// What this browser has seen of policies and indexes, for each set of root keys.

import type { Memory } from "./follow.ts";
import { type Root, type Seen } from "./policy.ts";
import { settled, withStore } from "./storage.ts";

/** Keeps what was seen in this browser; where storage is refused, for this page alone. */
export function memoryOf(root: Root): Memory {
  const key = `${root.threshold} of ${root.keys.map((k) => k.text).sort().join(" ")}`;
  let own: Seen | null = null;
  return {
    async recall() {
      try {
        const kept = await withStore("seen", "readonly", (s) => settled<unknown>(s.get(key)));
        own = isSeen(kept) ? kept : own;
      } catch {} // own is what there is
      return own;
    },
    async remember(seen) {
      own = seen;
      try {
        await withStore("seen", "readwrite", async (s) => {
          const kept = await settled<unknown>(s.get(key));
          await settled(s.put(isSeen(kept) ? later(kept, seen) : seen, key));
        });
      } catch {} // own has it
    },
  };
}

/** Of what two pages have seen, the later. */
export function later(a: Seen, b: Seen): Seen {
  const [old, young] = a.policy > b.policy ? [b, a] : [a, b];
  return old.clock_key === young.clock_key && old.index > young.index ? { ...young, index: old.index } : young;
}

function isSeen(v: unknown): v is Seen {
  if (typeof v !== "object" || v === null) return false;
  const { policy, policy_sha256, clock_key, index } = v as Record<string, unknown>;
  return Number.isSafeInteger(policy) && typeof policy_sha256 === "string" && typeof clock_key === "string" && Number.isSafeInteger(index);
}
