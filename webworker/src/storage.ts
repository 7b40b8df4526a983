// What the browser keeps for a site, in IndexedDB: the worker's key, where
// unfinished tasks stand, and which policy and index were seen. Where storage is missing or refused, nothing is kept.

const database = "countersign";

const stores = ["keys", "checkpoints", "seen"] as const;
export type StoreName = (typeof stores)[number];

/** Runs f on a store, and closes the database. */
export async function withStore<T>(name: StoreName, mode: IDBTransactionMode, f: (store: IDBObjectStore) => Promise<T>): Promise<T> {
  const db = await open();
  try {
    return await f(db.transaction(name, mode).objectStore(name));
  } finally {
    db.close();
  }
}

function open(): Promise<IDBDatabase> {
  const request = indexedDB.open(database, 3);
  request.onupgradeneeded = () => {
    for (const name of stores) {
      if (!request.result.objectStoreNames.contains(name)) request.result.createObjectStore(name);
    }
  };
  return settled(request);
}

export function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("storage failed"));
    if (request instanceof IDBOpenDBRequest) request.onblocked = () => reject(new Error("storage is blocked by another page"));
  });
}
