;; A loop is checked at its head; br_if begins a new block behind it.
(module
  (memory (export "memory") 1)
  (func (export "_start") (local i32)
    (loop
      (local.set 0 (i32.add (local.get 0) (i32.const 1)))
      (br_if 0 (i32.lt_u (local.get 0) (i32.const 10)))
      (i32.store (i32.const 0) (local.get 0)))
    (loop)))
