;; Loops whose turns can be counted ahead: there twice. The last two cannot.
(module
  (memory (export "memory") 1)
  (func (export "_start") (local i32 i32 i64 f64)
    (loop
      (f64.store (local.get 0) (f64.add (f64.load (local.get 0)) (local.get 3)))
      (br_if 0 (i32.ne (local.tee 0 (i32.add (local.get 0) (i32.const 8))) (i32.const 800))))
    (local.set 1 (i32.const 100))
    (loop (br_if 0 (local.tee 1 (i32.sub (local.get 1) (i32.const 1)))))
    (loop (br_if 0 (i64.ne (local.tee 2 (i64.add (local.get 2) (i64.const 4))) (i64.const 400))))
    (loop ;; leaves with a branch of its own
      (br_if 1 (i32.eq (local.get 1) (i32.const 7)))
      (br_if 0 (i32.ne (local.tee 1 (i32.add (local.get 1) (i32.const 1))) (i32.const 100))))
    (loop (br_if 0 (i32.lt_u (local.tee 1 (i32.add (local.get 1) (i32.const 3))) (i32.const 100))))))
