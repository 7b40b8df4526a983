// The worker's key in IndexedDB: one for each site, so that a volunteer who
// comes back is the same worker. Where storage is missing or refused, the key
// lives as long as the page.

import { settled, withStore } from "./storage.ts";
import { generateKey, type Identity, identityOf } from "./vote.ts";

const slot = "worker";

export async function loadIdentity(): Promise<Identity> {
  let pair: CryptoKeyPair;
  try {
    pair = await stored();
  } catch {
    pair = await generateKey();
  }
  return identityOf(pair);
}

async function stored(): Promise<CryptoKeyPair> {
  const read = (): Promise<unknown> => withStore("keys", "readonly", (s) => settled(s.get(slot)));
  const kept = await read();
  if (isKeyPair(kept)) return kept;
  const fresh = await generateKey();
  try {
    // add, not put: of two pages that start at once, the second takes the first's key.
    await withStore("keys", "readwrite", (s) => settled(s.add(fresh, slot)));
    return fresh;
  } catch {
    const other = await read();
    return isKeyPair(other) ? other : fresh;
  }
}

function isKeyPair(v: unknown): v is CryptoKeyPair {
  if (typeof v !== "object" || v === null || !("privateKey" in v) || !("publicKey" in v)) return false;
  return [v.privateKey, v.publicKey].every((k) => k instanceof CryptoKey && k.algorithm.name === "Ed25519");
}
