use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// From 100 µs to a minute: an append takes less than a millisecond, an agent many seconds.
const SECONDS: [f64; 18] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0, 60.0,
];
const BYTES: [f64; 8] = [
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
];
const RECORDS: [f64; 8] = [1.0, 4.0, 16.0, 64.0, 256.0, 1_024.0, 4_096.0, 16_384.0];

/// How often the recorder folds samples that nobody has come to read.
const UPKEEP: Duration = Duration::from_secs(5);

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// All metrics of this process in the Prometheus text format.
pub fn render_prometheus() -> String {
    handle().render()
}

/// Sees to it that this process counts. Whoever keeps the handle of a metric calls
/// this before it is made: one that is made sooner counts nothing for ever.
pub fn install_recorder() {
    handle();
}

/// Installs the recorder once for the whole process.
pub(crate) fn handle() -> &'static PrometheusHandle {
    HANDLE.get_or_init(|| {
        let recorder = builder().build_recorder();
        let handle = recorder.handle();
        // Where a test has installed a recorder of its own, that one counts.
        if metrics::set_global_recorder(recorder).is_ok() {
            let upkept = handle.clone();
            let upkeep = std::thread::Builder::new()
                .name("metrics-upkeep".to_owned())
                .spawn(move || {
                    loop {
                        std::thread::sleep(UPKEEP);
                        upkept.run_upkeep();
                    }
                });
            if let Err(error) = upkeep {
                tracing::warn!(%error, "metrics are folded only when they are read");
            }
        }
        handle
    })
}

fn builder() -> PrometheusBuilder {
    let mut builder = PrometheusBuilder::new();
    for (suffix, buckets) in [
        ("_seconds", SECONDS.as_slice()),
        ("_bytes", BYTES.as_slice()),
        ("_records", RECORDS.as_slice()),
    ] {
        // Refused only for an empty list of buckets.
        builder = match builder.set_buckets_for_metric(Matcher::Suffix(suffix.to_owned()), buckets)
        {
            Ok(builder) => builder,
            Err(_) => PrometheusBuilder::new(),
        };
    }
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_become_buckets() {
        handle();
        metrics::histogram!("telemetry_test_seconds").record(0.003);
        metrics::counter!("telemetry_test_total").increment(2);
        let text = render_prometheus();
        assert!(
            text.contains("telemetry_test_seconds_bucket{le=\"0.005\"} 1"),
            "{text}"
        );
        assert!(text.contains("telemetry_test_total 2"), "{text}");
    }

    #[test]
    fn a_handle_that_is_kept_counts() {
        install_recorder();
        let kept = metrics::counter!("telemetry_kept_total", "label" => "value");
        kept.increment(1);
        kept.increment(1);
        let text = render_prometheus();
        assert!(
            text.contains("telemetry_kept_total{label=\"value\"} 2"),
            "{text}"
        );
    }
}
