// Modules that call themselves, unmetered, with frames of many shapes. Each exports
// f(n), which nests n calls and returns 0.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const times = (n, f) => Array.from({ length: n }, (_, i) => f(i)).join("\n");
const bytes = { i32: 4, i64: 8, f64: 8, v128: 16 };

/** Locals that are loaded before the call and stored after it, so that all live across it. */
const locals = (type, n, indirect = false) => recursion({
  locals: times(n, (i) => `(local $a${i} ${type})`),
  before: times(n, (i) => `(local.set $a${i} (${type}.load offset=${i * bytes[type]} (i32.const 0)))`),
  after: times(n, (i) => `(${type}.store offset=${i * bytes[type]} (i32.const 0) (local.get $a${i}))`),
  indirect,
});

/** Operands that wait on the stack for the call to return. */
const operands = (type, n) => recursion({
  before: times(n, (i) => `(${type}.load offset=${i * bytes[type]} (i32.const 0))`),
  after: times(n, () => "(drop)").replaceAll("(drop)", `(global.set $g${type})`),
});

const params = (n) => recursion({
  params: times(n, (i) => `(param $p${i} i64)`),
  args: times(n, (i) => `(i64.add (local.get $p${i}) (i64.const ${i}))`),
  entry: times(n, () => "(i64.const 1)"),
  after: times(n, (i) => `(i64.store offset=${i * 8} (i32.const 0) (local.get $p${i}))`),
});

function recursion({ params = "", args = "", entry = "", locals = "", before = "", after = "", indirect = false }) {
  const call = indirect
    ? `(call_indirect (type $f) ${args} (i32.sub (local.get $n) (i32.const 1)) (i32.const 0))`
    : `(call $f ${args} (i32.sub (local.get $n) (i32.const 1)))`;
  return `(module (memory 1) (table 1 funcref) (elem (i32.const 0) $f)
    (global $gi64 (mut i64) (i64.const 0)) (global $gf64 (mut f64) (f64.const 0)) (global $gv128 (mut v128) (v128.const i64x2 0 0))
    (type $f (func ${params.replaceAll(/\$p\d+ /g, "")} (param i32) (result i32)))
    (func $f ${params} (param $n i32) (result i32) ${locals} (local $r i32)
      (if (i32.eqz (local.get $n)) (then (return (i32.const 0))))
      ${before} (local.set $r ${call}) ${after} (local.get $r))
    (func (export "f") (param $n i32) (result i32) (call $f ${entry} (local.get $n))))`;
}

const sources = {
  "no locals": locals("i64", 0),
  "no locals, through a table": locals("i64", 0, true),
  "4 i64": locals("i64", 4), "16 i64": locals("i64", 16), "64 i64": locals("i64", 64), "256 i64": locals("i64", 256), "1000 i64": locals("i64", 1000),
  "16 f64": locals("f64", 16), "256 f64": locals("f64", 256),
  "4 v128": locals("v128", 4), "64 v128": locals("v128", 64), "256 v128": locals("v128", 256),
  "64 i64, through a table": locals("i64", 64, true),
  "10 parameters": params(10), "100 parameters": params(100),
  "100 i64 operands": operands("i64", 100), "400 f64 operands": operands("f64", 400), "100 v128 operands": operands("v128", 100),
};

/** [{ name, weight, module }], the weight as the metering pass has it. */
export function shapes(signer) {
  const dir = mkdtempSync(join(tmpdir(), "stack-"));
  try {
    return Object.entries(sources).map(([name, source]) => {
      const wat = join(dir, "m.wat"), wasm = join(dir, "m.wasm");
      writeFileSync(wat, source);
      execFileSync("wat2wasm", [wat, "-o", wasm]);
      const { functions } = JSON.parse(execFileSync(signer, ["inspect", "--library", "--json", wasm]));
      return { name, weight: functions[0].stack, module: readFileSync(wasm).toString("base64") };
    });
  } finally {
    rmSync(dir, { recursive: true });
  }
}
