#!/usr/bin/env bash
# Builds every payload: source → NAME.wasm → NAME.metered.wasm. The result is
# committed; building again changes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

lib=/usr/lib/wasm32-wasi
rt=/usr/lib/llvm-16/lib/clang/16/lib/wasi/libclang_rt.builtins-wasm32.a

# Compiling and linking apart: with binaryen installed, clang's driver would run
# another wasm-opt at link time. The paths given are relative, so that none of
# this machine gets into the module.
build() { # folder, name, pages
  local base=payloads/$1/$2 tmp
  tmp=$(mktemp -d)
  clang-16 --target=wasm32-wasi -std=c11 -O2 -Wall -Wextra -Werror -c "$base.c" -o "$tmp/$2.o"
  wasm-ld-16 -L$lib $lib/crt1-command.o "$tmp/$2.o" -lc $rt --strip-debug -z stack-size=16384 -o "$base.wasm"
  chmod 644 "$base.wasm"
  rm -r "$tmp"
  go run ./cmd/signer build "$base.wasm" -o "$base.metered.wasm" --memory-pages "$3"
}

build factor factor 16
build steps steps 16
build hostile/loop loop 16
