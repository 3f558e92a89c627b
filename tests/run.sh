#!/usr/bin/env bash
# Runs the checks, each as a step, and prints where the time went.
#
#   tests/run.sh all     install, lints, licenses, build, all tests
#   tests/run.sh lint    formatting, lints and licenses only
set -uo pipefail
cd "$(dirname "$0")/.."

CARGO_DENY=0.20.2
tools=$PWD/.agentmesh/tools
target=${CARGO_TARGET_DIR:-target}

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
names=() times=() results=()

# step NAME COMMAND…: runs it, remembers how long it took and whether it worked.
step() {
    local name=$1 begun=$SECONDS result=ok
    shift
    printf '\n== %s\n' "$name"
    "$@" > >(tee "$logs/${#names[@]}") 2>&1 || result=FAILED
    names+=("$name") times+=($((SECONDS - begun))) results+=("$result")
    [ "$result" = ok ]
}

# Later steps need this one.
need() { step "$@" || finish; }

finish() {
    local i failed=0
    printf '\n%-28s %8s\n' step seconds
    for i in "${!names[@]}"; do
        printf '%-28s %8d  %s\n' "${names[i]}" "${times[i]}" "${results[i]}"
        [ "${results[i]}" = ok ] || failed=1
    done
    printf '%-28s %8d\n' total "$SECONDS"
    # At the end again, because often the end is all that is kept.
    for i in "${!names[@]}"; do
        [ "${results[i]}" = ok ] || complaints "${names[i]}" "$logs/$i"
    done
    exit "$failed"
}

# What a step that failed said of it: what looks like a complaint, else its end.
complaints() {
    printf '\n== %s failed\n' "$1"
    grep -E -A 6 '^error|panicked at|\.\.\. FAILED|^BAD |^chaos:' "$2" | grep -vE '^ +[0-9]+: |^ +at ' |
        tail -n 30 | grep . || tail -n 10 "$2"
}

install_cargo_deny() {
    if [ "$("$tools/bin/cargo-deny" --version 2>/dev/null)" = "cargo-deny $CARGO_DENY" ]; then
        return
    fi
    # Unoptimised it builds in a third of the time and checks in seconds all the
    # same. A target directory of its own: its dependencies have other features.
    CARGO_TARGET_DIR=$tools/build cargo install cargo-deny --quiet --locked --debug \
        --version "$CARGO_DENY" --root "$tools" && rm -rf "$tools/build"
}

# Licenses, bans and sources are decided by what is in the repository.
deny() { "$tools/bin/cargo-deny" --locked --workspace check --hide-inclusion-graph licenses bans sources; }

# Advisories are published elsewhere; without a network there is no verdict,
# which is said and is not a failure.
advisories() {
    if ! timeout 60 "$tools/bin/cargo-deny" --workspace fetch db >/dev/null 2>&1; then
        echo "the advisory database cannot be fetched here: advisories are NOT checked"
        return
    fi
    "$tools/bin/cargo-deny" --locked --workspace check --disable-fetch advisories
}

# Whether compose.yaml means what it says, where the plugin is there to ask.
compose() {
    if ! docker compose version >/dev/null 2>&1; then
        echo "docker compose is not here: compose.yaml is NOT checked"
        return
    fi
    docker compose --file compose.yaml config --quiet
}

# Whether the alerts mean what they say, by the tool of Prometheus itself. Only
# that is taken from the Debian package; nothing is installed.
alerts() {
    local promtool
    promtool=$(command -v promtool || echo "$tools/prometheus/usr/bin/promtool")
    if [ ! -x "$promtool" ] && ! fetch_promtool; then
        echo "promtool cannot be had here: the alert rules are NOT tested"
        return
    fi
    "$promtool" check rules deploy/prometheus/alerts.yml &&
        "$promtool" test rules deploy/prometheus/alerts.test.yml
}

fetch_promtool() {
    mkdir -p "$tools/incoming" || return
    (
        cd "$tools/incoming" &&
            { apt-get download -q prometheus || { apt-get update -q && apt-get download -q prometheus; }; } &&
            dpkg-deb --extract prometheus_*.deb "$tools/prometheus"
    ) >/dev/null 2>&1
    local fetched=$?
    rm -rf "$tools/incoming"
    return "$fetched"
}

stop_servers() { "$target/debug/agentmesh" stack down --dir target/test-stack; }

lint() {
    step "format" cargo fmt --all --check
    step "clippy" cargo clippy --workspace --all-targets --locked -- -D warnings
    step "compose.yaml" compose
    step "alert rules" alerts
    step "install cargo-deny" install_cargo_deny && {
        step "licenses, bans, sources" deny
        step "advisories" advisories
    }
}

case ${1:-all} in
lint)
    lint
    ;;
all)
    need "install" deploy/local/install.sh
    lint
    need "build" cargo build --workspace --all-targets --locked
    step "tests" cargo test --workspace --locked --no-fail-fast --lib --bins --tests
    step "stop the test servers" stop_servers
    step "faults, short profile" "$target/debug/chaos" --short
    ;;
*)
    echo "usage: tests/run.sh [all|lint]" >&2
    exit 2
    ;;
esac
finish
