#!/usr/bin/env bash
# Builds Convoy, another webhook gateway, for the row of `make bench` that
# compares ours with it. It comes as source through the Go module proxy: the
# module is verified by its checksum, and what it is built of by its go.sum.
#
# 0.9.2 is the newest release whose tag fits its module path. Where there is no
# Go, nothing is built, and `make bench` leaves the row out.
set -euo pipefail

MODULE=github.com/frain-dev/convoy
VERSION=v0.9.2
SUM=h1:xugRKoQ8fncAPTql3xrJQZy31TIC6phBz5UR3B7nR1g=

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
convoy=$root/target/bench/convoy-$VERSION

say() { printf 'install-convoy: %s\n' "$*"; }
die() { printf 'install-convoy: %s\n' "$*" >&2; exit 1; }
field() { sed -n "s/^[[:space:]]*\"$1\": \"\\(.*\\)\",\\{0,1\\}\$/\\1/p" <<<"$found"; }

[ ! -x "$convoy" ] || exit 0
command -v go >/dev/null 2>&1 || { say "no Go here (Debian: golang-go), so no row against Convoy"; exit 0; }
say "downloading $MODULE@$VERSION"
found=$(cd / && go mod download -json "$MODULE@$VERSION")
[ "$(field Sum)" = "$SUM" ] || die "$MODULE@$VERSION is $(field Sum), which is not $SUM"
say "building it, which takes some minutes"
mkdir -p "$(dirname "$convoy")"
(cd "$(field Dir)" && CGO_ENABLED=0 go build -mod=readonly -trimpath -o "$convoy.new" ./cmd)
mv "$convoy.new" "$convoy"
say "built $convoy"
