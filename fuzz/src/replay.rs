//! The inputs of a target without the fuzzer: the corpus, each entry of it cut
//! short at every byte and with every byte altered, and what was found.

use std::path::Path;

fn inputs(kind: &str, name: &str) -> Vec<Vec<u8>> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let entries = std::fs::read_dir(fuzz.join(kind).join(name)).unwrap();
    let inputs: Vec<_> = entries
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect();
    assert!(!inputs.is_empty(), "{kind}/{name} has inputs");
    inputs
}

pub fn replay(name: &str, target: fn(&[u8])) {
    for data in inputs("found", name) {
        target(&data);
    }
    for data in inputs("corpus", name) {
        target(&data);
        for place in 0..data.len() {
            target(&data[..place]);
            let mut altered = data.clone();
            altered[place] ^= 0x11;
            target(&altered);
        }
    }
}
