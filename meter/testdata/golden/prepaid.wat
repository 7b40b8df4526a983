;; Callers pay for the first block of functions that only calls by name reach, with
;; the call, if that block is cheap and has no such call in it.
(module
  (memory (export "memory") 1)
  (table 1 funcref)
  (elem (i32.const 0) $table)
  (func $leaf (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
  (func $later (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 1))))
    (i32.mul (local.get 0) (call $later (i32.sub (local.get 0) (i32.const 1)))))
  (func $calls (param i32) (result i32) (call $leaf (local.get 0)))
  (func $table (param i32) (result i32) (local.get 0))
  (func $exported (export "exported") (param i32) (result i32) (call $table (local.get 0)))
  (func (export "_start")
    (i32.store (i32.const 0) (call $later (call $leaf (i32.const 7))))
    (drop (call $exported (call $calls (i32.const 8))))))
