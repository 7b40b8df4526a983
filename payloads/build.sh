#!/usr/bin/env bash
# Builds every payload: source → NAME.wasm → NAME.metered.wasm. The result is
# committed; building again changes nothing. With names (payloads/build.sh factor
# hostile/loop), only those.
set -euo pipefail
cd "$(dirname "$0")/.."

lib=/usr/lib/wasm32-wasi
rt=/usr/lib/llvm-16/lib/clang/16/lib/wasi/libclang_rt.builtins-wasm32.a
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
go build -o "$work/signer" ./cmd/signer
wanted=" $* "

wanted() { [ "$wanted" = "  " ] || [[ $wanted == *" $1 "* ]]; }

meter() { # path without suffix, pages
  chmod 644 "$1.wasm"
  "$work/signer" build "$1.wasm" -o "$1.metered.wasm" --memory-pages "$2"
}

# Compiling and linking apart: with binaryen installed, clang's driver would run
# another wasm-opt at link time. The paths given are relative, so that none of
# this machine gets into the module. Products and sums are never fused into one
# rounding (wasm has no instruction for that; this says that we count on it).
c() { # folder/name, pages, more options
  local base=payloads/$1 pages=$2
  wanted "$1" || return 0
  shift 2
  clang-16 --target=wasm32-wasi -std=c11 -O2 -ffp-contract=off -Wall -Wextra -Werror "$@" -c "$base.c" -o "$work/o"
  wasm-ld-16 -L$lib $lib/crt1-command.o "$work/o" -lc $rt --strip-debug -z stack-size=16384 -o "$base.wasm"
  meter "$base" "$pages"
}

# Go's own port to WASI. Its version is part of what the module is: GOTOOLCHAIN.
go_() { # folder/name, pages
  wanted "$1" || return 0
  GOTOOLCHAIN=go1.26.8 GOOS=wasip1 GOARCH=wasm go build -trimpath -buildvcs=false -ldflags='-s -w -buildid=' -o "payloads/$1.wasm" "./payloads/$(dirname "$1")"
  meter "payloads/$1" "$2"
}

c factor/factor 16
c steps/steps 16
c hostile/loop/loop 16
c primes/primes 16
c primes/primes-sum 16
c lab-fib/lab-fib 16
c lab-cpu/lab-cpu 16
c lab-io/lab-io 16
c mandelbrot/mandelbrot 16
c gradient/gradient 16
c gradient/gradient-step 16
c align/align 16 -msimd128
c hostile/recursion/recursion 16
c hostile/memory/memory 1024
c hostile/output/output 16
c hostile/progress/progress 16
c hostile/checkpoint/checkpoint 32
c hostile/nan/nan 16 -msimd128
c hostile/host/host 16
c hostile/clock/clock 16
go_ wordcount/wordcount 256
