use axum::http::header;
use axum::response::{IntoResponse, Response};
use platform_config::Settings;
use tokio_util::sync::CancellationToken;

use crate::{Error, Limits, Readiness, listen, serve};

/// Serves `/healthz`, `/readyz` and `/metrics` until `shutdown`, apart from the
/// port that strangers reach.
///
/// # Errors
/// When the address is taken or a certificate cannot be used.
pub async fn serve_ops(
    settings: &Settings,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let telemetry = &settings.telemetry;
    let listener = listen(
        "ops",
        telemetry.ops_listen,
        &telemetry.tls,
        settings,
        &readiness,
    )?;
    let limits = Limits {
        connections: 64,
        ..Limits::of(&settings.http)
    };
    serve(
        "ops",
        listener,
        readiness.metrics_router(),
        limits,
        shutdown,
    )
    .await
}

pub(crate) async fn metrics() -> Response {
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        platform_telemetry::render_prometheus(),
    )
        .into_response()
}
