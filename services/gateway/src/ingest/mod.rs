//! The way of one delivery: limits, authenticity, JSON, idempotency, policy,
//! log, answer. Each stage is a file; here is their order.

mod append;
pub(crate) mod batch;
mod describe;
mod idempotency;
pub(crate) mod json;
pub(crate) mod limit;
mod policy;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use domain_delivery::{AuthMethod, DeliveryAccepted, DeliveryRefused, RefusalReason, RequestLine};
use domain_kernel::{Actor, CorrelationId, Timestamp};
use platform_http::axum::extract::rejection::PathRejection;
use platform_http::axum::extract::{Path, Request, State};
use platform_http::axum::http::request::Parts;
use platform_http::axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use platform_http::axum::response::{IntoResponse, Response};
use platform_http::{AccessFields, ClientIdentity, Problem};
use platform_webhooks::{
    Authentic, Certificate, MalformedKey, NotAuthentic, Presented, Reason, Scheme, Verifier,
    challenge, document, is_form, verification,
};
use sha2::{Digest, Sha256};
use tracing::{debug, error, info, warn};

pub(crate) use append::{Appender, Context, NotAppended};
pub(crate) use idempotency::{Answer, Idempotency, Remembering};
pub(crate) use policy::Policies;

use crate::gateway::Gateway;
use crate::limits::{Admitted, Told};
use crate::refusals::Refusal;
use crate::sources::KnownSource;
use crate::{metrics, problems};
use describe::{describe, quarantine};
use idempotency::{BodyDigest, Claim};

const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// A body that was read, with its digest.
struct Delivered {
    body: Bytes,
    digest: BodyDigest,
    /// Lowercase hexadecimal.
    sha256: String,
    content_type: String,
    traceparent: Option<String>,
    at: Timestamp,
}

/// How a delivery ended well.
enum Accepted {
    First(Answer),
    Repeat(Answer),
    /// The sender asks whether the URL is ours; that is no delivery.
    Challenge(String),
}

/// `POST /hooks/{source_id}`
#[utoipa::path(
    post, path = "/hooks/{source_id}", operation_id = "deliver", tag = "webhooks",
    summary = "Deliver a webhook",
    description = "The sender signs the raw body by the scheme its source is registered with. Answered with 202 only when the delivery is durable. Sending the same delivery again is always safe.",
    params(
        ("source_id" = String, Path),
        ("webhook-id" = Option<String>, Header, description = "standard-webhooks: the same for every attempt of one delivery."),
        ("webhook-timestamp" = Option<String>, Header, description = "standard-webhooks: seconds since 1970."),
        ("webhook-signature" = Option<String>, Header, description = "standard-webhooks: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`. Other schemes have headers of their own."),
    ),
    request_body(content_type = "application/json", content = serde_json::Value, description = "Any JSON, in the strict sense."),
    responses(
        (status = 200, description = "Slack's challenge, given back.", content_type = "text/plain", body = String),
        (status = 202, description = "Durable. A repeat of the same delivery gets the same answer.", body = crate::openapi::shape::Accepted,
            headers(("Idempotent-Replayed" = Option<String>, description = "`true` when it had been accepted before."))),
    )
)]
pub(crate) async fn ingest(
    State(gateway): State<Arc<Gateway>>,
    source_id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    // An id that does not decode names no source, and is answered like one.
    let source_id = source_id.map(|Path(id)| id).unwrap_or_default();
    let mut told = Told::default();
    let mut access = AccessFields::default();
    let outcome = handle(&gateway, &source_id, request, &mut told, &mut access).await;
    let mut response = match outcome {
        Ok(Accepted::First(answer)) => {
            metrics::answered("accepted");
            accepted(&answer).into_response()
        }
        Ok(Accepted::Repeat(answer)) => {
            metrics::answered("replayed");
            let mut response = accepted(&answer).into_response();
            response
                .headers_mut()
                .insert(REPLAYED, HeaderValue::from_static("true"));
            response
        }
        Ok(Accepted::Challenge(challenge)) => {
            metrics::answered("challenge");
            (StatusCode::OK, challenge).into_response()
        }
        Err(problem) => {
            metrics::answered(problem.slug);
            problem.into_response()
        }
    };
    response.extensions_mut().insert(told);
    response.extensions_mut().insert(access);
    response
}

