;; if, else, blocks with and without branches, br_table, code that never runs.
(module
  (memory (export "memory") 1)
  (func (export "_start") (local i32)
    (if (i32.eqz (local.get 0))
      (then (i32.store (i32.const 0) (i32.const 1)))
      (else (i32.store (i32.const 0) (i32.const 2)) (return)))
    (block (i32.store (i32.const 4) (i32.const 1)))
    (block
      (block
        (block
          (br_table 0 1 2 (local.get 0)))
        (i32.store (i32.const 8) (i32.const 1))
        (br 1)
        (i32.store (i32.const 8) (i32.const 9)))
      (i32.store (i32.const 8) (i32.const 2)))
    (if (local.get 0) (then (br 0)))
    (block (unreachable))
    (i32.store (i32.const 8) (i32.const 9))
    (loop (br 0))))
