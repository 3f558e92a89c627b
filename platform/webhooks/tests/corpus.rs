//! What the fuzz targets are run with, without the fuzzer.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[allow(unreachable_pub)]
#[path = "../../../fuzz/src/replay.rs"]
mod replay;
#[allow(unreachable_pub)]
#[path = "../../../fuzz/src/webhooks.rs"]
mod targets;

use replay::replay;

#[test]
fn signatures() {
    replay("signature", targets::signature);
}

#[test]
fn descriptions() {
    replay("description", targets::description);
}

#[test]
fn bodies() {
    replay("body", targets::body);
}
