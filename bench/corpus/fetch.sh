#!/usr/bin/env bash
# Fetches the packages of packages.txt and debian.txt into a folder: fetch.sh DIR.
# What is there already stays. Nothing of them is run, and nothing is committed.
set -euo pipefail

lists=$(cd "$(dirname "$0")" && pwd)
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

debian() {
  local version place
  version=$(apt-cache show --no-all-versions "$1" 2>/dev/null | sed -n 's/^Version: //p') || true
  place="Debian $1_$version"
  [ -e "$place/done" ] && return
  mkdir -p "$place"
  if ! (cd "$place" && apt-get download -qq "$1" >/dev/null 2>error && dpkg-deb -x ./*.deb . && rm ./*.deb); then
    echo "fetching $1: $(head -n 1 "$place/error")" >&2
    return 1
  fi
  touch "$place/done"
}

if command -v apt-get >/dev/null; then
  grep -v '^#' "$lists/debian.txt" | while read -r name; do debian "$name"; done
else
  echo 'fetching from Debian: apt-get is not here, its packages are left out' >&2
fi
grep -v '^#' "$lists/packages.txt" | xargs -P 4 -d '\n' -I{} bash -c 'fetch "$1"' _ {}
