use platform_log::{Error, SchemaRegistry, subject};
use platform_testkit::{Proc, TestBed};
use schemas::{SchemaEntry, published};

/// The file that the check without a registry refuses too.
const PLANTED: &str = include_str!("../../../../schemas/tests/incompatible/EffectConfirmed.avsc");

fn said(bed: &TestBed, arguments: &[&str]) -> String {
    let output = Proc::command(&bed.settings)
        .unwrap()
        .args(arguments)
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_is_registered_and_an_incompatible_file_is_refused() {
    let bed = TestBed::new("cli_schemas").await.unwrap();
    let count = published().len();
    for _ in 0..2 {
        let registered = said(&bed, &["schemas", "register"]);
        assert_eq!(registered, format!("{count} schemas are registered\n"));
    }
    let checked = said(&bed, &["schemas", "check"]);
    assert_eq!(checked, format!("{count} schemas are compatible\n"));

    let registry = SchemaRegistry::new(&bed.settings.schema_registry).unwrap();
    let versions: Vec<&SchemaEntry> = published()
        .iter()
        .filter(|entry| entry.name == "EffectConfirmed")
        .collect();
    assert!(versions.len() > 1);
    let subject = subject(versions[0].topic, versions[0].name);
    for entry in versions {
        registry.lookup(&subject, entry.text).await.unwrap();
    }
    assert!(!registry.is_compatible(&subject, PLANTED).await.unwrap());
    let refused = registry.register(&subject, PLANTED).await.unwrap_err();
    assert!(matches!(refused, Error::Incompatible { .. }), "{refused:?}");
}
