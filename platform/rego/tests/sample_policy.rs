//! Runs the Rego tests of the sample policy as `opa test` would: every rule
//! named `test_…` must be true.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use platform_rego::{Bundle, Engine};
use serde_json::json;

const POLICY: &str = include_str!("../../../schemas/rego/mesh/ingest.rego");
const TESTS: &str = include_str!("../../../schemas/rego/mesh/ingest_test.rego");

#[test]
fn the_sample_policy_passes_its_tests() {
    let bundle = Bundle::new(
        vec![
            ("mesh/ingest.rego".to_owned(), POLICY.to_owned()),
            ("mesh/ingest_test.rego".to_owned(), TESTS.to_owned()),
        ],
        json!({}),
    )
    .expect("compiles");
    let names: Vec<_> = TESTS
        .lines()
        .filter(|line| line.starts_with("test_"))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(names.len() > 5);
    for name in names {
        let path = format!("mesh/ingest_test/{name}");
        let evaluation = Engine::evaluate(&bundle, &path, &json!({})).expect(name);
        assert_eq!(evaluation.result, Some(json!(true)), "{name}");
    }
}
