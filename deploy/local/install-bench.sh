#!/usr/bin/env bash
# Installs what `make bench` needs beside the local stack, and nothing twice:
# redis-benchmark and pgbench as peers, wrk as a sender, taskset to pin processes
# to cores.
#
# Needs root only when something is missing; without it the script names the
# packages and stops.
set -euo pipefail

die() { printf 'install-bench: %s\n' "$*" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

packages=()
has redis-benchmark || packages+=(redis-tools)
has pgbench || compgen -G '/usr/lib/postgresql/*/bin/pgbench' >/dev/null || packages+=(postgresql-contrib)
has wrk || packages+=(wrk)
has taskset || packages+=(util-linux)
[ "${#packages[@]}" != 0 ] || exit 0
has apt-get || die "no apt-get here; install by other means: ${packages[*]}"
[ "$(id -u)" = 0 ] || die "missing: ${packages[*]}. Run: sudo apt-get install --no-install-recommends ${packages[*]}"
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${packages[@]}"
