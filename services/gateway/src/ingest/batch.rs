//! `POST /hooks/{source_id}/batch`: many deliveries in one body, under one
//! signature. Each is a delivery of its own, with its own id, decision and
//! result; together they cost one check, one question to each store, and one
//! wait for the log.

use std::sync::Arc;

use bytes::Bytes;
use domain_delivery::{DeliveryAccepted, DeliveryRefused, RefusalReason, cloud_event_id};
use domain_kernel::{Actor, CorrelationId};
use platform_http::axum::Json;
use platform_http::axum::extract::rejection::PathRejection;
use platform_http::axum::extract::{Path, Request, State};
use platform_http::axum::http::request::Parts;
use platform_http::axum::http::{HeaderMap, StatusCode, header};
use platform_http::axum::response::{IntoResponse, Response};
use platform_http::{AccessFields, Problem};
use platform_webhooks::Authentic;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tracing::{error, info, warn};

use super::append::Context;
use super::describe::{describe, quarantine};
use super::idempotency::{Answer, BodyDigest, Claim};
use super::{
    Asked, Delivered, Known, auth_method, authenticate, json, limit, not_appended, traceparent,
};
use crate::gateway::Gateway;
use crate::limits::{Admitted, Told};
use crate::sources::KnownSource;
use crate::{metrics, problems};

/// Beside the signed headers of each delivery: the digest of the whole body.
const BATCH: &str = "mesh-batch-sha256";

/// How the deliveries lie in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One JSON value a line.
    Lines,
    /// The JSON array of CloudEvents' batched mode.
    CloudEvents,
}

/// One delivery of the batch.
pub(crate) struct Item<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) delivery_id: String,
    /// What the item's own envelope says happened.
    event_type: Option<String>,
    pub(crate) parsed: Value,
}

/// `POST /hooks/{source_id}/batch`
#[utoipa::path(
    post, path = "/hooks/{source_id}/batch", operation_id = "deliver_batch", tag = "webhooks",
    summary = "Deliver many webhooks in one body",
    description = "One signature covers the whole body. Each event is a delivery of its own, with a result of its own; a batch may be sent again as a whole.",
    params(("source_id" = String, Path)),
    request_body(content(
        (String = "application/x-ndjson"),
        (Vec<crate::openapi::shape::CloudEvent> = "application/cloudevents-batch+json"),
    )),
    responses(
        (status = 202, description = "All events are durable.", body = crate::openapi::shape::Batch),
        (status = 207, description = "Some events were refused; those that were not are durable.", body = crate::openapi::shape::Batch),
    )
)]
pub(crate) async fn batch(
    State(gateway): State<Arc<Gateway>>,
    source_id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let source_id = source_id.map(|Path(id)| id).unwrap_or_default();
    let mut told = Told::default();
    let mut access = AccessFields::default();
    let outcome = handle(&gateway, &source_id, request, &mut told, &mut access).await;
    let mut response = match outcome {
        Ok(response) => response,
        Err(problem) => {
            metrics::answered(problem.slug);
            problem.into_response()
        }
    };
    response.extensions_mut().insert(told);
    response.extensions_mut().insert(access);
    response
}

async fn handle(
    gateway: &Gateway,
    source_id: &str,
    request: Request,
    told: &mut Told,
    access: &mut AccessFields,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    gateway.look()?;
    let (form, delivered, _admitted) = receive(gateway, &parts, body).await?;
    let Asked::Delivery(known) = authenticate(gateway, source_id, &parts, &delivered)? else {
        return Err(problems::not_authentic());
    };
    let Known {
        source,
        mut authentic,
        ..
    } = *known;
    // Each delivery of it has a correlation of its own.
    access.tenant = Some(source.tenant.as_str().to_owned());
    access.source = Some(source.id.clone());
    // A batch is one request to the limits: how much it may hold has a limit of its own.
    let charged = gateway
        .rate_limits
        .authenticated(&source, &authentic.key_id, told);
    charged.await?;
    // Tells whoever proves deliveries again that the signature was over more.
    authentic
        .headers
        .push((BATCH.to_owned(), delivered.sha256.clone()));
    let limit = gateway.batch_max_events;
    let items = match form {
        Form::Lines => lines(&delivered.body, &authentic, limit)?,
        Form::CloudEvents => cloud_events(&delivered.body, limit)?,
    };
    let results = take_in(gateway, &source, &authentic, &delivered, items).await?;
    let count = |status: &str| {
        let of_status = results.iter().filter(|result| result["outcome"] == status);
        of_status.count()
    };
    let (accepted, replayed) = (count("accepted"), count("replayed"));
    let refused = results.len() - accepted - replayed;
    info!(source.id = %source.id, batch.accepted = accepted, batch.replayed = replayed, batch.refused = refused, "batch handled");
    let status = if refused == 0 {
        StatusCode::ACCEPTED
    } else {
        StatusCode::MULTI_STATUS
    };
    let answer = json!({
        "batch_id": authentic.delivery_id,
        "accepted": accepted,
        "replayed": replayed,
        "refused": refused,
        "items": results,
    });
    Ok((status, Json(answer)).into_response())
}

