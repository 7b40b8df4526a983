// Orders, as a worker opens them: docs/spec/statement.md, section "order/v1".

import type { Bytes } from "./bytes.ts";
import { decode, digest, integer, members, millis, text, time } from "./canon.ts";
import { Failure } from "./failure.ts";
import { type InputRule, type LinesRule, type RangeRule, tasksOf } from "./merkle.ts";
import { type PublicKey, verify } from "./minisign.ts";
import { checkAge, maxStatement } from "./statement.ts";

const orderType = "countersign.order/v1";

type Redundancy = { readonly vote?: { readonly agree: number; readonly of: number } };

export type Order = {
  readonly type: string;
  readonly title: string;
  readonly release_sha256: string;
  readonly input: { readonly lines?: LinesRule; readonly range?: RangeRule };
  readonly redundancy: Redundancy;
  readonly complete_permille: number;
  readonly priority: number;
  readonly not_before: string;
  readonly expires: string;
};

/** An order whose signature, encoding, bounds and expiry are checked. */
export interface OpenOrder {
  readonly order: Order;
  readonly rule: InputRule;
  readonly signer: PublicKey;
}

/** Opens an order, or throws the Failure of the first check that fails. now is in milliseconds since 1970. */
export async function openOrder(statement: Bytes, signature: Bytes, trusted: readonly PublicKey[], now: number, allowed: (signer: PublicKey) => void = () => {}): Promise<OpenOrder> {
  if (statement.length > maxStatement) throw new Failure("too_large", `order of ${statement.length} bytes`);
  const signer = await verify(trusted, statement, signature);
  allowed(signer);
  const order = decode(statement, maxStatement, rebuild);
  const rule = checkBounds(order);
  checkAge("order", order.expires, now);
  return { order, rule, signer };
}

function rebuild(value: unknown): Order {
  const m = members(value, "type", "title", "release_sha256", "input", "redundancy", "complete_permille", "priority", "not_before", "expires");
  if (text(m, "type") !== orderType) throw new Failure("encoding", `statement: not of type ${orderType}`);
  return {
    type: orderType,
    title: text(m, "title"),
    release_sha256: digest(m, "release_sha256"),
    input: rebuildInput(m.get("input")),
    redundancy: rebuildRedundancy(m.get("redundancy")),
    complete_permille: integer(m, "complete_permille"),
    priority: integer(m, "priority"),
    not_before: time(m, "not_before"),
    expires: time(m, "expires"),
  };
}

/** Some of these members; how many there must be is a bound. */
function some(value: unknown, names: readonly string[]): Map<string, unknown> {
  const own = typeof value === "object" && value !== null ? Object.keys(value) : [];
  return members(value, ...names.filter((n) => own.includes(n)));
}

function rebuildInput(value: unknown): Order["input"] {
  const m = some(value, ["lines", "range"]);
  return {
    ...(m.has("lines") && { lines: rebuildLines(m.get("lines")) }),
    ...(m.has("range") && { range: rebuildRange(m.get("range")) }),
  };
}

function rebuildLines(value: unknown): LinesRule {
  const m = members(value, "tree_root", "length", "lines", "per_task");
  return { tree_root: digest(m, "tree_root"), length: integer(m, "length"), lines: integer(m, "lines"), per_task: integer(m, "per_task") };
}

function rebuildRange(value: unknown): RangeRule {
  const m = members(value, "from", "to", "step");
  return { from: integer(m, "from"), to: integer(m, "to"), step: integer(m, "step") };
}

function rebuildRedundancy(value: unknown): Redundancy {
  const m = some(value, ["vote"]);
  if (!m.has("vote")) return {};
  const v = members(m.get("vote"), "agree", "of");
  return { vote: { agree: integer(v, "agree"), of: integer(v, "of") } };
}

function checkBounds(o: Order): InputRule {
  const { vote } = o.redundancy;
  const good =
    o.title.length >= 1 && o.title.length <= 200 &&
    vote !== undefined && vote.agree >= 1 && vote.of >= vote.agree && vote.of <= 16 && 2 * vote.agree > vote.of &&
    o.complete_permille >= 1 && o.complete_permille <= 1000 && o.priority <= 9 && millis(o.not_before) < millis(o.expires);
  const rule = ruleOf(o.input);
  if (!good || rule === null) throw new Failure("bounds", "order: a value is out of bounds");
  return rule;
}

/** The one rule that there must be, in its bounds. */
function ruleOf({ lines, range }: Order["input"]): InputRule | null {
  if (lines !== undefined && range === undefined) {
    const { length, lines: n, per_task } = lines;
    return length >= 1 && length <= 2 ** 30 && n >= 1 && n <= length && per_task >= 1 && per_task <= 65536 ? { lines } : null;
  }
  if (range === undefined || lines !== undefined || range.from >= range.to || range.step < 1) return null;
  return tasksOf({ range }) <= 2 ** 40 ? { range } : null;
}
