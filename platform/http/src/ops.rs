use std::net::SocketAddr;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use tokio_util::sync::CancellationToken;

use crate::{Error, Limits, Readiness, bind, serve};

/// Serves `/healthz`, `/readyz` and `/metrics` until `shutdown`, apart from the
/// port that strangers reach.
///
/// # Errors
/// When the address is taken.
pub async fn serve_ops(
    address: SocketAddr,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let listener = bind(address).await?;
    let limits = Limits {
        connections: 64,
        ..Limits::default()
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