async fn receive(
    gateway: &Gateway,
    parts: &Parts,
    body: platform_http::axum::body::Body,
) -> Result<(Form, Delivered, Admitted), Problem> {
    let declared = limit::declared_length(&parts.headers);
    if declared.is_some_and(|length| length > gateway.max_body_bytes as u64) {
        return Err(Problem::too_large(gateway.max_body_bytes));
    }
    let form = form(&parts.headers)?;
    let (body, admitted) = gateway.receive(body, declared).await?;
    let digest: [u8; 32] = Sha256::digest(&body).into();
    let delivered = Delivered {
        body,
        digest: BodyDigest::of_bytes(digest),
        sha256: hex::encode(digest),
        content_type: match form {
            Form::Lines => "application/json".to_owned(),
            Form::CloudEvents => "application/cloudevents+json".to_owned(),
        },
        traceparent: traceparent(&parts.headers),
        at: platform_telemetry::now(),
    };
    Ok((form, delivered, admitted))
}

pub(crate) fn form(headers: &HeaderMap) -> Result<Form, Problem> {
    let unsupported = || {
        Problem::unsupported_media_type(
            "send application/x-ndjson or application/cloudevents-batch+json, without Content-Encoding",
        )
    };
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(unsupported());
    }
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(unsupported());
    };
    let essence = value.to_str().unwrap_or_default().split(';').next();
    match essence
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
        .as_str()
    {
        "application/x-ndjson" | "application/jsonl" => Ok(Form::Lines),
        "application/cloudevents-batch+json" => Ok(Form::CloudEvents),
        _ => Err(unsupported()),
    }
}

/// The lines that are not empty. A line's id is the batch's and its number, so
/// that a batch that is sent again has the same deliveries in it.
pub(crate) fn lines<'a>(
    body: &'a Bytes,
    authentic: &Authentic,
    limit: usize,
) -> Result<Vec<Item<'a>>, Problem> {
    let mut items = Vec::new();
    for (number, line) in body.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        if items.len() == limit {
            return Err(problems::batch_too_long(limit));
        }
        let number = number + 1;
        let parsed = json::parse(line)
            .map_err(|error| problems::not_json(format!("line {number}: {error}")))?;
        items.push(Item {
            bytes: line,
            delivery_id: format!("{}/{number}", authentic.delivery_id),
            event_type: None,
            parsed,
        });
    }
    match items.as_mut_slice() {
        [] => return Err(problems::not_json("the batch is empty")),
        // The same bytes under the same signature are a delivery on their own as
        // well: sent to both addresses, it is still one.
        [only] => only.delivery_id.clone_from(&authentic.delivery_id),
        _ => {}
    }
    Ok(items)
}

/// The events of a CloudEvents batch. `source` and `id` together name an event,
/// wherever and how often it is sent.
pub(crate) fn cloud_events(body: &Bytes, limit: usize) -> Result<Vec<Item<'_>>, Problem> {
    let raw: Vec<&RawValue> = serde_json::from_slice(body)
        .map_err(|error| problems::not_json(format!("not an array of events: {error}")))?;
    if raw.len() > limit {
        return Err(problems::batch_too_long(limit));
    }
    if raw.is_empty() {
        return Err(problems::not_json("the batch is empty"));
    }
    let mut items = Vec::with_capacity(raw.len());
    for (index, event) in raw.into_iter().enumerate() {
        let bytes = event.get().as_bytes();
        let parsed = json::parse(bytes)
            .map_err(|error| problems::not_json(format!("event {index}: {error}")))?;
        let attribute = |name: &str| {
            parsed
                .get(name)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty() && text.len() <= 512)
                .map(str::to_owned)
        };
        let named = (
            attribute("id"),
            attribute("source"),
            attribute("type"),
            attribute("specversion"),
        );
        let (Some(id), Some(source), event_type @ Some(_), Some(version)) = named else {
            return Err(problems::not_json(format!(
                "event {index} lacks id, source, type or specversion"
            )));
        };
        if version != "1.0" {
            return Err(problems::not_json(format!(
                "event {index} is not of specversion 1.0"
            )));
        }
        items.push(Item {
            bytes,
            delivery_id: cloud_event_id(&source, &id),
            event_type,
            parsed,
        });
    }
    Ok(items)
}

