//! A bad filter is named.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[test]
fn a_bad_filter_is_named() {
    let mut settings = platform_config::Settings::defaults().unwrap().telemetry;
    settings.log_filter = "mesh=loud".to_owned();
    let error = platform_telemetry::init(&settings, "test").unwrap_err();
    assert!(
        error.to_string().contains("telemetry.log_filter"),
        "{error}"
    );
}
