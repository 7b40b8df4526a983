// What the browser keeps for a site, in IndexedDB: the worker's key, and where
// unfinished tasks stand. Where storage is missing or refused, nothing is kept.

const database = "countersign";

export type StoreName = "keys" | "checkpoints";

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
  const request = indexedDB.open(database, 2);
  request.onupgradeneeded = () => {
    for (const name of ["keys", "checkpoints"] satisfies StoreName[]) {
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
