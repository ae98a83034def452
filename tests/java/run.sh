#!/usr/bin/env bash
# Compiles and runs a Java program of one source file against a set of jars.
#
#   tests/java/run.sh [--libs NAME] [-Jflag …] Main.java [argument…]
#
# NAME is a folder beside this file (kafka-4.3.1 by default). `-J-Xmx1g` hands `-Xmx1g` to the JVM. The classes go to
# the cache, by the hash of the source, so that only the first run of a version compiles. The class that is run has
# the name of the file.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${AFLUENTE_CACHE:-$HOME/.cache/afluente}
libs=kafka-4.3.1
jvm=(-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx512m -Dlog4j2.configurationFile="$here/log4j2.properties"
    -Dorg.slf4j.simpleLogger.defaultLogLevel=warn)
while [ $# -gt 0 ]; do
    case $1 in
    --libs) libs=$2; shift 2 ;;
    -J*) jvm+=("${1#-J}"); shift ;;
    *) break ;;
    esac
done
[ $# -gt 0 ] || { sed -n '2,4s/^# \{0,1\}//p' "$0" >&2; exit 2; }
source=$1
shift
main=$(basename "$source" .java)
"$here/fetch.sh" "$libs"
classes=$cache/classes/$libs/$main-$(sha256sum <"$source" | cut -c1-16)
if [ ! -d "$classes" ]; then
    mkdir -p "$cache/classes/$libs"
    fresh=$(mktemp -d "$cache/classes/.XXXXXX")
    javac -nowarn -Xlint:-options -cp "$cache/$libs/libs/*" -d "$fresh" "$source"
    mv -T "$fresh" "$classes" 2>/dev/null || rm -rf "$fresh" # somebody else was quicker
fi
exec java "${jvm[@]}" -cp "$classes:$cache/$libs/libs/*" "$main" "$@"
