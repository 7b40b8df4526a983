// Orders, as a worker opens them: docs/spec/statement.md, section "order/v1".

import type { Bytes } from "./bytes.ts";
import { decode, digest, integer, list, members, millis, text, time } from "./canon.ts";
import { Failure } from "./failure.ts";
import { type ChunksRule, type InputRule, type LinesRule, type OutputsRule, type RangeRule, tasksOf } from "./merkle.ts";
import { type PublicKey, verify } from "./minisign.ts";
import { checkAge, maxStatement } from "./statement.ts";

const orderType = "countersign.order/v1";

type Redundancy = { readonly vote?: { readonly agree: number; readonly of: number }; readonly first?: Record<string, never>; readonly adaptive?: Adaptive };
type Adaptive = { readonly error_ppb: number; readonly checks_permille: number; readonly faulty_permille: number; readonly lies_permille: number };

export type Order = {
  readonly type: string;
  readonly title: string;
  readonly release_sha256: string;
  readonly after?: { readonly order: string; readonly permille: number };
  readonly input: { readonly list?: readonly string[]; readonly lines?: LinesRule; readonly chunks?: ChunksRule; readonly range?: RangeRule; readonly outputs?: OutputsRule };
  readonly parameters?: readonly string[];
  readonly redundancy: Redundancy;
  readonly audit_permille?: number;
  readonly complete_permille: number;
  readonly priority: number;
  readonly deadline_seconds?: number;
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
  const own = typeof value === "object" && value !== null ? Object.keys(value) : [];
  const optional = ["after", "parameters", "audit_permille", "deadline_seconds"].filter((n) => own.includes(n));
  const m = members(value, ...optional, "type", "title", "release_sha256", "input", "redundancy", "complete_permille", "priority", "not_before", "expires");
  const parameters = m.has("parameters") ? list(m, "parameters", text) : [];
  if (text(m, "type") !== orderType) throw new Failure("encoding", `statement: not of type ${orderType}`);
  return {
    type: orderType,
    title: text(m, "title"),
    release_sha256: digest(m, "release_sha256"),
    ...(m.has("after") && { after: rebuildAfter(m.get("after")) }),
    input: rebuildInput(m.get("input")),
    ...(parameters.length > 0 && { parameters }),
    redundancy: rebuildRedundancy(m.get("redundancy")),
    ...positive(m, "audit_permille"),
    complete_permille: integer(m, "complete_permille"),
    priority: integer(m, "priority"),
    ...positive(m, "deadline_seconds"),
    not_before: time(m, "not_before"),
    expires: time(m, "expires"),
  };
}

/** An integer that is left out where it would be 0. */
function positive<N extends string>(m: Map<string, unknown>, name: N): { [K in N]?: number } {
  return m.has(name) && integer(m, name) > 0 ? ({ [name]: integer(m, name) } as { [K in N]?: number }) : {};
}

/** Some of these members; how many there must be is a bound. */
function some(value: unknown, names: readonly string[]): Map<string, unknown> {
  const own = typeof value === "object" && value !== null ? Object.keys(value) : [];
  return members(value, ...names.filter((n) => own.includes(n)));
}

function rebuildAfter(value: unknown): { order: string; permille: number } {
  const m = members(value, "order", "permille");
  return { order: digest(m, "order"), permille: integer(m, "permille") };
}

function rebuildInput(value: unknown): Order["input"] {
  const m = some(value, ["list", "lines", "chunks", "range", "outputs"]);
  const texts = m.has("list") ? list(m, "list", text) : [];
  return {
    ...(texts.length > 0 && { list: texts }),
    ...(m.has("lines") && { lines: rebuildLines(m.get("lines")) }),
    ...(m.has("chunks") && { chunks: rebuildChunks(m.get("chunks")) }),
    ...(m.has("range") && { range: rebuildRange(m.get("range")) }),
    ...(m.has("outputs") && { outputs: rebuildOutputs(m.get("outputs")) }),
  };
}

function rebuildLines(value: unknown): LinesRule {
  const m = members(value, "tree_root", "length", "lines", "per_task");
  return { tree_root: digest(m, "tree_root"), length: integer(m, "length"), lines: integer(m, "lines"), per_task: integer(m, "per_task") };
}

