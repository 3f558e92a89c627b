#!/usr/bin/env bash
# Builds other webhook gateways, for the rows of `make bench` that compare ours
# with them. What is built is pinned, and lands in target/bench; what is there is
# not built again. Where something cannot be had or built, the script says what,
# and `make bench` leaves the row out; only a wrong checksum is an error.
#
#   install-peers.sh convoy   as source through the Go module proxy, verified by
#                             its checksum; 0.9.2 is the newest release whose tag
#                             fits its module path. Some minutes.
#   install-peers.sh outpost  from its repository, by Go 1.26.5 or newer, with the
#                             RabbitMQ that it needs out of the packages of the
#                             distribution, in its version: unpacked, not
#                             installed. Some minutes.
#   install-peers.sh svix     from its repository. 20 minutes.
#
# A repository is taken from github.com at the pinned commit, or, where
# PEER_SOURCES names a directory, from the bare repository of its name in there
# (outpost, svix-webhooks, omniqueue-rs, rust-executable-metadata, hyper).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
built=$root/target/bench
sources=$built/src
PEER_SOURCES=${PEER_SOURCES:+$(cd "$PEER_SOURCES" && pwd)}

say() { printf 'install-peers: %s\n' "$*"; }
die() { printf 'install-peers: %s\n' "$*" >&2; exit 1; }
# Names what is missing, and ends without an error.
without() { say "$*"; exit 0; }
has() { command -v "$1" >/dev/null 2>&1; }
holds() { git --git-dir="$1" cat-file -e "$2^{commit}" 2>/dev/null; }

# Sets $git to a repository that holds commit $2 of github.com/$1.
take() {
    has git || without "no git here, so no row against $1"
    if [ -n "$PEER_SOURCES" ]; then
        git=$PEER_SOURCES/${1#*/}
        holds "$git" "$2" || without "PEER_SOURCES has no $1 at $2, so no row against it"
        return
    fi
    git=$sources/${1#*/}.git
    holds "$git" "$2" && return
    say "fetching $1 at $2"
    git init -q --bare "$git"
    GIT_TERMINAL_PROMPT=0 git --git-dir="$git" -c http.lowSpeedLimit=1000 -c http.lowSpeedTime=60 \
        fetch -q --depth 1 "https://github.com/$1.git" "$2" ||
        without "$1 cannot be fetched (without network, PEER_SOURCES may name a directory with it), so no row against it"
}

# Puts paths of commit $1 in $git into the empty directory $2. Each by itself, so
# that what else the commit has is not looked at.
unpack() {
    local commit=$1 into=$2 path
    shift 2
    rm -rf "$into"
    for path; do
        mkdir -p "$into/$(dirname "$path")"
        case $(git --git-dir="$git" cat-file -t "$commit:$path") in
        tree) git --git-dir="$git" archive --prefix="$path/" "$commit:$path" | tar -x -C "$into" ;;
        *) git --git-dir="$git" cat-file blob "$commit:$path" >"$into/$path" ;;
        esac
    done
}

convoy() {
    local module=github.com/frain-dev/convoy version=v0.9.2
    local sum=h1:xugRKoQ8fncAPTql3xrJQZy31TIC6phBz5UR3B7nR1g= found
    local binary=$built/convoy-$version
    [ ! -x "$binary" ] || return 0
    has go || without "no Go here (Debian: golang-go), so no row against Convoy"
    field() { sed -n "s/^[[:space:]]*\"$1\": \"\\(.*\\)\",\\{0,1\\}\$/\\1/p" <<<"$found"; }
    say "downloading $module@$version"
    found=$(cd / && go mod download -json "$module@$version") ||
        without "$module@$version cannot be downloaded, so no row against Convoy: $(field Error)"
    [ "$(field Sum)" = "$sum" ] || die "$module@$version is $(field Sum), which is not $sum"
    say "building it, which takes some minutes"
    mkdir -p "$built"
    (cd "$(field Dir)" && CGO_ENABLED=0 go build -mod=readonly -trimpath -o "$binary.new" ./cmd) ||
        without "Convoy cannot be built, so no row against it"
    mv "$binary.new" "$binary"
    say "built $binary"
}

