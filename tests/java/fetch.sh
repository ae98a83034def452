#!/usr/bin/env bash
# Puts the jars of Apache Kafka that the tests use into the cache folder, by Maven.
#
#   tests/java/fetch.sh [NAME…]      NAME is a folder here that holds a pom.xml; all of them by default
#
# The jars of NAME land in ${AFLUENTE_CACHE:-$HOME/.cache/afluente}/NAME/libs. A folder that is there and was made
# from the same pom.xml is left alone, so calling this again costs nothing. Several callers may run at once.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${AFLUENTE_CACHE:-$HOME/.cache/afluente}
mkdir -p "$cache"

fetch() {
    local name=$1 pom=$here/$1/pom.xml
    [ -f "$pom" ] || { echo "fetch.sh: no such set of jars: $name" >&2; return 2; }
    cmp -s "$pom" "$cache/$name/pom.xml" && return 0
    command -v mvn >/dev/null || { echo "fetch.sh: Maven (mvn) is needed to fetch $name" >&2; return 3; }
    # The pom goes last into the folder, and the folder is renamed into place: half a set is never taken for a whole.
    local fresh
    fresh=$(mktemp -d "$cache/.$name.XXXXXX")
    mvn -q -B -f "$pom" dependency:copy-dependencies -DoutputDirectory="$fresh/libs" -DincludeScope=runtime >&2
    cp "$pom" "$fresh/pom.xml"
    rm -rf "${cache:?}/$name"
    mv "$fresh" "$cache/$name"
}

[ $# -gt 0 ] || set -- $(cd "$here" && for pom in */pom.xml; do dirname "$pom"; done)
exec 9>"$cache/.lock"
flock 9
for name in "$@"; do fetch "$name"; done
