#!/usr/bin/env bash
# Runs the suite of this folder: tests/compat/rskafka/run.sh [SCENARIO…], with BOOTSTRAP (and CONTROL) set.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${AFLUENTE_CACHE:-$HOME/.cache/afluente}/compat
CARGO_TARGET_DIR=$cache/rskafka exec cargo run --quiet --locked --manifest-path "$here/Cargo.toml" -- "$@"