# RabbitMQ and the Erlang it runs on, in a directory of their own.
rabbitmq() {
    local home=$built/rabbitmq part packages=(rabbitmq-server erlang-base)
    [ ! -d "$home" ] || return 0
    has apt-get && has dpkg || without "no apt-get here, which brings the RabbitMQ that Outpost needs; no row against it"
    for part in asn1 crypto eldap ftp inets mnesia os-mon parsetools public-key runtime-tools snmp ssl \
        syntax-tools tftp tools xmerl; do
        packages+=("erlang-$part")
    done
    say "downloading RabbitMQ"
    rm -rf "$home.new"
    mkdir -p "$home.new/packages"
    (cd "$home.new/packages" && apt-get download -q -o APT::Sandbox::User=root "${packages[@]}") ||
        without "RabbitMQ cannot be downloaded (apt-get update may help), so no row against Outpost"
    for part in "$home.new"/packages/*.deb; do dpkg -x "$part" "$home.new"; done
    rm -r "$home.new/packages"
    # Debian's starts from /usr, wherever it stands.
    sed -i "s|ROOTDIR=/usr/lib/erlang|ROOTDIR=$home/erlang|" "$home.new/usr/lib/erlang/bin/erl"
    ln -s usr/lib/erlang "$home.new/erlang"
    (cd "$home.new" && ln -s usr/lib/rabbitmq/lib/rabbitmq_server-* server)
    mv "$home.new" "$home"
    say "unpacked $home"
}

outpost() {
    # v1.2.0
    local commit=ce858abc048893f91d6beebbd4f8fdf7a1d3af0f into=$built/outpost-v1.2.0
    if [ -d "$into" ]; then
        rabbitmq
        return
    fi
    has go || without "no Go here, so no row against Outpost"
    rabbitmq
    take hookdeck/outpost "$commit"
    unpack "$commit" "$sources/outpost" go.mod go.sum cmd internal
    say "building Outpost, which takes some minutes"
    rm -rf "$into.new"
    mkdir -p "$into.new"
    (cd "$sources/outpost" && CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags='-s -w' \
        ${JOBS:+-p "$JOBS"} -o "$into.new/" ./cmd/outpost ./cmd/outpost-server) ||
        without "Outpost cannot be built (it wants Go 1.26.5 or newer), so no row against it"
    mv "$into.new" "$into"
    say "built $into"
}

# Its build wants a hyper that is patched to keep the spelling of outgoing headers.
# Where only that is out of reach, the published one of the same version is given
# the same door: a type that is private there is public.
public_hyper() {
    local version=1.11.0 scratch=$sources/hyper-scratch manifest
    mkdir -p "$scratch/src"
    : >"$scratch/src/lib.rs"
    printf '[package]\nname = "scratch"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n[dependencies]\nhyper = "=%s"\n' \
        "$version" >"$scratch/Cargo.toml"
    manifest=$(cd "$scratch" && cargo metadata --format-version 1 | grep -o "\"[^\"]*/hyper-$version/Cargo.toml\"" | head -n 1 | tr -d '"') ||
        without "hyper $version cannot be downloaded, so no row against svix-server"
    cp -r "$(dirname "$manifest")" "$1"
    sed -i 's/^pub(crate) struct HeaderCaseMap(/pub struct HeaderCaseMap(/' "$1/src/ext/mod.rs"
    grep -q '^pub struct HeaderCaseMap(' "$1/src/ext/mod.rs" ||
        without "hyper $version is not what it was, so no row against svix-server"
    cat >>"$1/src/ext/mod.rs" <<'RUST'

impl From<HeaderMap<Bytes>> for HeaderCaseMap {
    fn from(names: HeaderMap<Bytes>) -> Self {
        Self(names)
    }
}
RUST
}

svix() {
    # server-v1.100.0
    local commit=a6e683b379599874151171c240e014dda46c4cda binary=$built/svix-server-v1.100.0
    local hyper=7d3bff970b5c218d4cdaa0807ed27d22a4090fa4 into=$sources/svix-webhooks name count=0
    [ ! -x "$binary" ] || return 0
    has cargo || without "no Cargo here, so no row against svix-server"
    take svix/svix-webhooks "$commit"
    unpack "$commit" "$into" server
    if [ -n "$PEER_SOURCES" ]; then
        export CARGO_NET_GIT_FETCH_WITH_CLI=true
        for name in omniqueue-rs rust-executable-metadata hyper.git; do
            export "GIT_CONFIG_KEY_$count=url.$PEER_SOURCES/${name%.git}.insteadOf"
            export "GIT_CONFIG_VALUE_$count=https://github.com/svix/$name"
            count=$((count + 1))
        done
        export GIT_CONFIG_COUNT=$count
        if ! holds "$PEER_SOURCES/hyper" "$hyper"; then
            say "no svix/hyper at $hyper: the published hyper with one type made public instead"
            public_hyper "$into/hyper"
            sed -i 's|^hyper = { git = .*|hyper = { path = "../hyper" }|' "$into/server/Cargo.toml"
            sed -i "/^source = \"git+https:\/\/github.com\/svix\/hyper.git/d" "$into/server/Cargo.lock"
        fi
    fi
    say "building svix-server, which takes 20 minutes"
    (cd "$into/server" && cargo build --locked --release ${JOBS:+-j "$JOBS"} --package svix-server --bin svix-server \
        --target-dir "$sources/svix-target") ||
        without "svix-server cannot be built, so no row against it"
    cp "$sources/svix-target/release/svix-server" "$binary.new"
    mv "$binary.new" "$binary"
    rm -rf "$sources/svix-target"
    say "built $binary"
}

for peer; do
    case $peer in
    # By itself, so that what is missing for one does not end the others.
    convoy | outpost | svix) ("$peer") ;;
    *) die "there is no peer $peer" ;;
    esac
done