fn accepted(answer: &Answer) -> impl IntoResponse + use<> {
    (
        StatusCode::ACCEPTED,
        [(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        )],
        answer.body().clone(),
    )
}

async fn handle(
    gateway: &Gateway,
    source_id: &str,
    request: Request,
    told: &mut Told,
    access: &mut AccessFields,
) -> Result<Accepted, Problem> {
    let (parts, body) = request.into_parts();
    gateway.look()?;
    let (delivered, _admitted) = receive(gateway, &parts, body).await?;
    let known = match authenticate(gateway, source_id, &parts, &delivered)? {
        Asked::Delivery(known) => known,
        Asked::Verification => return Ok(Accepted::Challenge(String::new())),
    };
    let Known {
        source,
        authentic,
        request,
    } = *known;
    access.tenant = Some(source.tenant.as_str().to_owned());
    access.source = Some(source.id.clone());
    let charged = gateway
        .rate_limits
        .authenticated(&source, &authentic.key_id, told);
    charged.await?;
    if let Some(challenge) = challenge_of(&source, &delivered) {
        return Ok(Accepted::Challenge(challenge));
    }
    let parsed = read(&source, &delivered)?;

    let correlation = CorrelationId::of_delivery(&source.id, &authentic.delivery_id);
    access.correlation = Some(correlation.to_string());
    let claimed = Instant::now();
    let ticket = match gateway
        .idempotency
        .claim(correlation, delivered.digest)
        .await
    {
        Ok(Claim::First(ticket)) => ticket,
        Ok(Claim::Repeat(answer)) => return Ok(Accepted::Repeat(answer)),
        Ok(Claim::OtherBody) => return Err(problems::other_body()),
        Ok(Claim::InFlight) => return Err(problems::in_flight()),
        Err(error) => {
            warn!(error = %error, "delivery turned away");
            return Err(Problem::unavailable(
                "nothing was remembered; send the same delivery again",
            ));
        }
    };
    metrics::claimed(claimed.elapsed());

    let description = describe(&source.source, authentic.event_type.as_deref(), &parsed);
    let quarantine = quarantine(&source.source, &description, &parsed);
    let decided = gateway
        .policies
        .decide(
            correlation,
            &source,
            &authentic,
            &description,
            quarantine,
            policy::Body {
                parsed,
                bytes: delivered.body.len(),
            },
        )
        .map_err(|error| {
            error!(source.id = %source.id, error = %error, cause = ?error, "policy could not be asked");
            metrics::policy_unanswered();
            problems::policy_unavailable()
        })?;

    let context = Context {
        tenant: source.tenant.clone(),
        correlation,
        at: platform_telemetry::now(),
        traceparent: delivered.traceparent,
        actor: Some(Actor::new(format!("source:{}", source.id))),
    };
    let appended = Instant::now();
    if !decided.allow {
        let decision_id = decided.decision_id;
        let refused = DeliveryRefused {
            source_id: source.id.clone(),
            space: source.space.clone(),
            reason: RefusalReason::PolicyDenied,
            detail: decided.reasons.join("; "),
            body_sha256: delivered.sha256,
            body_size: delivered.body.len() as u64,
        };
        gateway
            .appender
            .denied(&context, decided, refused)
            .await
            .map_err(|error| not_appended(gateway, error))?;
        info!(correlation.id = %correlation, decision.id = %decision_id, "delivery denied by policy");
        return Err(problems::policy_denied(decision_id));
    }

    let answer = Answer::new(correlation, &authentic.delivery_id, &gateway.public_url);
    let delivery = DeliveryAccepted {
        source_id: source.id.clone(),
        delivery_id: authentic.delivery_id,
        space: source.space.clone(),
        scheme: source.source.scheme.clone(),
        auth: auth_method(authentic.auth),
        key_id: Some(authentic.key_id),
        content_type: delivered.content_type,
        body: delivered.body.into(),
        body_sha256: delivered.sha256,
        signed_headers: authentic.headers,
        event_type: description.event_type,
        subject: description.subject,
        request,
        source_version: Some(source.version),
        quarantine,
    };
    gateway
        .appender
        .accepted(&context, decided, delivery)
        .await
        .map_err(|error| not_appended(gateway, error))?;
    metrics::appended(appended.elapsed());
    ticket.answered(&answer);
    match quarantine {
        Some(why) => {
            metrics::quarantined(why.as_str());
            warn!(correlation.id = %correlation, source.id = %source.id, quarantine.reason = why.as_str(), "delivery accepted into quarantine");
        }
        None => {
            // The access log has a line of it.
            debug!(correlation.id = %correlation, source.id = %source.id, "delivery accepted");
        }
    }
    Ok(Accepted::First(answer))
}

