#!/usr/bin/env bash
# Builds the kernels: kernels/NAME.c → kernels/NAME.wasm, committed.
set -euo pipefail
cd "$(dirname "$0")/kernels"
lib=/usr/lib/wasm32-wasi
rt=/usr/lib/llvm-16/lib/clang/16/lib/wasi/libclang_rt.builtins-wasm32.a
tmp=$(mktemp -d)
trap 'rm -r "$tmp"' EXIT
for source in *.c; do
  name=${source%.c}
  simd=
  case $name in *-simd) simd=-msimd128 ;; esac
  clang-16 --target=wasm32-wasi -std=c11 -O2 -Wall -Wextra -Werror $simd -c "$source" -o "$tmp/$name.o"
  wasm-ld-16 -L$lib $lib/crt1-command.o "$tmp/$name.o" -lc $rt --strip-debug -o "$name.wasm"
  chmod 644 "$name.wasm"
done
