#!/usr/bin/env bash
# Makes sure that programs are there: need.sh PACKAGE=PROGRAM …
# Installs Debian packages where it may (root and apt-get), and says what to
# install where it may not.
set -euo pipefail

missing=()
for pair in "$@"; do
  what=${pair#*=}
  case $what in
    /*) test -e "$what" ;;
    *) command -v "$what" >/dev/null 2>&1 ;;
  esac || missing+=("${pair%%=*}")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "installing: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  exit 0
fi
echo "Programs are missing. Install them with:" >&2
echo "  sudo apt-get install --no-install-recommends ${missing[*]}" >&2
exit 1