/// Reads the body, and takes a place to work at it.
async fn receive(
    gateway: &Gateway,
    parts: &Parts,
    body: platform_http::axum::body::Body,
) -> Result<(Delivered, Admitted), Problem> {
    let declared = limit::declared_length(&parts.headers);
    if declared.is_some_and(|length| length > gateway.max_body_bytes as u64) {
        return Err(Problem::too_large(gateway.max_body_bytes));
    }
    let content_type = limit::content_type(&parts.headers)?.to_owned();
    let (body, admitted) = gateway.receive(body, declared).await?;
    let digest: [u8; 32] = Sha256::digest(&body).into();
    let delivered = Delivered {
        body,
        digest: BodyDigest::of_bytes(digest),
        sha256: hex::encode(digest),
        content_type,
        traceparent: traceparent(&parts.headers),
        at: platform_telemetry::now(),
    };
    Ok((delivered, admitted))
}

/// The trace to record: that of the request's span, which continues the
/// sender's; or, without telemetry, the sender's own if it is well-formed.
fn traceparent(headers: &HeaderMap) -> Option<String> {
    platform_telemetry::current_traceparent().or_else(|| {
        let theirs = headers.get("traceparent")?.to_str().ok()?;
        platform_telemetry::valid_traceparent(theirs).then(|| theirs.to_owned())
    })
}

/// What a request turned out to be.
enum Asked {
    Delivery(Box<Known>),
    /// Marketing Cloud tells an administrator how to confirm the URL.
    Verification,
}

/// A delivery whose sender is known.
struct Known {
    source: Arc<KnownSource>,
    authentic: Authentic,
    /// Kept where it is among what was signed.
    request: Option<RequestLine>,
}

/// Finds out who sent it. A source nobody knows costs the same work and gets
/// the same answer as a wrong signature.
fn authenticate(
    gateway: &Gateway,
    source_id: &str,
    parts: &Parts,
    delivered: &Delivered,
) -> Result<Asked, Problem> {
    let found = gateway.sources.get(source_id);
    let verifier = match &found {
        Some(source) => source.verifier.as_ref(),
        None => gateway.sources.nobody(Scheme::guess(&parts.headers)),
    };
    let signs_uri = verifier.is_some_and(Verifier::signs_uri);
    let uri = if signs_uri {
        format!("{}{}", gateway.public_url, parts.uri)
    } else {
        String::new()
    };
    let identity = parts.extensions.get::<ClientIdentity>();
    let presented = Presented {
        method: parts.method.as_str(),
        uri: &uri,
        headers: &parts.headers,
        body: &delivered.body,
        body_sha256: &delivered.sha256,
        now: delivered.at,
        tolerance_seconds: Some(gateway.timestamp_tolerance_seconds),
        certificate: identity.map(|identity| Certificate {
            subject: &identity.subject,
            sha256: identity.sha256,
        }),
    };
    let Some(source) = &found else {
        // Nobody's key explains nothing, so this is always a refusal.
        let _ = verifier.map(|verifier| verifier.authenticate(&presented));
        metrics::signature_failure("unknown-source");
        return Err(problems::not_authentic());
    };
    let Some(verifier) = verifier else {
        return Err(problems::source_unusable());
    };
    if signs_uri && gateway.public_url.is_empty() {
        warn!(source.id = %source.id, "the source's scheme signs the URI: gateway.public_url has to be set");
        return Err(problems::source_unusable());
    }
    let refused = match verifier.authenticate(&presented) {
        Ok(authentic) => {
            let request = signs_uri.then(|| RequestLine {
                method: parts.method.to_string(),
                uri,
            });
            return Ok(Asked::Delivery(Box::new(Known {
                source: source.clone(),
                authentic,
                request,
            })));
        }
        Err(refused) => refused,
    };
    if !source.complete {
        return Err(problems::source_unusable());
    }
    refuse(gateway, source.clone(), delivered, refused)
}

