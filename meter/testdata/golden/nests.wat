;; Loops in which nothing is called keep the balance in a local, from the outermost
;; on; what leaves them puts it back.
(module
  (memory (export "memory") 1)
  (func $calls (param i32) (result i32) (local.get 0))
  (func $leaves (param $n i32) (result i32) (local $i i32) (local $j i32)
    (block $out
      (loop $rows
        (local.set $j (i32.const 0))
        (br_if $out (i32.gt_u (local.get $i) (local.get $n)))
        (loop $columns
          (br_if $out (i32.load (i32.add (local.get $i) (local.get $j))))
          (br_if $columns (i32.lt_u (local.tee $j (i32.add (local.get $j) (i32.const 3))) (local.get $n))))
        (if (i32.eq (local.get $i) (i32.const 7)) (then (return (i32.const 1))))
        (loop $counted
          (i32.store8 (local.get $j) (local.get $i))
          (br_if $counted (local.tee $j (i32.sub (local.get $j) (i32.const 1)))))
        (drop (br_if $rows (i32.const 5) (local.tee $i (i32.add (local.get $i) (i32.const 1))))))
      (return (call $calls (local.get $i))))
    (i32.const 2))
  (func $values (param $n i32) (result i32)
    (block $away
      (return
        (loop $outer (result i32)
          (loop $inner (result i32)
            (drop (br_if 3 (i32.const 3) (i32.eqz (local.get $n))))
            (local.set $n (i32.sub (local.get $n) (i32.const 1)))
            (block $here (br_table $here $inner $outer $away (local.get $n)))
            (local.get $n)))))
    (i32.const 4))
  (func (export "_start")
    (loop $called
      (loop (br_if 0 (i32.load8_u (i32.const 8))))
      (br_if $called (call $leaves (call $values (i32.const 9)))))))
