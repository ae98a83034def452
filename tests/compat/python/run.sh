#!/usr/bin/env bash
# Runs a suite of this folder: tests/compat/python/run.sh SUITE [SCENARIO…], with BOOTSTRAP (and CONTROL) set.
# Ends with 77 if there is no Python here to run it with.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${AFLUENTE_CACHE:-$HOME/.cache/afluente}/compat
command -v python3 >/dev/null || { echo "python3 is not installed"; exit 77; }
venv=$cache/python-$(sha256sum <"$here/requirements.txt" | cut -c1-16)
mkdir -p "$cache"
exec 9>"$cache/.python.lock"
flock 9
if [ ! -f "$venv/.complete" ]; then
    rm -rf "$venv"
    python3 -m venv "$venv" || { echo "python3 has no venv module"; exit 77; }
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt" >&2
    touch "$venv/.complete"
fi
exec 9>&-
suite=$1
shift
exec "$venv/bin/python" -B "$here/$suite.py" "$@"
