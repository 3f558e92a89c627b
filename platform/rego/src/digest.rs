use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// `sha256:` and the digest of modules and data in canonical form: modules
/// ordered by name, objects ordered by key, every part length-prefixed. Two
/// bundles with the same digest answer alike.
pub(crate) fn digest(modules: &[(String, String)], data: &Value) -> String {
    let mut ordered: Vec<_> = modules.iter().collect();
    ordered.sort();
    let mut hash = Sha256::new();
    for (name, text) in ordered {
        part(&mut hash, b'm', name.as_bytes());
        part(&mut hash, b't', text.as_bytes());
    }
    let mut canonical = String::new();
    write_canonical(data, &mut canonical);
    part(&mut hash, b'd', canonical.as_bytes());
    format!("sha256:{}", hex::encode(hash.finalize()))
}

fn part(hash: &mut Sha256, tag: u8, bytes: &[u8]) {
    hash.update([tag]);
    hash.update((bytes.len() as u64).to_be_bytes());
    hash.update(bytes);
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut keys: Vec<_> = fields.keys().collect();
            keys.sort();
            out.push('{');
            for (index, key) in keys.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_canonical(&fields[key], out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn module(name: &str, text: &str) -> (String, String) {
        (name.to_owned(), text.to_owned())
    }

    #[test]
    fn order_does_not_count() {
        let one = digest(
            &[module("a", "x"), module("b", "y")],
            &json!({"p": {"q": 1, "r": [1, 2]}, "s": null}),
        );
        let other = digest(
            &[module("b", "y"), module("a", "x")],
            &json!({"s": null, "p": {"r": [1, 2], "q": 1}}),
        );
        assert_eq!(one, other);
        assert!(one.starts_with("sha256:") && one.len() == 71, "{one}");
    }

    #[test]
    fn every_part_counts() {
        let base = digest(&[module("a", "x")], &json!({"n": 1}));
        for other in [
            digest(&[module("a", "y")], &json!({"n": 1})),
            digest(&[module("b", "x")], &json!({"n": 1})),
            digest(&[module("a", "x")], &json!({"n": 2})),
            digest(&[module("ax", "")], &json!({"n": 1})),
            digest(&[module("a", "x"), module("b", "")], &json!({"n": 1})),
        ] {
            assert_ne!(base, other);
        }
    }
}
