// Carries out plans (see step in plan_test.go) on V8: node v8.mjs JOB RESULT.
// Values cross as bits in a memory, not as JavaScript's numbers, which have
// neither vectors nor all NaNs: a small module made here per type loads the
// arguments, calls, and stores the results.
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';

const kinds = { i32: [0x7f, 0x28, 0x36], i64: [0x7e, 0x29, 0x37], f32: [0x7d, 0x2a, 0x38], f64: [0x7c, 0x2b, 0x39], v128: [0x7b, 0, 11], funcref: [0x70], externref: [0x6f] };
const isRef = (type) => type === 'funcref' || type === 'externref';

const unsigned = (n) => {
  const bytes = [];
  do {
    bytes.push((n & 0x7f) | (n > 0x7f ? 0x80 : 0));
    n >>>= 7;
  } while (n > 0);
  return bytes;
};
const signed = (n) => {
  const bytes = [];
  for (;;) {
    const byte = n & 0x7f;
    n >>= 7;
    if (n === (byte & 0x40 ? -1 : 0)) return [...bytes, byte];
    bytes.push(byte | 0x80);
  }
};
const vector = (items) => [...unsigned(items.length), ...items.flat()];
const section = (id, items) => {
  const body = vector(items);
  return [id, ...unsigned(body.length), ...body];
};
const text = (s) => vector([...new TextEncoder().encode(s)]);
const access = (type, which) => (type === 'v128' ? [0xfd, kinds.v128[which]] : [kinds[type][which]]);
const align = [0x00, 0x00]; // unaligned, offset 0
const at = (slot) => [0x41, ...signed(slot * 16)];

// bridge has the bytes of the module that calls a function of this type.
// References are parameters and results of the bridge; all else is in memory.
function bridge(params, results) {
  const refs = params.filter(isRef);
  const back = results.filter(isRef);
  const type = (p, r) => [0x60, ...vector(p.map((t) => [kinds[t][0]])), ...vector(r.map((t) => [kinds[t][0]]))];
  let ref = 0;
  const load = params.flatMap((t, i) => (isRef(t) ? [0x20, ...unsigned(ref++)] : [...at(i), ...access(t, 1), ...align]));
  const local = (i) => unsigned(refs.length + i);
  const keep = results.map((_, i) => [0x21, ...local(i)]).reverse().flat();
  const store = results.flatMap((t, i) => (isRef(t) ? [] : [...at(i), 0x20, ...local(i), ...access(t, 2), ...align]));
  const give = results.flatMap((t, i) => (isRef(t) ? [0x20, ...local(i)] : []));
  const locals = vector(results.map((t) => [1, kinds[t][0]]));
  const body = [...locals, ...load, 0x10, 0, ...keep, ...store, ...give, 0x0b];
  return new Uint8Array([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, [type(params, results), type(refs, back)]),
    ...section(2, [[...text('e'), ...text('f'), 0, 0], [...text('e'), ...text('m'), 2, 0, 1]]),
    ...section(3, [[1]]),
    ...section(7, [[...text('call'), 0, 1]]),
    ...section(10, [[...unsigned(body.length), ...body]]),
  ]);
}

const bridges = new Map();
const memory = new WebAssembly.Memory({ initial: 1 });
const view = new DataView(memory.buffer);

function call(f, args, types) {
  const params = args.map((a) => a.Type);
  const key = `${params}>${types}`;
  if (!bridges.has(key)) bridges.set(key, new WebAssembly.Module(bridge(params, types)));
  const { exports } = new WebAssembly.Instance(bridges.get(key), { e: { f, m: memory } });
  args.forEach((a, i) => {
    if (isRef(a.Type)) return;
    view.setBigUint64(i * 16, BigInt(a.Lo), true);
    view.setBigUint64(i * 16 + 8, BigInt(a.Hi), true);
  });
  let refs = exports.call(...args.filter((a) => isRef(a.Type)).map((a) => (a.Lo === 'null' ? null : Number(a.Lo))));
  refs = types.filter(isRef).length === 1 ? [refs] : [...(refs ?? [])];
  return types.map((t, i) => (isRef(t) ? reference(t, refs.shift()) : { Type: t, Lo: bits(t, i * 16), Hi: t === 'v128' ? bits('i64', i * 16 + 8) : '0x0' }));
}

