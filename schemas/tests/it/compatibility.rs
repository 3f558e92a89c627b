//! Readers of any version read what writers of any other wrote: FULL_TRANSITIVE,
//! decided here without a registry, so that an incompatible file is refused
//! before anything is deployed. `services/cli/tests/it/schemas.rs` has the
//! registry's own verdict.

use apache_avro::Schema;
use apache_avro::schema_compatibility::SchemaCompatibility;
use schemas::published;

/// Demands what `evidence` is, of those who never heard of it.
const PLANTED: &str = include_str!("../incompatible/EffectConfirmed.avsc");

fn parse(text: &str) -> Schema {
    Schema::parse_str(text).unwrap()
}

/// Why readers of one do not read what writers of the other wrote.
fn differences(versions: &[&str]) -> Vec<String> {
    let parsed: Vec<Schema> = versions.iter().map(|text| parse(text)).collect();
    let mut found = Vec::new();
    for (writer, written) in parsed.iter().enumerate() {
        for (reader, read) in parsed.iter().enumerate() {
            if writer == reader {
                continue;
            }
            if let Err(why) = SchemaCompatibility::can_read(written, read) {
                found.push(format!(
                    "v{} does not read v{}: {why}",
                    reader + 1,
                    writer + 1
                ));
            }
        }
    }
    found
}

fn versions_of(name: &str) -> Vec<&'static str> {
    published()
        .iter()
        .filter(|entry| entry.name == name)
        .map(|entry| entry.text)
        .collect()
}

#[test]
fn all_versions_of_every_event_read_each_other() {
    let mut several = 0;
    for versions in published().chunk_by(|one, next| one.name == next.name) {
        let texts: Vec<&str> = versions.iter().map(|entry| entry.text).collect();
        assert_eq!(differences(&texts), [""; 0], "{}", versions[0].name);
        several += usize::from(texts.len() > 1);
    }
    assert!(several > 0, "at least one event has a second version");
}

#[test]
fn an_incompatible_file_is_refused() {
    let mut versions = versions_of("EffectConfirmed");
    versions.push(PLANTED);
    let found = differences(&versions);
    assert!(
        found
            .iter()
            .any(|why| why.starts_with("v3 does not read v1")),
        "{found:?}"
    );
}

#[test]
fn what_may_not_change_is_noticed() {
    let v1 = versions_of("EffectConfirmed")[0];
    let type_changed = v1.replace(
        r#"{"name": "remote_id", "type": "string""#,
        r#"{"name": "remote_id", "type": "long""#,
    );
    let taken_away: String = v1
        .lines()
        .filter(|line| !line.contains(r#""name": "step""#))
        .collect();
    let renamed = v1.replace(r#""name": "step""#, r#""name": "stage""#);
    for changed in [type_changed, taken_away, renamed] {
        assert_ne!(changed, v1);
        assert_ne!(differences(&[v1, &changed]), [""; 0], "{changed}");
    }
}
