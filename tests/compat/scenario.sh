# What the suites in shell share; to be sourced. A scenario is a function that ends with a status other than 0 if it
# fails, each of its commands included. `run NAME…` runs those of them that the command line names, or all.

number=0

# A name that nobody used before, in $unique.
unique() { number=$((number + 1)); unique=$1-$$-$number; }

# Asks for `restart` or `crash` of the broker and returns when it is ready again.
control() {
    local answer
    exec 8<>"/dev/tcp/${CONTROL%:*}/${CONTROL##*:}"
    echo "$1" >&8
    read -r answer <&8
    exec 8>&-
    [ "$answer" = ok ] || complain "$answer"
}

complain() { echo "complaint: $*" >&2; return 1; }

# same FOUND EXPECTED
same() { [ "$1" = "$2" ] || complain "expected ${2:0:300}, found ${1:0:300}"; }

# has TEXT PATTERN: whether an extended regular expression matches somewhere.
has() { grep -qE -- "$2" <<<"$1" || complain "no /$2/ in: ${1:0:600}"; }

# until WHAT COMMAND…: waits until the command succeeds.
until_true() {
    local what=$1 i
    shift
    for ((i = 0; i < 60; i++)); do
        if "$@" 2>/dev/null; then return 0; fi
        sleep 0.5
    done
    complain "waited in vain for $what"
}

run() {
    local failed=0 name start why errors
    errors=$(mktemp)
    for name in "$@"; do
        if [ ${#wanted[@]} -gt 0 ] && [[ " ${wanted[*]} " != *" $name "* ]]; then continue; fi
        start=$SECONDS
        # A subshell of its own, not in a condition: there `set -e` would not count.
        set +e
        (set -e; "$name") >>"$errors.all" 2>"$errors"
        local status=$?
        set -e
        cat "$errors" >&2
        if [ $status -eq 0 ]; then
            echo "pass $name $((SECONDS - start))s"
        else
            failed=1
            why=$(grep -m1 -E 'complaint|[Ee]rror|Exception|ERROR' "$errors" || tail -n1 "$errors")
            echo "fail $name: ${why:0:500}"
        fi
        # Names of the next scenario are to be new ones too.
        number=$((number + 100))
    done
    rm -f "$errors" "$errors.all"
    exit $failed
}
