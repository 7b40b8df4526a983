;; Straight code: one block, charged and checked at the function's start.
(module
  (memory (export "memory") 1)
  (func (export "_start")
    (i32.store (i32.const 0) (i32.div_u (i32.load (i32.const 4)) (i32.const 3)))))
