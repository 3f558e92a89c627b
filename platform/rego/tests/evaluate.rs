//! What callers rely on: answers, undefined, and that whatever fails is an error.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use platform_rego::{Bundle, Bundles, Engine, Error};
use serde_json::{Value, json};

fn bundle(text: &str) -> Bundle {
    Bundle::new(vec![("p.rego".to_owned(), text.to_owned())], json!({})).expect("compiles")
}

fn ask(bundle: &Bundle, path: &str, input: &Value) -> Option<Value> {
    Engine::evaluate(bundle, path, input)
        .expect("evaluates")
        .result
}

const PACKAGE: &str = r#"
package mesh.ingest
default allow := false
allow if input.n > 1
reasons contains "small" if not allow
amount := to_number(input.text)
twice := 1 if input.n > 0
twice := 2 if input.n > 1
weird["a key"] := 7
"#;

#[test]
fn rules_and_packages_answer() {
    let bundle = bundle(PACKAGE);
    assert_eq!(
        ask(&bundle, "mesh/ingest/allow", &json!({"n": 2})),
        Some(json!(true))
    );
    assert_eq!(
        ask(&bundle, "/mesh/ingest/allow", &json!({"n": 1})),
        Some(json!(false))
    );
    assert_eq!(
        ask(&bundle, "mesh/ingest/weird/a key", &json!({})),
        Some(json!(7))
    );
    let package = ask(&bundle, "mesh/ingest", &json!({"n": 1, "text": "3"})).unwrap();
    assert_eq!(package["allow"], json!(false));
    assert_eq!(package["reasons"], json!(["small"]));
    assert_eq!(package["amount"], json!(3));
}

#[test]
fn what_is_not_there_is_undefined() {
    let bundle = bundle(PACKAGE);
    for path in [
        "mesh/ingest/nothing",
        "mesh/other",
        "nowhere",
        "mesh/ingest/allow/deeper",
    ] {
        assert_eq!(
            ask(&bundle, path, &json!({"n": 1, "text": "3"})),
            None,
            "{path}"
        );
    }
    assert_eq!(ask(&bundle, "mesh/ingest/twice", &json!({"n": 0})), None);
}

#[test]
fn a_package_is_all_its_modules_and_what_is_below() {
    let modules = [
        ("a.rego", "package mesh.ingest\nallow if input.n > 1"),
        ("b.rego", "package mesh.ingest\nreasons contains \"two\""),
        (
            "c.rego",
            "package mesh.ingest.deeper[\"a.b\"]\nx := data.mesh.ingest.allow",
        ),
        ("empty.rego", "package nothing.here"),
    ];
    let modules = modules.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let bundle = Bundle::new(modules.to_vec(), json!({"mesh": {"limit": 3}})).unwrap();
    assert_eq!(
        ask(&bundle, "mesh/ingest", &json!({"n": 2})),
        Some(json!({"allow": true, "reasons": ["two"], "deeper": {"a.b": {"x": true}}}))
    );
    assert_eq!(
        ask(&bundle, "mesh/ingest/deeper/a.b", &json!({"n": 2})),
        Some(json!({"x": true}))
    );
    let all = ask(&bundle, "mesh", &json!({"n": 1})).unwrap();
    assert_eq!(all["limit"], 3);
    assert_eq!(all["ingest"]["reasons"], json!(["two"]));
    assert_eq!(ask(&bundle, "nothing/here", &json!({})), Some(json!({})));

    for path in [
        "agentmesh_whole_packages",
        "/agentmesh_whole_packages/package_0",
    ] {
        assert_eq!(ask(&bundle, path, &json!({"n": 2})), None, "{path}");
    }
    let reserved = "package agentmesh_whole_packages.mine\nx := 1".to_owned();
    let error = Bundle::new(vec![("r.rego".to_owned(), reserved)], json!({})).unwrap_err();
    assert!(error.to_string().contains("r.rego"), "{error}");
}

#[test]
fn an_answer_does_not_outlive_its_question() {
    let bundle = bundle(PACKAGE);
    assert_eq!(
        ask(&bundle, "mesh/ingest/allow", &json!({"n": 2})),
        Some(json!(true))
    );
    assert_eq!(
        ask(&bundle, "mesh/ingest/allow", &json!({})),
        Some(json!(false))
    );
}

/// Often enough that a thread has its own copy of a bundle, and of more bundles
/// than a thread keeps.
#[test]
fn how_often_and_of_how_many_bundles_is_asked_changes_no_answer() {
    let bundles: Vec<Bundle> = (0..70)
        .map(|n| bundle(&format!("package p\nn := {n}\nm := input.m + {n}")))
        .collect();
    for round in 0..3 {
        for (n, bundle) in bundles.iter().enumerate() {
            let answer = ask(bundle, "p", &json!({"m": round}));
            assert_eq!(answer, Some(json!({"n": n, "m": n + round})));
        }
    }
    for m in 0..120 {
        let failed = Engine::evaluate(&bundles[1], "p/m", &json!({"m": "text"}));
        assert!(failed.is_err());
        let answer = ask(&bundles[1], "p/m", &json!({"m": m}));
        assert_eq!(answer, Some(json!(m + 1)));
    }
}

