// Bytes and their spellings: hex, base64 and ASCII, each with one spelling
// only (docs/spec/statement.md, section "Encoding"; docs/spec/wire.md).

/** Bytes that are not shared with another thread, so that nobody can change them while they are hashed. */
export type Bytes = Uint8Array<ArrayBuffer>;

export function hex(bytes: Uint8Array): string {
  let s = "";
  for (const b of bytes) s += (b < 16 ? "0" : "") + b.toString(16);
  return s;
}

/** Reads lower-case hex of exactly n bytes; null when it is anything else. */
export function fromHex(s: string, n: number): Bytes | null {
  if (s.length !== 2 * n || !/^[0-9a-f]*$/.test(s)) return null;
  const bytes = new Uint8Array(n);
  for (let i = 0; i < n; i++) bytes[i] = parseInt(s.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

export function base64(bytes: Uint8Array): string {
  const parts: string[] = [];
  for (let i = 0; i < bytes.length; i += 0x6000) {
    parts.push(String.fromCharCode(...bytes.subarray(i, i + 0x6000)));
  }
  return btoa(parts.join(""));
}

/** Reads padded, canonical base64; null when it is anything else. */
export function fromBase64(s: string): Bytes | null {
  if (s.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(s)) return null;
  const text = atob(s);
  // Bits left over in the last character have many spellings; encoding again
  // finds the ones that are not the usual one.
  if (btoa(text) !== s) return null;
  return fromLatin1(text);
}

/** One byte for each character: the characters are U+0000 to U+00FF. */
export function fromLatin1(text: string): Bytes {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** One character for each byte, whatever the bytes are. */
export function toLatin1(bytes: Uint8Array): string {
  const parts: string[] = [];
  for (let i = 0; i < bytes.length; i += 0x6000) {
    parts.push(String.fromCharCode(...bytes.subarray(i, i + 0x6000)));
  }
  return parts.join("");
}

export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((v, i) => v === b[i]);
}

export function concat(...parts: Uint8Array[]): Bytes {
  const all = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    all.set(p, at);
    at += p.length;
  }
  return all;
}

/** What text becomes when people may see it: printable ASCII, at most max characters. */
export function printable(text: string, max: number): string {
  return text.slice(0, max).replace(/[^\x20-\x7e]/g, "?");
}

export async function sha256(bytes: Bytes): Promise<string> {
  return hex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
}
