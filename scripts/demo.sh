#!/usr/bin/env bash
# The main job on this machine: fresh keys, a signed release, a hub, an order,
# two volunteers, results, verification. ONCE=1 ends there; otherwise the hub
# goes on, and a browser can join.
set -euo pipefail
cd "$(dirname "$0")/.."

port=${PORT:-8080}
hub=http://127.0.0.1:$port
dir=$(mktemp -d "${TMPDIR:-/tmp}/countersign-demo.XXXXXX")
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

bin=$PWD/bin
numbers=$PWD/payloads/demo-numbers.txt
source=$PWD/payloads/factor/factor.wasm
module=$PWD/payloads/factor/factor.metered.wasm
step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] || step() { printf '\n%s\n' "$*"; }
cd "$dir"
head -c 24 /dev/urandom | base64 > password
export COUNTERSIGN_HUB=$hub

step "1. A researcher makes a key, and two holders of root keys sign the policy, offline"
"$bin/signer" key new ada --password-file password
for name in root1 root2 clock; do "$bin/signer" key new $name --password-file password > /dev/null; done
"$bin/signer" policy init --root root1.pub --root root2.pub --threshold 2 --clock clock.pub --researcher "Ada (demo),demo/,ada.pub" -o policy.json
for name in root1 root2; do "$bin/signer" policy sign policy.json -k $name.key --password-file password > /dev/null; done
"$bin/signer" policy merge policy.json

step "2. signs a release of payloads/factor, offline"
"$bin/signer" release -k ada.key --password-file password --name demo/factor --version 1 \
  --purpose "Factors integers by trial division." --source "$source" --module "$module" \
  --memory-pages 16 --task-fuel 200000000000 --seconds 300
"$bin/signer" order -k ada.key --password-file password --release demo-factor-1.release.json --lines "$numbers" --per-task 10 \
  --title "Factor the demo's numbers" -o numbers.order.json > order.txt
grep "^tasks" order.txt

step "3. A hub starts; it holds no key that could sign code"
"$bin/hub" serve --data data --listen "127.0.0.1:$port" --policy policy.json --root root1.pub --root root2.pub --threshold 2 --unsafe-one-network > hub.log 2>&1 &
pids+=($!)
for _ in $(seq 100); do
  kill -0 "${pids[0]}" 2>/dev/null || { cat hub.log >&2; exit 1; }
  if "$bin/hub" status --hub "$hub" >/dev/null 2>&1; then break; fi
  sleep 0.1
done
"$bin/signer" clock -k clock.key --password-file password --policy policy.json > clock.log 2>&1 &
pids+=($!)
for _ in $(seq 100); do
  if grep -q pushed clock.log; then break; fi
  sleep 0.1
done
head -n 1 clock.log
"$bin/signer" publish demo-factor-1.release.json --source "$source" --module "$module"

step "4. Two native volunteers join; each verifies before it runs"
for i in 1 2; do
  "$bin/verifysim" work --hub "$hub" --root root1.pub --root root2.pub --threshold 2 --key "worker$i.key" > "worker$i.log" 2>&1 &
  pids+=($!)
done

step "5. The order runs; every task must be answered alike by two of them"
"$bin/signer" submit numbers.order.json --input "$numbers" --watch > submitted.txt || { cat submitted.txt hub.log worker*.log >&2; exit 1; }
cat submitted.txt
order=$(awk '$1 == "order" {print $2}' submitted.txt)

step "6. Results"
"$bin/signer" results "$order" > results.txt
head -n 20 results.txt
echo "… $(wc -l < results.txt) lines in all"

step "7. The same tasks, run again by wazero"
"$bin/verifysim" verify --hub "$hub" --root root1.pub --root root2.pub --threshold 2 --input "$numbers" "$order"

if [ -n "${ONCE:-}" ]; then exit 0; fi
for pid in "${pids[@]:2}"; do kill "$pid" 2>/dev/null || true; done
# Something for a browser to do: the same numbers again, for as long as asked.
"$bin/signer" order -k ada.key --password-file password --release demo-factor-1.release.json --lines "$numbers" --per-task 1 \
  --title "Factor the demo's numbers once more, with browsers" --agree 1 --of 1 -o browser.order.json > /dev/null
"$bin/signer" submit browser.order.json --input "$numbers" > /dev/null

step "A browser can join at $hub   (Ctrl-C ends the demo)"
wait "${pids[0]}"
