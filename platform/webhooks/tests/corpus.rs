//! What the fuzz targets are run with, without the fuzzer: the corpus, and each
//! entry of it cut short at every byte and with every byte altered.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[allow(unreachable_pub)]
#[path = "../../../fuzz/src/lib.rs"]
mod targets;

use std::path::Path;

fn replay(name: &str, target: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(name);
    let mut entries = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        let data = std::fs::read(entry.unwrap().path()).unwrap();
        target(&data);
        for place in 0..data.len() {
            target(&data[..place]);
            let mut altered = data.clone();
            altered[place] ^= 0x11;
            target(&altered);
        }
        entries += 1;
    }
    assert!(entries > 0, "{name} has a corpus");
}

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
