//! What the fuzz target of headers is run with, without the fuzzer.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[allow(unreachable_pub)]
#[path = "../../../fuzz/src/replay.rs"]
mod replay;
#[allow(unreachable_pub)]
#[path = "../../../fuzz/src/headers.rs"]
mod targets;

#[test]
fn headers() {
    replay::replay("headers", targets::headers);
}
