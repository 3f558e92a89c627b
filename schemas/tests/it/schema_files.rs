//! What is expected of every schema file.

use std::collections::BTreeSet;

use schemas::{TOPICS, catalogue, published};
use serde_json::Value;

#[test]
fn every_schema_is_named_and_documented() {
    for entry in published() {
        let schema: Value = serde_json::from_str(entry.text).unwrap();
        assert_eq!(schema["name"], entry.name);
        assert_eq!(schema["namespace"], "cloud.agentmesh");
        assert!(TOPICS.iter().any(|(topic, _)| *topic == entry.topic));
        for (path, field) in fields(entry.name, &schema) {
            let doc = field["doc"].as_str().unwrap_or_default();
            assert!(doc.ends_with('.'), "{path} has no doc");
            let nullable = field["type"].as_array().is_some_and(|t| t[0] == "null");
            assert_eq!(
                nullable,
                field.get("default").is_some(),
                "{path}: what may be absent has null as its default"
            );
        }
    }
}

/// The rendering shows these fields as JSON, by name: a name means the same everywhere.
#[test]
fn json_fields_are_marked() {
    let mut marked = BTreeSet::new();
    let mut unmarked = BTreeSet::new();
    for entry in catalogue() {
        let schema: Value = serde_json::from_str(entry.text).unwrap();
        for (_, field) in fields(entry.name, &schema) {
            let name = field["name"].as_str().unwrap().to_owned();
            if field.get("contentMediaType").is_some() {
                marked.insert(name);
            } else {
                unmarked.insert(name);
            }
        }
    }
    assert_eq!(marked.intersection(&unmarked).next(), None);
    let expected = [
        "arguments",
        "content",
        "data",
        "definition",
        "input",
        "output",
        "properties",
        "result",
        "signing",
    ];
    assert_eq!(marked, expected.map(String::from).into());
}

/// Each version's file exists, and none that the catalogue does not know.
#[test]
fn files_and_catalogue_agree() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("avro");
    let mut found = 0;
    for topic in std::fs::read_dir(&root).unwrap() {
        for event in std::fs::read_dir(topic.unwrap().path()).unwrap() {
            found += std::fs::read_dir(event.unwrap().path()).unwrap().count();
        }
    }
    for entry in published() {
        let path = root
            .join(entry.topic)
            .join(entry.name)
            .join(format!("v{}.avsc", entry.version));
        let text = std::fs::read_to_string(&path);
        assert_eq!(text.ok().as_deref(), Some(entry.text), "{}", path.display());
    }
    let versions: u32 = catalogue().iter().map(|entry| entry.version).sum();
    assert_eq!(published().len(), versions as usize);
    assert_eq!(found, published().len());
}

fn fields(path: &str, node: &Value) -> Vec<(String, Value)> {
    match node {
        Value::Object(object) => match object.get("fields").and_then(Value::as_array) {
            Some(listed) => listed
                .iter()
                .flat_map(|field| {
                    let path = format!("{path}.{}", field["name"].as_str().unwrap());
                    let mut all = fields(&path, &field["type"]);
                    all.push((path, field.clone()));
                    all
                })
                .collect(),
            None => object
                .get("items")
                .map(|items| fields(path, items))
                .unwrap_or_default(),
        },
        Value::Array(variants) => variants
            .iter()
            .flat_map(|variant| fields(path, variant))
            .collect(),
        _ => Vec::new(),
    }
}
