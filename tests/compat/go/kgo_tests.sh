#!/usr/bin/env bash
# franz-go's own integration tests of its client (pkg/kgo), whole, from the module as it was published.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
version=$(sed -n 's|^\s*github.com/twmb/franz-go \(v[^ ]*\).*|\1|p' "$here/go.mod")
source=$GOMODCACHE/../franz-go-$version
if [ ! -d "$source" ]; then
    go mod download github.com/twmb/franz-go
    fresh=$(mktemp -d "$GOMODCACHE/../.franz-go.XXXXXX")
    cp -r "$GOMODCACHE/github.com/twmb/franz-go@$version/." "$fresh"
    chmod -R u+w "$fresh"
    mv "$fresh" "$source"
fi
mkdir -p "$GOMODCACHE/../bin"
(cd "$here" && go build -o "$GOMODCACHE/../bin/verdicts" ./verdicts)
cd "$source"
# What its tests read: the broker, one replica, and how many records a test sends (500,000 by default).
export KGO_SEEDS=$BOOTSTRAP KGO_TEST_RF=1 KGO_TEST_RECORDS=${KGO_TEST_RECORDS:-20000}
go test -vet=off -count=1 -timeout 25m -json "$@" ./pkg/kgo | "$GOMODCACHE/../bin/verdicts"
