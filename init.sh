#!/usr/bin/env bash
# Builds what is missing and starts Afluente in the foreground, until Ctrl-C: a Kafka broker, the web
# console, and demo data that flows.
#
#   ./init.sh                            broker on localhost:9092, console on localhost:8080, data in ./data
#   ./init.sh --listen localhost:29092   the broker elsewhere
#   ./init.sh --console-listen HOST:PORT the console elsewhere
#   ./init.sh --no-demo                  without the demo data
#   ./init.sh --data-dir DIR             keep the data elsewhere
#   ./init.sh --override KEY=VALUE       set a key of Kafka's server.properties; may be repeated
#   ./init.sh --reset                    delete the data first; asks before it does
#
# Needs a C compiler and cargo.
set -euo pipefail
home=$(cd "$(dirname "$0")" && pwd)

listen=localhost:9092
console_listen=localhost:8080
demo=(--demo)
data_dir=$home/data
reset=false
overrides=()

usage() {
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"
}

die() {
    echo "init.sh: $1" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case "$1" in
        -h | --help) usage && exit 0 ;;
        --reset) reset=true && shift && continue ;;
        --no-demo) demo=() && shift && continue ;;
        --listen | --console-listen | --data-dir | --override) [ $# -ge 2 ] || die "$1 needs a value" ;;
        *) die "there is no option \"$1\"; see ./init.sh --help" ;;
    esac
    case "$1" in
        --listen) listen=$2 ;;
        --console-listen) console_listen=$2 ;;
        --data-dir) data_dir=$2 ;;
        --override) overrides+=(--override "$2") ;;
    esac
    shift 2
done
for address in "$listen" "$console_listen"; do
    case "$address" in
        *:*) ;;
        *) die "an address is HOST:PORT, for example localhost:9092; got \"$address\"" ;;
    esac
done

if $reset && [ -e "$data_dir" ]; then
    # Deleting the wrong folder is worse than not starting.
    [ -e "$data_dir/meta.properties" ] || [ -e "$data_dir/afluente.checkpoint" ] ||
        die "$data_dir does not look like a broker's data (no meta.properties); not deleting it"
    printf 'Delete all topics and messages in %s? Type yes: ' "$data_dir"
    read -r answer || answer=
    [ "$answer" = yes ] || die "nothing deleted"
    rm -rf -- "$data_dir"
fi

target=${CARGO_TARGET_DIR:-$home/target}
binary=$target/release/afluente

# Whether the binary is older than what it is made of; quicker to say than cargo can.
is_stale() {
    [ -x "$binary" ] || return 0
    [ -n "$(find "$home/Cargo.toml" "$home/Cargo.lock" "$home/rust-toolchain.toml" "$home/crates" "$home/web/dist" \
        -newer "$binary" -type f -print -quit)" ]
}

if is_stale; then
    command -v cargo >/dev/null || die "cargo is missing: install Rust with rustup (https://rustup.rs)"
    command -v cc >/dev/null || die "a C compiler is missing: install gcc or clang"
    echo "Building Afluente (the first time takes some minutes) ..."
    started=$SECONDS
    (cd "$home" && cargo build --quiet --release --package afluente-cli)
    # Cargo leaves a binary alone that would not change; then it is up to date all the same.
    touch "$binary"
    echo "Built in $((SECONDS - started)) s."
fi

case "$binary" in
    "$PWD"/*) shown=${binary#"$PWD"/} ;;
    *) shown=$binary ;;
esac
cat <<EOF

  Console  http://$console_listen
  Broker   $listen, data in $data_dir
  Ctrl-C stops both. In another terminal, try:

    echo 'hello, river' | $shown console-producer --bootstrap-server $listen --topic greetings
    $shown console-consumer --bootstrap-server $listen --topic greetings --from-beginning

  README.md has a tour of ten minutes that ends with your own producer in Python or Java.

EOF
# What is told by default is for operators; the first look needs warnings only.
export AFLUENTE_LOG=${AFLUENTE_LOG:-warn}
exec "$binary" serve --data-dir "$data_dir" --listen "$listen" \
    --console "$console_listen" "${demo[@]+"${demo[@]}"}" "${overrides[@]+"${overrides[@]}"}"
