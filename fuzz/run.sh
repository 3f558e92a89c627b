#!/usr/bin/env bash
# Runs each fuzz target for some seconds (60 unless told), starting from the
# corpus, which was written by hand, and from what was found before: one input for
# each place in the code that is reached. What is new stays in target/fuzz/found; a
# crash stops with an error and leaves its input in target/fuzz/crashes.
#
#   fuzz/run.sh 60 keep    puts what reaches new places into fuzz/found
#
# The coverage passes are part of stable rustc, so no nightly is needed; the
# address sanitizer would be, and there is no unsafe code of ours to find.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
keep=${2:-}
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
# Only what runs here is instrumented, not what runs while building.
host=$(rustc -vV | sed -n 's/^host: //p')
cargo build --quiet --locked --manifest-path fuzz/Cargo.toml --target-dir target/fuzz --target "$host"

mkdir -p target/fuzz/crashes
for name in signature description body headers; do
    mkdir -p "target/fuzz/found/$name"
    "target/fuzz/$host/debug/$name" "target/fuzz/found/$name" "fuzz/found/$name" "fuzz/corpus/$name" \
        -max_total_time="$seconds" -max_len=8192 -artifact_prefix=target/fuzz/crashes/ \
        -print_final_stats=1 2>&1 | grep -E '^stat::number_of_executed_units|^stat::new_units|ERROR|panicked|DONE' |
        sed "s/^/$name: /"
    if [ "$keep" = keep ]; then
        "target/fuzz/$host/debug/$name" -set_cover_merge=1 -use_counters=0 \
            "fuzz/found/$name" "fuzz/corpus/$name" "target/fuzz/found/$name" 2>&1 | tail -n 1
    fi
done