/// Says no, and notes why for the operator.
fn refuse(
    gateway: &Gateway,
    source: Arc<KnownSource>,
    delivered: &Delivered,
    NotAuthentic { reason, detail, .. }: NotAuthentic,
) -> Result<Asked, Problem> {
    metrics::signature_failure(reason.as_str());
    let reason = match reason {
        Reason::BadSignature => RefusalReason::BadSignature,
        Reason::StaleTimestamp => RefusalReason::StaleTimestamp,
        // The sender is known, so it may know what was wrong.
        Reason::MalformedIdempotencyKey => {
            return Err(Problem::bad_request(MalformedKey.to_string()));
        }
    };
    let asked = source
        .verifier
        .as_ref()
        .and_then(Verifier::scheme)
        .filter(|scheme| *scheme == Scheme::SfmcEns)
        .and_then(|_| verification(&delivered.body));
    let detail = match &asked {
        Some(asked) => format!(
            "no delivery: confirm callback {} with key {}",
            asked.callback_id, asked.verification_key
        ),
        None => detail.to_owned(),
    };
    gateway.refusals.push(Refusal {
        source,
        reason,
        detail,
        body_sha256: delivered.sha256.clone(),
        body_bytes: delivered.body.len(),
        at: delivered.at,
        traceparent: delivered.traceparent.clone(),
    });
    match asked {
        Some(_) => Ok(Asked::Verification),
        None => Err(problems::not_authentic()),
    }
}

/// What the body says.
fn read(source: &KnownSource, delivered: &Delivered) -> Result<serde_json::Value, Problem> {
    let forms = source.verifier.as_ref().is_some_and(Verifier::reads_forms);
    if is_form(&delivered.content_type) && !forms {
        return Err(limit::not_read());
    }
    document(
        &source.source.scheme,
        &delivered.content_type,
        &delivered.body,
        json::parse,
    )
    .map_err(problems::not_json)
}

/// What Slack wants back when a URL is registered with it, once it is known to
/// be Slack that asks.
fn challenge_of(source: &KnownSource, delivered: &Delivered) -> Option<String> {
    match source.verifier.as_ref()?.scheme() {
        Some(Scheme::Slack) => challenge(&delivered.body),
        _ => None,
    }
}

pub(crate) const fn auth_method(auth: platform_webhooks::Auth) -> AuthMethod {
    use platform_webhooks::Auth;
    match auth {
        Auth::HmacSha256 => AuthMethod::HmacSha256,
        Auth::HmacSha1 => AuthMethod::HmacSha1,
        Auth::HmacSha512 => AuthMethod::HmacSha512,
        Auth::Sha256 => AuthMethod::Sha256,
        Auth::Ed25519 => AuthMethod::Ed25519,
        Auth::Bearer => AuthMethod::Bearer,
        Auth::Mtls => AuthMethod::Mtls,
    }
}

fn not_appended(gateway: &Gateway, error: NotAppended) -> Problem {
    match error {
        NotAppended::TooLarge(_) => Problem::too_large(gateway.max_body_bytes)
            .detail("the body grows beyond what the log takes as one record"),
        error => {
            warn!(error = %error, cause = ?error, "delivery not appended");
            gateway.log_trouble.notify_one();
            problems::log_unavailable()
        }
    }
}

/// How long a delivery may be in flight, given the deadline of its append.
pub(crate) fn in_flight_ttl(append_deadline: Duration) -> Duration {
    append_deadline * 2 + Duration::from_secs(5)
}
