//! The span, the duration, the line in the access log and the error body of
//! every request.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use axum::body::HttpBody as _;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use metrics::{gauge, histogram};
use platform_telemetry::names::http::RESPONSE_STATUS_CODE;
use tracing::{Instrument, debug, info, info_span};

use crate::{ClientAddress, Problem};

/// A rejection's text longer than this is not worth showing.
const DETAIL_LIMIT: usize = 2_048;

/// What a handler knows of a request that the access log should say. It goes
/// into the extensions of the response. Ids only: neither bodies nor secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessFields {
    pub tenant: Option<String>,
    pub source: Option<String>,
    pub correlation: Option<String>,
}

/// One line of the access log, but for what the response tells.
struct Asked {
    server: &'static str,
    method: &'static str,
    route: String,
    client: Option<IpAddr>,
    version: axum::http::Version,
    bytes: Option<u64>,
}

/// Wraps a request in a span that continues the caller's trace, measures it, and
/// gives every answer the form that all of ours have.
pub(crate) async fn observe(server: &'static str, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = method_name(request.method());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let span = info_span!(
        "http request",
        otel.kind = "server",
        server.name = server,
        http.request.method = method,
        http.route = %route,
    );
    let traceparent = request
        .headers()
        .get("traceparent")
        .and_then(|value| value.to_str().ok());
    platform_telemetry::span_with_parent(&span, traceparent);
    let asked = Asked {
        server,
        method,
        route,
        client: request
            .extensions()
            .get()
            .map(|ClientAddress(address)| *address),
        version: request.version(),
        bytes: request.body().size_hint().exact(),
    };
    let in_flight = gauge!("http_server_active_requests", "server" => server);
    in_flight.increment(1.0);
    let answering = async { no_sniffing(errors_as_problems(next.run(request).await).await) };
    let response = answering.instrument(span.clone()).await;
    in_flight.decrement(1.0);
    let status = response.status();
    platform_telemetry::span_number(&span, RESPONSE_STATUS_CODE, status.as_u16().into());
    let took = started.elapsed();
    // Outside of the span: the line has all its fields by itself.
    log(&asked, &response, took);
    histogram!(
        "http_server_request_duration_seconds",
        "server" => server,
        "method" => method,
        "route" => asked.route,
        "status" => status_name(status),
    )
    .record(took.as_secs_f64());
    response
}

/// The path as it was matched stands for the path as it was asked for: a query
/// may hold what is nobody's business, and an id may be one's secret.
fn log(asked: &Asked, response: &Response, took: Duration) {
    let unknown = AccessFields::default();
    let fields = response.extensions().get().unwrap_or(&unknown);
    macro_rules! line {
        ($level:ident) => {
            $level!(
                target: "access",
                {
                server.name = asked.server,
                http.request.method = asked.method,
                http.route = %asked.route,
                http.response.status_code = response.status().as_u16(),
                http.request.body.bytes = asked.bytes,
                http.response.body.bytes = response.body().size_hint().exact(),
                duration_ms = took.as_secs_f64() * 1e3,
                client.address = asked.client.map(|client| client.to_string()),
                network.protocol = ?asked.version,
                tenant.id = fields.tenant,
                source.id = fields.source,
                correlation.id = fields.correlation
                },
                "request"
            )
        };
    }
    // Whoever asks for health asks every few seconds.
    if matches!(asked.route.as_str(), "/healthz" | "/readyz" | "/metrics") {
        line!(debug);
    } else {
        line!(info);
    }
}

/// Gives error answers that a layer or an extractor worded as plain text the
/// form of a problem.
async fn errors_as_problems(response: Response) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let plain = match response.headers().get(header::CONTENT_TYPE) {
        None => true,
        Some(value) => value.as_bytes().starts_with(b"text/plain"),
    };
    if !plain {
        return response;
    }
    let (parts, body) = response.into_parts();
    let detail = axum::body::to_bytes(body, DETAIL_LIMIT)
        .await
        .ok()
        .and_then(|text| String::from_utf8(text.to_vec()).ok())
        .filter(|text| !text.is_empty() && !status.is_server_error());
    let mut problem = Problem::of_status(status);
    problem.detail = detail;
    let mut answer = problem.into_response();
    for (name, value) in &parts.headers {
        if *name != header::CONTENT_TYPE && *name != header::CONTENT_LENGTH {
            answer.headers_mut().insert(name.clone(), value.clone());
        }
    }
    answer
}

/// Every answer may be shown to a person in a browser by accident; it must not
/// be taken for a page.
fn no_sniffing(mut response: Response) -> Response {
    response.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// Unknown methods are one label value, so that strangers cannot grow the metrics.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}

fn status_name(status: StatusCode) -> String {
    status.as_str().to_owned()
}