#[test]
fn failing_builtins_and_conflicts_are_errors() {
    let bundle = bundle(PACKAGE);
    for (path, input) in [
        ("mesh/ingest/amount", json!({"text": "many"})),
        ("mesh/ingest", json!({"n": 1, "text": "many"})),
        ("mesh/ingest/twice", json!({"n": 2})),
    ] {
        let error = Engine::evaluate(&bundle, path, &input).expect_err(path);
        assert!(matches!(error, Error::Evaluation { .. }), "{error}");
    }
    // The thread is not spoilt by a failure.
    assert_eq!(
        ask(&bundle, "mesh/ingest/allow", &json!({"n": 2})),
        Some(json!(true))
    );
}

#[test]
fn a_slow_policy_is_given_up() {
    let bundle = bundle(
        r#"
package slow
n := count([1 | some a in numbers.range(1, 3000); some b in numbers.range(1, 3000); a + b == 0])
"#,
    );
    let started = std::time::Instant::now();
    let error = Engine::evaluate(&bundle, "slow/n", &json!({})).unwrap_err();
    assert!(matches!(error, Error::Evaluation { .. }), "{error}");
    assert!(started.elapsed().as_secs() < 5);
}

#[test]
fn a_path_is_only_ever_a_reference() {
    let bundle = bundle(PACKAGE);
    for path in ["", "/", "mesh//ingest", "mesh/ingest/", "a\nb"] {
        let error = Engine::evaluate(&bundle, path, &json!({})).unwrap_err();
        assert!(matches!(error, Error::Path { .. }), "{path:?}: {error}");
    }
    for path in [
        "mesh\"]; true #",
        "mesh.ingest.allow",
        "x\\",
        "mesh/ingest/allow; 1",
    ] {
        assert_eq!(
            ask(&bundle, path, &json!({"n": 1, "text": "3"})),
            None,
            "{path:?}"
        );
    }
}

#[test]
fn what_does_not_compile_names_its_module() {
    let error = Bundle::new(
        vec![("broken.rego".to_owned(), "package p\nallow if {".to_owned())],
        json!({}),
    )
    .unwrap_err();
    assert!(error.to_string().contains("broken.rego"), "{error}");
    assert!(matches!(error, Error::Module { .. }));

    let twice = vec![
        ("a.rego".to_owned(), "package a".to_owned()),
        ("a.rego".to_owned(), "package b".to_owned()),
    ];
    assert!(matches!(
        Bundle::new(twice, json!({})),
        Err(Error::DuplicateModule { .. })
    ));
    assert!(matches!(
        Bundle::new(Vec::new(), json!([])),
        Err(Error::Data { .. })
    ));
    let unsafe_variable = vec![("u.rego".to_owned(), "package u\nallow if x > 1".to_owned())];
    assert!(Bundle::new(unsafe_variable, json!({})).is_err());
}

#[test]
fn a_bundle_knows_what_it_defines() {
    let bundle = bundle(PACKAGE);
    assert!(bundle.defines("mesh/ingest"));
    assert!(bundle.defines("mesh/ingest/allow"));
    assert!(!bundle.defines("mesh"));
    assert!(!bundle.defines("mesh/ingesting"));
}

#[test]
fn numbers_keep_their_value() {
    let bundle = bundle("package echo\nvalue := input.value");
    for value in [
        json!(9_007_199_254_740_993_i64),
        json!(0.1),
        json!(129.90),
        json!(-0.5e-7),
    ] {
        assert_eq!(
            ask(&bundle, "echo/value", &json!({"value": value})),
            Some(value)
        );
    }
}

#[test]
fn threads_answer_alike() {
    let bundle = bundle(PACKAGE);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let bundle = &bundle;
            scope.spawn(move || {
                for n in 0..50 {
                    let expected = Some(json!(n > 1));
                    let answer = ask(bundle, "mesh/ingest/allow", &json!({"n": n}));
                    assert_eq!(answer, expected, "thread {thread}");
                }
            });
        }
    });
}

#[test]
fn a_version_is_compiled_once_broken_or_not() {
    let bundles = Bundles::default();
    let module = |text: &str| (vec![("p.rego".to_owned(), text.to_owned())], json!({}));
    let first = bundles.get("acme", "1", || module("package a")).unwrap();
    let again = bundles
        .get("acme", "1", || panic!("compiled twice"))
        .unwrap();
    assert_eq!(first.digest(), again.digest());

    assert!(bundles.get("acme", "2", || module("package")).is_err());
    assert!(
        bundles
            .get("acme", "2", || panic!("compiled twice"))
            .is_err()
    );
    assert!(bundles.get("globex", "2", || module("package b")).is_ok());
}
