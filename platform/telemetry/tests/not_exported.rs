//! A trace goes on through a process that exports nothing, and its events are
//! nobody's.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use platform_config::Settings;
use platform_telemetry::{current_traceparent, init, span_with_parent, valid_traceparent};
use tracing::Level;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// One test, because a process has one logger.
#[test]
fn spans_have_ids_and_events_are_for_the_log_alone() {
    let mut settings = Settings::defaults().unwrap().telemetry;
    settings.log_filter = "warn".to_owned();
    settings.otlp_endpoint = None;
    let _guard = init(&settings, "test").unwrap();

    let span = tracing::info_span!("step");
    span_with_parent(&span, Some(PARENT));
    let carried = span.in_scope(current_traceparent).unwrap();
    assert!(valid_traceparent(&carried));
    assert_eq!(carried[..36], PARENT[..36], "the same trace");
    assert_ne!(carried, PARENT, "another span");

    let fresh = tracing::info_span!("fresh");
    let own = fresh.in_scope(current_traceparent).unwrap();
    assert!(valid_traceparent(&own));
    let inner = fresh.in_scope(|| tracing::info_span!("inner").in_scope(current_traceparent));
    assert_eq!(inner.unwrap()[..36], own[..36], "spans within it as well");

    assert!(tracing::event_enabled!(Level::WARN), "the log wants it");
    assert!(!tracing::event_enabled!(Level::INFO), "nobody wants it");
    assert!(tracing::span_enabled!(Level::INFO), "spans are not logs");
}
