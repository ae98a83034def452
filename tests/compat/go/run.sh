#!/usr/bin/env bash
# Runs a suite of this folder: tests/compat/go/run.sh SUITE [SCENARIO…], with BOOTSTRAP (and CONTROL) set. SUITE is a
# folder here, or `kgo_tests` for franz-go's own tests. Ends with 77 if there is no Go here to run it with.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${AFLUENTE_CACHE:-$HOME/.cache/afluente}/compat/go
command -v go >/dev/null || { echo "go is not installed"; exit 77; }
export GOMODCACHE=$cache/mod GOCACHE=$cache/build GOFLAGS=-buildvcs=false GOTOOLCHAIN=local
suite=$1
shift
cd "$here"
if [ -x "./$suite.sh" ]; then exec "./$suite.sh" "$@"; fi
mkdir -p "$cache/bin"
go build -o "$cache/bin/$suite" "./$suite"
exec "$cache/bin/$suite" "$@"
