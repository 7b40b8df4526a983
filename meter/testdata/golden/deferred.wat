;; Counted loops that store floats: made canonical behind the first two, not the last.
(module
  (memory (export "memory") 1)
  (func (export "_start") (local $i i32) (local $a i32) (local $x f64)
    (loop
      (f64.store offset=8 (local.get $i) (f64.add (f64.mul (f64.load (local.get $i)) (local.get $x)) (f64.load offset=16 (local.get $i))))
      (f64.store offset=24 (local.get $i) (f64.sqrt (local.tee $x (f64.load offset=32 (local.get $i)))))
      (br_if 0 (i32.ne (local.tee $i (i32.add (local.get $i) (i32.const 8))) (i32.const 800))))
    (loop
      (f32.store (i32.add (local.get $a) (local.get $i))
        (f32.div (f32.sub (f32.load (local.get $i)) (f32.load offset=4 (local.get $i))) (f32.add (f32.load offset=8 (local.get $i)) (f32.mul (f32.load (local.get $i)) (f32.const 2)))))
      (br_if 0 (local.tee $i (i32.sub (local.get $i) (i32.const 4)))))
    (loop
      (f64.store (i32.add (local.get $a) (local.get $i)) (f64.load (local.get $i)))
      (f64.store (local.get $i) (f64.sqrt (f64.mul (f64.load (local.get $i)) (f64.load offset=8 (local.get $i)))))
      (br_if 0 (i32.ne (local.tee $i (i32.add (local.get $i) (i32.const 8))) (i32.const 800))))))
