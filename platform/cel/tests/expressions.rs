//! Conditions and mappings as workflow authors write them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use platform_cel::{Error, Expression, MAX_LENGTH};
use serde_json::{Value, json};

fn ticket() -> Value {
    json!({
        "trigger": {
            "kind": "support.ticket.created",
            "subject": "ada@example.com",
            "content": {
                "ticket_id": "T-1001",
                "amount": 129.9,
                "items": [{"sku": "a", "count": 2}, {"sku": "b", "count": 1}],
                "customer": {"name": "Ada Lovelace"},
            },
        },
        "steps": {
            "triage": {"output": {"priority": "high", "summary": "charged twice", "escalate": true}},
        },
    })
}

fn value(source: &str) -> Value {
    Expression::compile(source)
        .unwrap()
        .evaluate(&ticket())
        .unwrap()
}

#[test]
fn reads_the_trigger_and_finished_steps() {
    assert_eq!(value("trigger.content.ticket_id"), json!("T-1001"));
    assert_eq!(
        value("steps.triage.output.priority.upperAscii()"),
        json!("HIGH")
    );
    assert_eq!(
        value("steps['triage'].output.summary + ' (' + trigger.subject + ')'"),
        json!("charged twice (ada@example.com)")
    );
    assert_eq!(
        value("trigger.content.customer"),
        json!({"name": "Ada Lovelace"})
    );
}

#[test]
fn conditions_compare_numbers_and_ask_for_presence() {
    let condition = |source: &str| {
        Expression::compile(source)
            .unwrap()
            .evaluate_bool(&ticket())
            .unwrap()
    };
    assert!(condition("trigger.content.amount > 100.0"));
    assert!(condition("trigger.content.amount > 100"));
    assert!(condition("trigger.content.items.exists(i, i.count == 2)"));
    assert!(condition("!has(trigger.content.refund)"));
    assert!(condition(
        "steps.triage.output.escalate && steps.triage.output.priority in ['high', 'urgent']"
    ));
    assert!(condition("trigger.content.ticket_id.matches('^T-[0-9]+$')"));
}

#[test]
fn builds_objects_and_lists() {
    assert_eq!(
        value("{'b': trigger.content.items.map(i, i.sku), 'a': size(trigger.content.items)}"),
        json!({"a": 2, "b": ["a", "b"]})
    );
    let text = value("{'z': 1, 'y': 2, 'x': {'b': 1, 'a': 2}}").to_string();
    assert_eq!(text, r#"{"x":{"a":2,"b":1},"y":2,"z":1}"#);
}

#[test]
fn whole_numbers_stay_whole() {
    let variables = json!({"n": 9_007_199_254_740_993_u64, "big": u64::MAX});
    let evaluate = |source: &str| {
        Expression::compile(source)
            .unwrap()
            .evaluate(&variables)
            .unwrap()
    };
    assert_eq!(evaluate("n + 1"), json!(9_007_199_254_740_994_u64));
    assert_eq!(evaluate("big"), json!(u64::MAX));
}

#[test]
fn what_has_no_value_is_an_error_not_a_guess() {
    let failure = |source: &str| {
        Expression::compile(source)
            .unwrap()
            .evaluate(&ticket())
            .unwrap_err()
    };
    assert!(matches!(
        failure("trigger.content.missing"),
        Error::Evaluate { .. }
    ));
    assert!(matches!(failure("nobody"), Error::Evaluate { .. }));
    assert!(matches!(
        failure("trigger.content.ticket_id + 1"),
        Error::Evaluate { .. }
    ));
    assert!(matches!(failure("1 / 0"), Error::Evaluate { .. }));
    assert!(matches!(failure("1.0 / 0.0"), Error::NotJson { .. }));
    assert_eq!(
        Expression::compile("trigger.subject")
            .unwrap()
            .evaluate_bool(&ticket()),
        Err(Error::Type {
            expected: "a boolean",
            found: "a string"
        })
    );
    assert_eq!(
        Expression::compile("1").unwrap().evaluate(&json!([1])),
        Err(Error::Variables)
    );
}

#[test]
fn text_that_is_not_cel_is_refused_when_compiled() {
    for source in ["", "a +", "a b", "'open", "a ? b"] {
        assert!(
            matches!(Expression::compile(source), Err(Error::Parse { .. })),
            "{source:?}"
        );
    }
    assert_eq!(
        Expression::compile(&"a".repeat(MAX_LENGTH + 1)).unwrap_err(),
        Error::TooLong { limit: MAX_LENGTH }
    );
}

#[test]
fn deep_nesting_is_an_error_and_no_crash() {
    let deep = format!("{}1{}", "(".repeat(2_000), ")".repeat(2_000));
    assert!(Expression::compile(&deep).is_err());
    let lists = format!("{}1{}", "[".repeat(2_000), "]".repeat(2_000));
    assert!(Expression::compile(&lists).is_err());
}

#[test]
fn tells_which_variables_it_needs() {
    let expression =
        Expression::compile("trigger.kind == 'x' && steps.a.output == trigger.subject").unwrap();
    assert_eq!(expression.variables(), ["steps", "trigger"]);
}

#[test]
fn an_expression_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Expression>();
}