const bits = (type, place) => `0x${(type === 'i32' || type === 'f32' ? view.getUint32(place, true) : view.getBigUint64(place, true)).toString(16)}`;
const reference = (type, v) => ({ Type: type, Lo: v === null ? 'null' : type === 'funcref' ? 'func' : String(v), Hi: '' });

function global(g, type) {
  const v = g.value;
  if (isRef(type)) return reference(type, v);
  if (type === 'i32') view.setInt32(0, v, true);
  if (type === 'i64') view.setBigInt64(0, v, true);
  if (type === 'f32') view.setFloat32(0, v, true);
  if (type === 'f64') view.setFloat64(0, v, true);
  return { Type: type, Lo: bits(type, 0), Hi: '0x0' };
}

// The kinds of traps that all engines tell apart, by V8's words.
const traps = [
  [/unreachable/, 'unreachable'],
  [/memory access out of bounds|data segment|segment \d+ is out of bounds/, 'out of bounds memory access'],
  [/divide by zero|remainder by zero/, 'integer divide by zero'],
  [/divide result unrepresentable/, 'integer overflow'],
  [/float unrepresentable/, 'float'],
  [/call stack/, 'stack overflow'],
  [/table|element segment|null function|function signature/, 'table'],
];
const kind = (error) => (error instanceof WebAssembly.RuntimeError || error instanceof RangeError ? (traps.find(([re]) => re.test(error.message)) ?? [0, 'other'])[1] : 'link');

class Run {
  constructor(spectest) {
    this.instances = new Map();
    const log = (kind, n) => this.log.push(`${kind} 0x${n.toString(16)}`);
    this.registered = { 'fuzzing-support': { 'log-i32': (n) => log('i32', n >>> 0), 'log-i64': (n) => log('i64', BigInt.asUintN(64, n)) } };
    if (spectest) this.registered.spectest = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(spectest))).exports;
  }

  step(s) {
    this.refuel = BigInt(s.Refuel);
    this.log = [];
    const o = { Values: null, Trap: '', Detail: '', Fuel: 0, Hash: '', Spent: false, Log: this.log };
    try {
      if (s.Op === 'module') this.instantiate(s);
      if (s.Op === 'call') o.Values = call(this.instances.get(s.ID).exports[s.Field], s.Args ?? [], s.Types ?? []);
      if (s.Op === 'get') o.Values = [global(this.instances.get(s.ID).exports[s.Field], s.Types[0])];
      if (s.Op === 'memory') o.Hash = this.hash(s.ID);
    } catch (error) {
      o.Trap = kind(error);
      o.Detail = String(error);
      for (const i of this.instances.values()) {
        if (i.stack === undefined) continue;
        o.Spent ||= i.exports.countersign_stack.value < 0;
        i.exports.countersign_stack.value = i.stack;
      }
    }
    const i = this.instances.get(s.ID);
    if (i?.exports.countersign_fuel) o.Fuel = Number(i.granted - i.exports.countersign_fuel.value);
    return o;
  }

  instantiate(s) {
    const i = { granted: 0n };
    const refill = (balance) => {
      const grant = this.refuel - balance;
      i.granted += grant;
      return grant;
    };
    i.exports = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(s.File)), { ...this.registered, countersign: { refill } }).exports;
    i.stack = i.exports.countersign_stack?.value;
    this.instances.set(s.ID, i);
    if (s.As) this.registered[s.As] = i.exports;
  }

  hash(id) {
    const m = Object.values(this.instances.get(id).exports).find((x) => x instanceof WebAssembly.Memory);
    if (!m) return 'none';
    return `${m.buffer.byteLength}:${createHash('sha256').update(new Uint8Array(m.buffer)).digest('hex')}`;
  }
}

const { Spectest, Plans } = JSON.parse(readFileSync(process.argv[2], 'utf8'));
writeFileSync(process.argv[3], JSON.stringify(Plans.map((steps) => {
  const run = new Run(Spectest);
  return (steps ?? []).map((s) => run.step(s));
})));
