#!/usr/bin/env bash
# Runs the suite of this folder: tests/compat/node/run.sh SUITE [SCENARIO…], with BOOTSTRAP (and CONTROL) set.
# Ends with 77 if there is no Node.js here to run it with.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${AFLUENTE_CACHE:-$HOME/.cache/afluente}/compat
{ command -v node && command -v npm; } >/dev/null || { echo "node and npm are not installed"; exit 77; }
modules=$cache/node-$(sha256sum <"$here/package-lock.json" | cut -c1-16)
mkdir -p "$cache"
exec 9>"$cache/.node.lock"
flock 9
if [ ! -f "$modules/.complete" ]; then
    rm -rf "$modules"
    mkdir "$modules"
    cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$modules"
    (cd "$modules" && npm ci --ignore-scripts --no-audit --no-fund >&2)
    touch "$modules/.complete"
fi
exec 9>&-
suite=$1
shift
NODE_PATH=$modules/node_modules exec node "$here/$suite.js" "$@"