function rebuildChunks(value: unknown): ChunksRule {
  const m = members(value, "tree_root", "length", "size");
  return { tree_root: digest(m, "tree_root"), length: integer(m, "length"), size: integer(m, "size") };
}

function rebuildRange(value: unknown): RangeRule {
  const m = members(value, "from", "to", "step");
  return { from: integer(m, "from"), to: integer(m, "to"), step: integer(m, "step") };
}

function rebuildOutputs(value: unknown): OutputsRule {
  const m = members(value, "tasks", "per_task");
  return { tasks: integer(m, "tasks"), per_task: integer(m, "per_task") };
}

function rebuildRedundancy(value: unknown): Redundancy {
  const m = some(value, ["vote", "first", "adaptive"]);
  if (m.has("first")) members(m.get("first"));
  return {
    ...(m.has("vote") && { vote: rebuildVote(m.get("vote")) }),
    ...(m.has("first") && { first: {} }),
    ...(m.has("adaptive") && { adaptive: rebuildAdaptive(m.get("adaptive")) }),
  };
}

function rebuildVote(value: unknown): { agree: number; of: number } {
  const v = members(value, "agree", "of");
  return { agree: integer(v, "agree"), of: integer(v, "of") };
}

function rebuildAdaptive(value: unknown): Adaptive {
  const a = members(value, "error_ppb", "checks_permille", "faulty_permille", "lies_permille");
  return { error_ppb: integer(a, "error_ppb"), checks_permille: integer(a, "checks_permille"), faulty_permille: integer(a, "faulty_permille"), lies_permille: integer(a, "lies_permille") };
}

function goodRedundancy({ vote, first, adaptive: a }: Redundancy): boolean {
  if ([vote, first, a].filter((r) => r !== undefined).length !== 1) return false;
  if (a !== undefined) {
    return a.error_ppb >= 1 && a.error_ppb <= 1e6 && a.checks_permille >= 10 && a.checks_permille <= 1000 &&
      a.faulty_permille >= 1 && a.faulty_permille <= 400 && a.lies_permille <= 999;
  }
  return vote === undefined || vote.agree >= 1 && vote.of >= vote.agree && vote.of <= 16 && 2 * vote.agree > vote.of;
}

function checkBounds(o: Order): InputRule {
  const { after, parameters = [], audit_permille: audit = 0, deadline_seconds: deadline = 0 } = o;
  const good =
    o.title.length >= 1 && o.title.length <= 200 &&
    goodRedundancy(o.redundancy) && audit <= 1000 && (audit === 0 || o.redundancy.first === undefined) &&
    parameters.length <= 16 && parameters.join("").length <= 4096 &&
    o.complete_permille >= 1 && o.complete_permille <= 1000 && o.priority <= 9 && deadline <= 86400 && millis(o.not_before) < millis(o.expires);
  const follows = after === undefined ? o.input.outputs === undefined : after.permille >= 1 && after.permille <= 1000;
  const rule = ruleOf(o.input);
  if (!good || !follows || rule === null) throw new Failure("bounds", "order: a value is out of bounds");
  return rule;
}

/** The one rule that there must be, in its bounds. */
function ruleOf({ list: texts, lines, chunks, range, outputs }: Order["input"]): InputRule | null {
  if ([texts, lines, chunks, range, outputs].filter((r) => r !== undefined).length !== 1) return null;
  if (texts !== undefined) return texts.length <= 1000 ? { list: texts } : null;
  if (lines !== undefined) {
    const { length, lines: n, per_task } = lines;
    return length >= 1 && length <= 2 ** 30 && n >= 1 && n <= length && per_task >= 1 && per_task <= 65536 ? { lines } : null;
  }
  if (chunks !== undefined) {
    const { length, size } = chunks;
    return length >= 1 && length <= 2 ** 34 && size >= 1 && size <= 2 ** 24 ? { chunks } : null;
  }
  if (outputs !== undefined) {
    const { tasks, per_task } = outputs;
    return tasks >= 1 && tasks <= 2 ** 24 && per_task >= 1 && per_task <= 2 ** 24 ? { outputs } : null;
  }
  if (range === undefined || range.from >= range.to || range.step < 1) return null;
  return tasksOf({ range }) <= 2 ** 40 ? { range } : null;
}
