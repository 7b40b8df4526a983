#!/usr/bin/env bash
# Fetches the packages of packages.txt into a folder: fetch.sh DIR. What is there
# already stays. Nothing of them is run, and nothing is committed.
set -euo pipefail

list=$(cd "$(dirname "$0")" && pwd)/packages.txt
mkdir -p "$1"
cd "$1"

fetch() {
  local name=${1// /@} place
  place=$(tr '/@' '__' <<<"$name")
  [ -e "$place/done" ] && return
  mkdir -p "$place"
  if ! (cd "$place" && npm pack --silent --ignore-scripts "$name" >/dev/null 2>error && tar xzf ./*.tgz && rm ./*.tgz); then
    echo "fetching $name: $(head -n 1 "$place/error")" >&2
    return 1
  fi
  touch "$place/done"
}
export -f fetch

grep -v '^#' "$list" | xargs -P 4 -d '\n' -I{} bash -c 'fetch "$1"' _ {}
