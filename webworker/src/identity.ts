// The worker's key in IndexedDB: one for each site, so that a volunteer who
// comes back is the same worker. Where storage is missing or refused, the key
// lives as long as the page.

import { generateKey, type Identity, identityOf } from "./vote.ts";

const database = "countersign";
const store = "keys";
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
  const db = await open();
  try {
    const kept = await settled(db.transaction(store).objectStore(store).get(slot));
    if (isKeyPair(kept)) return kept;
    const fresh = await generateKey();
    // add, not put: of two pages that start at once, the second takes the first's key.
    const tx = db.transaction(store, "readwrite").objectStore(store);
    try {
      await settled(tx.add(fresh, slot));
      return fresh;
    } catch {
      const other = await settled(db.transaction(store).objectStore(store).get(slot));
      return isKeyPair(other) ? other : fresh;
    }
  } finally {
    db.close();
  }
}

function open(): Promise<IDBDatabase> {
  const request = indexedDB.open(database, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(store);
  return settled(request);
}

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("storage failed"));
  });
}

function isKeyPair(v: unknown): v is CryptoKeyPair {
  if (typeof v !== "object" || v === null || !("privateKey" in v) || !("publicKey" in v)) return false;
  return [v.privateKey, v.publicKey].every((k) => k instanceof CryptoKey && k.algorithm.name === "Ed25519");
}
