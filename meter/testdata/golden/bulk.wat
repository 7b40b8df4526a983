;; Bulk operations and memory.grow are charged for their length before they run.
(module
  (memory (export "memory") 1)
  (data $d "hello")
  (data (i32.const 8) "world")
  (func (export "_start")
    (memory.fill (i32.const 0) (i32.const 1) (i32.const 100))
    (memory.copy (i32.const 0) (i32.const 8) (i32.const 5))
    (memory.init $d (i32.const 0) (i32.const 0) (i32.const 5))
    (data.drop $d)
    (drop (memory.grow (i32.const 1)))
    (drop (memory.size))))
