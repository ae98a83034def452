#!/usr/bin/env bash
# kcat as Debian has it: an old librdkafka (2.0) and the client that people try first.
# tests/compat/kcat/run.sh [SCENARIO…], with BOOTSTRAP (and CONTROL) set. Ends with 77 if there is no kcat to be had.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
wanted=("$@")
source "$here/../scenario.sh"
cache=${AFLUENTE_CACHE:-$HOME/.cache/afluente}/compat/kcat

# Installed, or else the packages unpacked into the cache.
if command -v kcat >/dev/null; then
    kcat() { command kcat -b "$BOOTSTRAP" "$@"; }
else
    if [ ! -x "$cache/usr/bin/kcat" ]; then
        command -v apt-get >/dev/null || { echo "kcat is not installed, and there is no apt-get to fetch it"; exit 77; }
        mkdir -p "$cache/packages"
        # Its libraries, those aside that a machine with apt has. Which there are depends on the release.
        (cd "$cache/packages" && apt-get -qq download kcat librdkafka1 libyajl2 >&2) ||
            { echo "kcat could not be fetched by apt-get"; exit 77; }
        for package in libserdes1 libavro1 libjansson4 libsnappy1v5 liblz4-1 libcurl4; do
            (cd "$cache/packages" && apt-get -qq download $package >&2) || true
        done
        for package in "$cache"/packages/*.deb; do dpkg -x "$package" "$cache"; done
    fi
    libraries=$(echo "$cache"/usr/lib/*-linux-gnu)
    kcat() { LD_LIBRARY_PATH=$libraries "$cache/usr/bin/kcat" -b "$BOOTSTRAP" "$@"; }
fi
kcat -V >&2 || { echo "kcat does not start here"; exit 77; }

metadata_lists_brokers_and_topics() {
    unique kcat
    echo first | kcat -P -t "$unique"
    local said
    said=$(kcat -L)
    has "$said" "broker [0-9]+ at $BOOTSTRAP"
    has "$said" "topic \"$unique\" with 1 partitions"
    has "$(kcat -L -J)" "\"topic\":\"$unique\""
}

every_codec_comes_back_as_it_went() {
    for codec in none gzip snappy lz4 zstd; do
        unique kcat
        seq 1 1000 | kcat -P -t "$unique" -z $codec
        same "$(kcat -C -q -t "$unique" -e | md5sum)" "$(seq 1 1000 | md5sum)"
    done
}

keys_headers_partitions_and_nulls() {
    unique kcat
    printf 'k1\tv1\nk2\t\n' | kcat -P -t "$unique" -p 0 -K '\t' -Z -H a=1 -H a=2 -H b=
    same "$(kcat -C -q -t "$unique" -e -f '%p %o %k %s %S %h\n')" "$(printf '0 0 k1 v1 2 a=1,a=2,b=\n0 1 k2  -1 a=1,a=2,b=')"
}

offsets_are_found_by_time_and_from_the_end() {
    unique kcat
    seq 1 100 | kcat -P -t "$unique"
    same "$(kcat -C -q -t "$unique" -o 90 -c 1)" 91
    same "$(kcat -C -q -t "$unique" -o -5 -e | tr '\n' ' ')" "96 97 98 99 100 "
    same "$(kcat -Q -t "$unique:0:-1" | awk '{print $NF}')" 100
    same "$(kcat -Q -t "$unique:0:1" | awk '{print $NF}')" 0
    same "$(kcat -C -q -t "$unique" -o s@1 -o e@9999999999999 -e | wc -l)" 100
}

a_group_shares_and_resumes() {
    unique kcat
    local topic=$unique
    seq 1 100 | kcat -P -t "$topic"
    same "$(kcat -q -G "$topic-g" -X auto.offset.reset=earliest -c 100 "$topic" | wc -l)" 100
    seq 101 110 | kcat -P -t "$topic"
    same "$(kcat -q -G "$topic-g" -X auto.offset.reset=earliest -c 10 "$topic" | head -n1)" 101
}

transactions_and_idempotence() {
    unique kcat
    seq 1 100 | kcat -P -t "$unique" -X enable.idempotence=true
    seq 101 200 | kcat -P -t "$unique" -X transactional.id="$unique"
    same "$(kcat -C -q -t "$unique" -e -X isolation.level=read_committed | wc -l)" 200
}

# kcat itself gives up once all brokers are gone, so nothing is under way meanwhile.
nothing_is_lost_by_restarts() {
    unique kcat
    seq 1 100 | kcat -P -t "$unique"
    control restart
    seq 101 200 | kcat -P -t "$unique"
    control crash
    seq 201 300 | kcat -P -t "$unique"
    same "$(kcat -C -q -t "$unique" -e | md5sum)" "$(seq 1 300 | md5sum)"
}

scenarios=(metadata_lists_brokers_and_topics every_codec_comes_back_as_it_went keys_headers_partitions_and_nulls
    offsets_are_found_by_time_and_from_the_end a_group_shares_and_resumes transactions_and_idempotence)
[ -z "${CONTROL:-}" ] || scenarios+=(nothing_is_lost_by_restarts)
run "${scenarios[@]}"
