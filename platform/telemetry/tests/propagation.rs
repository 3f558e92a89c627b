//! A trace goes on through a process, exporting or not.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use platform_config::Settings;
use platform_telemetry::{
    current_traceparent, init, render_prometheus, span_link, span_number, span_with_parent,
    valid_traceparent,
};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// What led to work that has no one parent.
const CAUSE: &str = "00-cacacacacacacacacacacacacacacaca-dadadadadadadada-01";

/// One test, because a process has one logger.
#[test]
fn a_trace_goes_through_and_is_exported() {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = Settings::defaults().unwrap().telemetry;
    settings.log_filter = "warn".to_owned();
    settings.otlp_endpoint = Some(format!("http://{}/", collector.local_addr().unwrap()));
    let guard = init(&settings, "test").unwrap();

    let span = tracing::info_span!("step");
    span_with_parent(&span, Some(PARENT));
    let carried = span.in_scope(current_traceparent).unwrap();
    assert!(valid_traceparent(&carried));
    assert_eq!(carried[..36], PARENT[..36], "the same trace");
    assert_ne!(carried, PARENT, "another span");
    assert!(carried.ends_with("-01"), "still sampled");

    let child = span.in_scope(|| tracing::info_span!("inner"));
    let inner = child.in_scope(current_traceparent).unwrap();
    assert_eq!(inner[..36], PARENT[..36], "spans within it as well");

    span_number(&span, "a.number", 202);

    let fresh = tracing::info_span!("fresh");
    span_with_parent(&fresh, Some("nonsense"));
    let own = fresh.in_scope(current_traceparent).unwrap();
    assert_ne!(own[..36], PARENT[..36], "a malformed parent is ignored");

    let batch = tracing::info_span!("batch");
    span_link(&batch, Some(CAUSE));
    span_link(&batch, Some("nonsense"));
    let own = batch.in_scope(current_traceparent).unwrap();
    assert_ne!(own[..36], CAUSE[..36], "a link is no parent");
    assert_eq!(current_traceparent(), None);
    drop((child, span, fresh, batch));

    let (sent, received) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut connection, _) = collector.accept().unwrap();
        connection
            .set_read_timeout(Some(Duration::from_millis(500)))
            .unwrap();
        let mut request = Vec::new();
        let mut buffer = [0; 4_096];
        while let Ok(count @ 1..) = connection.read(&mut buffer) {
            request.extend_from_slice(&buffer[..count]);
        }
        let answer =
            b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        connection.write_all(answer).unwrap();
        sent.send(request).unwrap();
    });
    drop(guard);
    let request = received.recv_timeout(Duration::from_secs(20)).unwrap();
    let text = String::from_utf8_lossy(&request);
    assert!(text.starts_with("POST /v1/traces HTTP/1.1"), "{text}");
    for part in [
        "agentmesh-test",
        "step",
        "inner",
        "fresh",
        "batch",
        "a.number",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let linked = |id: &[u8]| request.windows(id.len()).any(|part| part == id);
    assert!(
        linked(&[0xca; 16]) && linked(&[0xda; 8]),
        "the link: {text}"
    );

    let metrics = render_prometheus();
    assert!(
        metrics.contains("agentmesh_build_info{role=\"test\""),
        "{metrics}"
    );
    assert!(
        init(&settings, "test").is_err(),
        "a second logger is refused, not a panic"
    );
}
