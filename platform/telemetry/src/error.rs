/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("setting `telemetry.log_filter` is not a list of directives: {filter}")]
    LogFilter {
        filter: String,
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    #[error("no exporter can be made for `telemetry.otlp_endpoint`")]
    Exporter {
        #[source]
        source: opentelemetry_otlp::ExporterBuildError,
    },
    #[error("the thread that exports spans cannot be started")]
    ExportThread {
        #[source]
        source: std::io::Error,
    },
    #[error("logging is already set up in this process")]
    AlreadySetUp {
        #[source]
        source: tracing_subscriber::util::TryInitError,
    },
}
