;; Block types with parameters and results, values left on the stack across charges.
(module
  (type $two (func (param i32) (result i32 i64)))
  (memory (export "memory") 1)
  (func (export "_start") (local i32)
    (i32.const 5)
    (block (type $two) (br_if 0 (i64.const 1) (local.get 0)))
    i64.store
    i32.const 1
    (if (param i32) (result i32) (local.get 0)
      (then (i32.popcnt))
      (else (i32.clz)))
    (loop (param i32) (result i32) (i32.ctz))
    drop))
