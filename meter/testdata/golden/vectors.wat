;; SIMD passes; its immediates are read.
(module
  (memory (export "memory") 1)
  (func (export "_start") (local v128)
    (local.set 0 (i8x16.shuffle 0 1 2 3 4 5 6 7 24 25 26 27 28 29 30 31 (v128.load align=8 (i32.const 0)) (v128.const i32x4 1 2 3 4)))
    (v128.store32_lane offset=4 3 (i32.const 16) (i32x4.add (local.get 0) (i32x4.splat (i32.const 7))))
    (i64.store (i32.const 32) (i64x2.extract_lane 1 (local.get 0)))))