/// Claims, judges and appends all of them; says what became of each.
async fn take_in(
    gateway: &Gateway,
    source: &Arc<KnownSource>,
    authentic: &Authentic,
    delivered: &Delivered,
    items: Vec<Item<'_>>,
) -> Result<Vec<Value>, Problem> {
    let mut keys = Vec::with_capacity(items.len());
    for item in &items {
        let digest: [u8; 32] = Sha256::digest(item.bytes).into();
        let id = CorrelationId::of_delivery(&source.id, &item.delivery_id);
        keys.push((id, BodyDigest::of_bytes(digest), digest));
    }
    let asked: Vec<_> = keys.iter().map(|(id, digest, _)| (*id, *digest)).collect();
    let claims = gateway
        .idempotency
        .claim_all(&asked)
        .await
        .map_err(|error| {
            warn!(error = %error, "batch turned away");
            Problem::unavailable("nothing was remembered; send the same batch again")
        })?;
    let mut results = Vec::with_capacity(items.len());
    let mut records = Vec::with_capacity(items.len() * 2);
    let mut tickets = Vec::new();
    for (index, ((item, claim), (correlation, _, digest))) in
        items.into_iter().zip(claims).zip(keys).enumerate()
    {
        let ticket = match claim {
            Claim::First(ticket) => ticket,
            Claim::Repeat(answer) => {
                results.push(taken(index, "replayed", &answer));
                continue;
            }
            Claim::OtherBody => {
                results.push(refused(index, &item.delivery_id, problems::other_body()));
                continue;
            }
            Claim::InFlight => {
                results.push(refused(index, &item.delivery_id, problems::in_flight()));
                continue;
            }
        };
        let description = describe(&source.source, item.event_type.as_deref(), &item.parsed);
        let quarantine = quarantine(&source.source, &description, &item.parsed);
        let decided = gateway.policies.decide(
            correlation,
            source,
            authentic,
            &description,
            quarantine,
            super::policy::Body {
                parsed: item.parsed,
                bytes: item.bytes.len(),
            },
        );
        let decided = match decided {
            Ok(decided) => decided,
            Err(error) => {
                error!(source.id = %source.id, error = %error, cause = ?error, "policy could not be asked");
                metrics::policy_unanswered();
                let problem = problems::policy_unavailable();
                results.push(refused(index, &item.delivery_id, problem));
                continue;
            }
        };
        let context = Context {
            tenant: source.tenant.clone(),
            correlation,
            at: delivered.at,
            traceparent: delivered.traceparent.clone(),
            actor: Some(Actor::new(format!("source:{}", source.id))),
        };
        let sha256 = hex::encode(digest);
        let encoded = if decided.allow {
            let answer = Answer::new(correlation, &item.delivery_id, &gateway.public_url);
            let delivery = DeliveryAccepted {
                source_id: source.id.clone(),
                delivery_id: item.delivery_id,
                space: source.space.clone(),
                scheme: source.source.scheme.clone(),
                auth: auth_method(authentic.auth),
                key_id: Some(authentic.key_id.clone()),
                content_type: delivered.content_type.clone(),
                body: item.bytes.to_vec(),
                body_sha256: sha256,
                signed_headers: authentic.headers.clone(),
                event_type: description.event_type,
                subject: description.subject,
                // The signature stands for the batch and not for a part of it.
                request: None,
                source_version: None,
                quarantine,
            };
            results.push(taken(index, "accepted", &answer));
            tickets.push((ticket, answer));
            gateway
                .appender
                .encode_accepted(&context, decided, delivery)
        } else {
            let problem = problems::policy_denied(decided.decision_id);
            results.push(refused(index, &item.delivery_id, problem));
            let delivery = DeliveryRefused {
                source_id: source.id.clone(),
                space: source.space.clone(),
                reason: RefusalReason::PolicyDenied,
                detail: decided.reasons.join("; "),
                body_sha256: sha256,
                body_size: item.bytes.len() as u64,
            };
            gateway.appender.encode_denied(&context, decided, delivery)
        };
        records.extend(encoded.map_err(|error| not_appended(gateway, error))?);
    }
    // One wait for all. When it fails, every ticket is given back, and the whole
    // batch may be sent again: what was appended has the same ids then.
    gateway
        .appender
        .append_all(records)
        .await
        .map_err(|error| not_appended(gateway, error))?;
    for (ticket, answer) in tickets {
        metrics::answered("accepted");
        ticket.answered(&answer);
    }
    Ok(results)
}

fn taken(index: usize, outcome: &str, answer: &Answer) -> Value {
    let mut result: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    result["index"] = index.into();
    result["outcome"] = outcome.into();
    result["status"] = StatusCode::ACCEPTED.as_u16().into();
    result
}

fn refused(index: usize, delivery_id: &str, problem: Problem) -> Value {
    metrics::answered(problem.slug);
    json!({
        "index": index,
        "outcome": "refused",
        "status": problem.status.as_u16(),
        "delivery_id": delivery_id,
        "problem": problem.to_json(),
    })
}
