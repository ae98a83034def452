#!/usr/bin/env bash
# Runs every check of the project: format, lints, tests, documentation, licences. The last line is
# the total: `N passed, N failed, N skipped`.
#
#   ./test.sh            everything
#   ./test.sh --fast     without the slow checks
#   ./test.sh --strict   and what is skipped because this machine lacks something is a failure
#
# Needs git, a C compiler and cargo. What else it needs (cargo-nextest and the like, at pinned
# versions) it builds once into ${AFLUENTE_CACHE:-~/.cache/afluente}. Tests that compare with
# Apache Kafka need Java, and are skipped, with a line that says so, where there is none.
set -euo pipefail
cd "$(dirname "$0")"

case "${1:-}" in
    -h | --help)
        sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"
        exit 0
        ;;
esac

die() {
    echo "test.sh: $1" >&2
    exit 2
}

command -v git >/dev/null || die "git is missing: install it with the system's package manager"
command -v cc >/dev/null || die "a C compiler is missing: install gcc or clang (Debian: apt-get install gcc libc6-dev)"
command -v cargo >/dev/null || die "cargo is missing: install Rust with rustup (https://rustup.rs)"

# rust-toolchain.toml names the compiler. A rustup that cannot download it may still have the same
# release under the name of its channel.
if ! complaint=$(cargo --version 2>&1); then
    wanted=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
    case "$(cargo +stable --version 2>/dev/null)" in
        "cargo $wanted "*) export RUSTUP_TOOLCHAIN=stable ;;
        *) die "Rust $wanted is missing, and could not be installed: $complaint" ;;
    esac
fi

exec cargo xtask ci "$@"
