// Random mutations of good statements and of their signatures, by a seed.
// Most are signed again after the change, so that more than the signature has
// to refuse them.

import { index, order, policy, release, sha256, Signer } from "../e2e/sign.ts";

export type Vector = Record<string, unknown>;
type Random = (n: number) => number;

/** A generator of numbers below n: xorshift, good enough to be many-sided. */
function random(seed: number): Random {
  let s = seed | 1;
  return (n) => {
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    return (s >>> 0) % n;
  };
}

const values = ["0", "1", "-1", "1.0", "1e3", "01", "9007199254740991", "9007199254740992", "2147483648", "null", "true", "[]", "{}", '""', '"x"', '"\\u0041"', '"\\/"', '"é"',
  '"2026-02-30T00:00:00Z"', '"9999-12-31T23:59:59Z"', '"ada/factor"', `"${"ab".repeat(32)}"`, `"${"AB".repeat(32)}"`];

const edits: ((lines: string[], r: Random) => void)[] = [
  (l, r) => { l[r(l.length)] += " "; },
  (l, r) => { if (l.length > 1) l.splice(r(l.length), 1); },
  (l, r) => { const i = r(l.length); l.splice(i, 0, l[i]!); },
  (l, r) => { const [i, j] = [r(l.length), r(l.length)]; [l[i], l[j]] = [l[j]!, l[i]!]; },
  // another value
  (l, r) => { const i = r(l.length); l[i] = l[i]!.replace(/: .*?(,?)$/, `: ${values[r(values.length)]!}$1`); },
  (l, r) => { const i = r(l.length); l[i] = l[i]!.replace(/: .*?(,?)$/, `: ${values[r(values.length)]!}$1`); },
  (l, r) => { const i = r(l.length); l[i] = l[i]!.replace(/\d/, String(r(10))); },
  // another name
  (l, r) => { const i = r(l.length); l[i] = l[i]!.replace(/"[a-z]/, (m) => m.toUpperCase()); },
  (l, r) => { const i = r(l.length); l[i] = l[i]!.replace('":', 'x":'); },
  (l, r) => { l.splice(1 + r(l.length - 1), 0, '  "more": 1,'); },
  // another byte
  (l, r) => { const i = r(l.length); const at = r(l[i]!.length + 1); l[i] = l[i]!.slice(0, at) + String.fromCharCode(32 + r(95)) + l[i]!.slice(at + r(2)); },
  (l, r) => { const i = r(l.length); l[i] = l[i]!.slice(0, r(l[i]!.length + 1)) + "é\u0410\u0000\r\t"[r(5)]! + l[i]!; },
  (l) => { l[0] = "\ufeff" + l[0]!; },
  (l) => { l.push("x"); },
  (l, r) => { l.length = 1 + r(l.length); },
];

function mutate(statement: Buffer, r: Random): Buffer {
  const lines = statement.toString().split("\n");
  for (let n = r(3); n >= 0; n--) edits[r(edits.length)]!(lines, r);
  return Buffer.from(lines.join("\n"));
}

function spoil(signature: Buffer, r: Random): Buffer {
  const lines = signature.toString().split("\n");
  switch (r(8)) {
    case 0: lines.splice(r(lines.length), 1); break;
    case 1: lines.push(""); break;
    case 2: lines[1] = "RU" + lines[1]!.slice(2); break; // "Ed" in base64, but for its last bits
    case 3: lines[r(2) * 2] += "."; break;
    case 4: lines[1 + 2 * r(2)] += "="; break;
    default: {
      const i = r(4);
      const at = r(lines[i]!.length + 1);
      lines[i] = lines[i]!.slice(0, at) + "AZaz09+/=\r "[r(11)]! + lines[i]!.slice(at + 1);
    }
  }
  return Buffer.from(lines.join("\n"));
}

/** Whether this time, in so many of ten. */
const now = (r: Random, tenths: number): boolean => r(10) < tenths;

/** n cases in the form of the vectors of folder statement, then n in that of trust. */
export function mutants(seed: number, n: number): { statement: Vector[]; trust: Vector[] } {
  const r = random(seed);
  const [root, second, clock, ada] = [new Signer(), new Signer(), new Signer(), new Signer()];
  const at = new Date(Date.now()).toISOString().slice(0, 19) + "Z";
  const b64 = (b: Buffer): string => b.toString("base64");
  const rel = release(Buffer.from("a module"), { name: "test/program" });
  const ord = (of: Buffer): Buffer => order(sha256(of), "An order", "1\n2\n3\n", 1);
  /** Changed before it is signed, or after, or its signature. */
  const signed = (by: Signer, good: Buffer): { statement: string; signature: string } => {
    const statement = now(r, 6) ? mutate(good, r) : good;
    let signature = by.sign(statement);
    if (now(r, 2)) signature = spoil(signature, r);
    return { statement: b64(now(r, 1) ? mutate(statement, r) : statement), signature: b64(signature) };
  };
  const statement = Array.from({ length: n }, (): Vector => {
    const kind = now(r, 5) ? "order" : "release";
    return { kind, now: at, keys: [ada.text], ...signed(now(r, 9) ? ada : root, kind === "order" ? ord(rel) : rel) };
  });
  const trust = Array.from({ length: n }, (): Vector => {
    const base = { clock_key: clock.text, root_keys: [root.text, second.text] };
    const chain = [policy(root, [ada.text], base)];
    if (now(r, 5)) chain.push(policy(now(r, 8) ? root : second, [ada.text], { ...base, version: 2 + r(2) }));
    const i = r(chain.length);
    if (now(r, 6)) {
      const changed = mutate(Buffer.from(chain[i]!.statement, "base64"), r);
      const by = now(r, 9) ? root : second;
      chain[i] = { statement: b64(changed), signatures: b64(Buffer.concat(now(r, 3) ? [by.sign(changed), second.sign(changed)] : [by.sign(changed)])) };
    }
    if (now(r, 1)) chain[i] = { ...chain[i]!, signatures: b64(spoil(Buffer.from(chain[i]!.signatures, "base64"), r)) };
    const x = Buffer.from(index(clock, 5 + r(3), now(r, 2) ? { revoked: [sha256(rel)] } : now(r, 2) ? { floors: [{ name: "test/program", version: 1 + r(2) }] } : {}).statement, "base64");
    const kind = ["release", "order", ""][r(3)]!;
    const named = now(r, 8) ? { statement: b64(rel), signature: b64(ada.sign(rel)) } : signed(ada, rel);
    const target = kind === "order" ? signed(ada, ord(Buffer.from(named.statement, "base64"))) : signed(ada, rel);
    return {
      now: at, roots: [root.text], threshold: 1, floor: r(3), kind, chain, index: now(r, 9) ? (now(r, 5) ? signed(clock, x) : { statement: b64(x), signature: b64(clock.sign(x)) }) : null,
      seen: now(r, 8) ? { policy: 0, policy_sha256: "00".repeat(32), clock_key: "", index: 0 } : { policy: 1, policy_sha256: now(r, 7) ? sha256(Buffer.from(chain[0]!.statement, "base64")) : "00".repeat(32), clock_key: clock.text, index: 6 },
      target, named,
    };
  });
  return { statement, trust };
}

