#!/usr/bin/env bash
# Compiles libraries from Debian's source packages to WebAssembly, into the folder
# that fetch.sh fills: compile.sh DIR. All of a library's code is exported, so that
# all of it is there. What is there already stays.
set -euo pipefail

dir=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# apt with source packages, from wherever this machine has its binary ones.
mkdir parts lists
for list in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
  [ -f "$list" ] && grep -q debian "$list" && sed 's/^deb /deb-src /; s/^Types: *deb *$/Types: deb-src/' "$list" >"parts/${list##*/}"
done
apt() {
  local to=$1
  shift
  "$to" -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$work/parts" -o Dir::State::lists="$work/lists" -o APT::Sandbox::User=root "$@"
}

# setjmp and longjmp do not exist: what would be caught is a trap. Nor do files,
# for SQLite. Lua asks for a header of Debian's.
mkdir shim
cat >shim/setjmp.h <<'END'
typedef int jmp_buf[1];
#define setjmp(b) ((void)(b), 0)
#define longjmp(b, v) ((void)(b), (void)(v), __builtin_trap())
END
echo '#define DEB_HOST_MULTIARCH "wasm32-wasi"' >shim/lua5.4-deb-multiarch.h
echo 'int sqlite3_os_init(void) { return 0; } int sqlite3_os_end(void) { return 0; }' >shim/no-files.c

compile() {
  clang-16 --target=wasm32-wasi -O2 -w -mexec-model=reactor -isystem "$work/shim" -D_WASI_EMULATED_SIGNAL -D_WASI_EMULATED_PROCESS_CLOCKS \
    "$@" -Wl,--export-all -lwasi-emulated-signal -lwasi-emulated-process-clocks
}

bzip2() { compile {blocksort,huffman,crctable,randtable,compress,decompress,bzlib}.c -o "$1"; }
duktape() { compile -Isrc src/duktape.c -o "$1"; }
libzstd() { compile -DZSTD_DISABLE_ASM -Ilib lib/{common,compress,decompress,dictBuilder}/*.c -o "$1"; }
lua() { compile src/l{api,auxlib,baselib,code,corolib,ctype,dblib,debug,do,dump,func,gc,lex,mathlib,mem,object,opcodes,parser,state,string,strlib,table,tablib,tm,undump,utf8lib,vm,zio}.c -o "$1"; }
mujs() { compile one.c -o "$1"; }
sqlite() {
  sh configure --disable-tcl --disable-readline && make sqlite3.c
  compile -DSQLITE_THREADSAFE=0 -DSQLITE_OMIT_LOAD_EXTENSION -DSQLITE_OS_OTHER=1 -DSQLITE_ENABLE_FTS5 -DSQLITE_ENABLE_RTREE -DSQLITE_ENABLE_MATH_FUNCTIONS \
    sqlite3.c "$work/shim/no-files.c" -o "$1"
}
zlib() { compile -DZ_HAVE_UNISTD_H ./*.c -o "$1"; }

# make_one PACKAGE NAME: the module NAME of a source package.
make_one() {
  local version place
  version=$(apt apt-cache showsrc --only-source "$1" | sed -n 's/^Version: //p' | sort -V | tail -n 1)
  place="$dir/Debian source $1_$version"
  [ -e "$place/done" ] && return
  mkdir -p "$place" "$1"
  (cd "$1" && apt apt-get -qq source "$1=$version" && cd ./*/ && "$2" "$place/$2.wasm") >"$place/error" 2>&1 ||
    { echo "compiling $1: $(tail -n 1 "$place/error")" >&2 && return 1; }
  touch "$place/done"
}

apt apt-get -qq update
make_one bzip2 bzip2
make_one duktape duktape
make_one libzstd libzstd
make_one lua5.4 lua
make_one mujs mujs
make_one sqlite3 sqlite
make_one zlib zlib
