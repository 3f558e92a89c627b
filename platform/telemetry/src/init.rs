use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use platform_config::Telemetry;
use tracing_subscriber::filter::{EnvFilter, FilterExt, LevelFilter, Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::export::BoundedProcessor;
use crate::{Error, names, prometheus};

/// How long a process that ends waits for its last spans.
const FLUSH: Duration = Duration::from_secs(3);
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// The Kafka client is loud at `info`; a filter of the operator's comes after
/// these and wins.
const QUIET: &str = "librdkafka=warn,rdkafka=warn";

/// Keeps telemetry going; when dropped, what is queued is sent.
#[derive(Debug)]
#[must_use = "spans are sent only while the guard lives"]
pub struct Guard {
    provider: SdkTracerProvider,
}

impl Drop for Guard {
    fn drop(&mut self) {
        // A collector that is away is no reason to end badly.
        let _ = self.provider.shutdown_with_timeout(FLUSH);
    }
}

/// Sets up logs, spans and metrics for the whole process, which is called
/// `agentmesh-<role>` in traces. Logs go to standard error.
///
/// # Errors
/// When the filter does not parse, the exporter cannot be made, or the process
/// already has a logger.
pub fn init(settings: &Telemetry, role: &str) -> Result<Guard, Error> {
    prometheus::handle();
    metrics::gauge!(
        names::metric::BUILD_INFO,
        "role" => role.to_owned(),
        "version" => env!("CARGO_PKG_VERSION"),
    )
    .set(1.0);

    let provider = provider(settings, role)?;
    let tracer = provider.tracer("agentmesh");
    // What nobody exports need only have ids: no times, no place in the source, and
    // none of the events that the log has written already.
    let exported = settings.otlp_endpoint.is_some();
    let kept = filter_fn(move |metadata| exported || metadata.is_span())
        .with_max_level_hint(LevelFilter::TRACE);
    let spans = tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_tracked_inactivity(exported)
        .with_threads(exported)
        .with_location(exported)
        // Whoever asks for the trace asks the span that is entered.
        .with_context_activation(exported)
        .with_filter(span_filter().and(kept));
    let logs = match settings.log_format.as_str() {
        "json" => fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(std::io::stderr)
            .with_filter(log_filter(&settings.log_filter)?)
            .boxed(),
        _ => fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .with_filter(log_filter(&settings.log_filter)?)
            .boxed(),
    };
    tracing_subscriber::registry()
        .with(logs)
        .with(spans)
        .try_init()
        .map_err(|source| Error::AlreadySetUp { source })?;
    Ok(Guard { provider })
}

fn log_filter(filter: &str) -> Result<EnvFilter, Error> {
    EnvFilter::builder()
        .parse(format!("{QUIET},{filter}"))
        .map_err(|source| Error::LogFilter {
            filter: filter.to_owned(),
            source,
        })
}

/// Spans do not depend on how much is logged: a trace must not break because
/// logs are at `warn`. The exporter's own client is left out, or each export
/// would be exported.
fn span_filter() -> Targets {
    Targets::new()
        .with_default(LevelFilter::INFO)
        .with_target("opentelemetry", LevelFilter::OFF)
        .with_target("opentelemetry_sdk", LevelFilter::OFF)
        .with_target("opentelemetry-otlp", LevelFilter::OFF)
        .with_target("hyper_util", LevelFilter::OFF)
        .with_target("reqwest", LevelFilter::OFF)
}

fn provider(settings: &Telemetry, role: &str) -> Result<SdkTracerProvider, Error> {
    let resource = Resource::builder()
        .with_service_name(format!("agentmesh-{role}"))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new(names::mesh::ROLE, role.to_owned()))
        .build();
    let builder = SdkTracerProvider::builder().with_resource(resource.clone());
    let Some(endpoint) = &settings.otlp_endpoint else {
        // Spans still have ids; what a caller sampled stays sampled.
        return Ok(builder
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOff)))
            .build());
    };
    // Fails only when another part of the process was first, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .with_timeout(EXPORT_TIMEOUT)
        .build()
        .map_err(|source| Error::Exporter { source })?;
    Ok(builder
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)))
        .with_span_processor(BoundedProcessor::start(exporter, &resource)?)
        .build())
}
