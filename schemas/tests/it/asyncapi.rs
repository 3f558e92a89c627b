use schemas::{TOPICS, catalogue};
use serde_json::Value;

fn document() -> Value {
    serde_saphyr::from_str(include_str!("../../asyncapi/agentmesh.yaml")).unwrap()
}

#[test]
fn it_names_every_topic_and_event() {
    let document = document();
    assert_eq!(document["asyncapi"], "3.1.0");
    let channels = document["channels"].as_object().unwrap();
    let mut addresses: Vec<_> = channels
        .values()
        .map(|channel| channel["address"].as_str().unwrap())
        .collect();
    let mut topics: Vec<_> = TOPICS.iter().map(|(name, _)| *name).collect();
    addresses.sort_unstable();
    topics.sort_unstable();
    assert_eq!(addresses, topics);

    for entry in catalogue() {
        let channel = channels
            .values()
            .find(|channel| channel["address"] == entry.topic)
            .unwrap();
        assert_eq!(
            channel["messages"][entry.name]["$ref"],
            format!("#/components/messages/{}", entry.name),
            "{} on {}",
            entry.name,
            entry.topic
        );
        let message = &document["components"]["messages"][entry.name];
        assert_eq!(message["name"], format!("cloud.agentmesh.{}", entry.name));
        assert_eq!(
            message["payload"]["schema"]["$ref"],
            format!(
                "../avro/{}/{}/v{}.avsc",
                entry.topic, entry.name, entry.version
            )
        );
    }
}

#[test]
fn its_inner_references_resolve() {
    let document = document();
    check(&document, &document);
}

fn check(node: &Value, document: &Value) {
    match node {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    Some(target) if name == "$ref" => {
                        if let Some(pointer) = target.strip_prefix('#') {
                            assert!(document.pointer(pointer).is_some(), "{target}");
                        }
                    }
                    _ => check(value, document),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| check(item, document)),
        _ => {}
    }
}
