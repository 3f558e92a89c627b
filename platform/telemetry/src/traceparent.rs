//! W3C Trace Context, level 1: the `traceparent` header.

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The `traceparent` of the current span; none outside of any span, or where
/// telemetry is not set up.
pub fn current_traceparent() -> Option<String> {
    let context = tracing::Span::current().context();
    let span = context.span();
    let span = span.span_context();
    span.is_valid().then(|| {
        format!(
            "00-{}-{}-{:02x}",
            span.trace_id(),
            span.span_id(),
            span.trace_flags().to_u8() & TraceFlags::SAMPLED.to_u8()
        )
    })
}

/// Makes `span` go on where `traceparent` left off. Must be called before the
/// span is entered. A missing or malformed one is ignored, as the
/// specification asks: the span then starts a trace of its own.
pub fn span_with_parent(span: &tracing::Span, traceparent: Option<&str>) {
    if let Some(parent) = traceparent.and_then(parse) {
        // Fails where telemetry is not set up or the span is filtered out.
        let _ = span.set_parent(Context::new().with_remote_span_context(parent));
    }
}

/// Links `span` to the span that `traceparent` names: work that several others
/// led to has no one parent. A missing or malformed one is ignored.
pub fn span_link(span: &tracing::Span, traceparent: Option<&str>) {
    if let Some(cause) = traceparent.and_then(parse) {
        span.add_link(cause);
    }
}

/// Notes a number on `span` for whoever collects traces. The log does not see it:
/// a field that is recorded later has it write all fields of the span again.
pub fn span_number(span: &tracing::Span, name: &'static str, number: i64) {
    span.set_attribute(name, number);
}

/// Whether `text` is a well-formed `traceparent`.
pub fn valid_traceparent(text: &str) -> bool {
    parse(text).is_some()
}

fn parse(text: &str) -> Option<SpanContext> {
    // A later version may have more fields after these, behind a dash.
    let bytes = text.as_bytes();
    let version = hex(bytes.get(..2)?)?;
    let extended = version > 0 && bytes.get(55) == Some(&b'-');
    if version == 0xff || (bytes.len() != 55 && !extended) {
        return None;
    }
    for dash in [2, 35, 52] {
        (bytes.get(dash)? == &b'-').then_some(())?;
    }
    let trace = TraceId::from(hex(bytes.get(3..35)?)?);
    let span = SpanId::from(u64::try_from(hex(bytes.get(36..52)?)?).ok()?);
    let flags = u8::try_from(hex(bytes.get(53..55)?)?).ok()?;
    let flags = TraceFlags::new(flags) & TraceFlags::SAMPLED;
    let context = SpanContext::new(trace, span, flags, true, TraceState::default());
    context.is_valid().then_some(context)
}

/// Lower-case hexadecimal only: the specification refuses the rest.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0_u128, |number, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_good_one_is_read() {
        let context = parse(GOOD).unwrap();
        assert_eq!(
            context.trace_id().to_string(),
            "0af7651916cd43dd8448eb211c80319c"
        );
        assert_eq!(context.span_id().to_string(), "b7ad6b7169203331");
        assert!(context.is_sampled() && context.is_remote());
        assert!(valid_traceparent(&format!("01{}-more", &GOOD[2..])));
        assert!(valid_traceparent(&format!("01{}", &GOOD[2..])));
    }

    #[test]
    fn malformed_ones_are_refused() {
        for text in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01more",
            "00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",
            "00-0af7651916cd43dd8448eb211c80319é-b7ad6b7169203331-1",
        ] {
            assert!(!valid_traceparent(text), "{text}");
        }
    }

    #[test]
    fn there_is_none_without_a_span() {
        assert_eq!(current_traceparent(), None);
    }
}
