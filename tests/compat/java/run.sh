#!/usr/bin/env bash
# Runs the suite of this folder against a set of jars of tests/java, or the one for Apache Kafka's own tools:
# tests/compat/java/run.sh JARS|tools [SCENARIO…], with BOOTSTRAP (and CONTROL) set.
# Ends with 77 if Java or the jars are not to be had.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
java=$here/../../java
command -v javac >/dev/null || { echo "javac is not installed"; exit 77; }
jars=$1
shift
if [ "$jars" = tools ]; then exec "$here/tools.sh" "$@"; fi
"$java/fetch.sh" "$jars" || { echo "the jars of $jars could not be fetched"; exit 77; }
exec "$java/run.sh" --libs "$jars" "-J-Djars=$jars" "$here/Clients.java" "$@"
