use domain_context::Neighbour;
use domain_kernel::{ContextId, CorrelationId, EventId, Json, Space, TenantId, Timestamp};
use platform_postgres::{Pool, micros, storable, tokio_postgres::Row};
use serde::Serialize;

use crate::Error;

/// A context and how it came about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Context {
    pub context_id: ContextId,
    pub event_id: EventId,
    pub tenant: TenantId,
    pub correlation: CorrelationId,
    pub space: Space,
    pub kind: String,
    pub subject: String,
    /// The delivery it came from.
    pub delivery: EventId,
    pub source_id: String,
    /// JSON.
    pub content: Json,
    pub content_sha256: String,
    pub text: String,
    pub model_digest: String,
    pub neighbour: Option<Neighbour>,
    pub subscribers: Vec<String>,
    pub recorded_at: Timestamp,
}

/// A delivery that was merged into a context.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Merge {
    pub context_id: ContextId,
    pub event_id: EventId,
    pub correlation: CorrelationId,
    pub delivery: EventId,
    pub source_id: String,
    /// JSON.
    pub content: Json,
    pub content_sha256: String,
    pub cosine: f64,
    pub exact: bool,
    pub recorded_at: Timestamp,
}

/// What became of one delivery: the context it is part of, and the merge if it
/// was merged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    /// None while a merge has been read and the context it went into has not.
    pub context: Option<Context>,
    pub merge: Option<Merge>,
}

/// One entry of a subject's history.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HistoryEntry {
    pub context_id: ContextId,
    pub correlation: CorrelationId,
    pub kind: String,
    pub recorded_at: Timestamp,
    /// JSON.
    pub content: Json,
    /// How many deliveries said the same again.
    pub merged: i64,
}

/// What became of the delivery with this correlation id; none when it has not
/// been read yet.
///
/// # Errors
/// When Postgres cannot be asked.
pub async fn by_correlation(
    pool: &Pool,
    correlation: CorrelationId,
) -> Result<Option<Found>, Error> {
    let client = pool.get().await.map_err(Error::Pool)?;
    let shared = client
        .query_opt(
            &select_shared("WHERE correlation = $1 ORDER BY log_offset LIMIT 1"),
            &[&correlation.as_uuid()],
        )
        .await?;
    if let Some(row) = shared {
        return Ok(Some(Found {
            context: Some(context(&row)?),
            merge: None,
        }));
    }
    let merged = client
        .query_opt(
            &select_merged("WHERE correlation = $1 ORDER BY log_offset LIMIT 1"),
            &[&correlation.as_uuid()],
        )
        .await?;
    drop(client);
    let Some(row) = merged else {
        return Ok(None);
    };
    let merge = merge(&row)?;
    Ok(Some(Found {
        context: by_id(pool, merge.context_id).await?,
        merge: Some(merge),
    }))
}

/// One context.
///
/// # Errors
/// When Postgres cannot be asked.
pub async fn by_id(pool: &Pool, id: ContextId) -> Result<Option<Context>, Error> {
    let client = pool.get().await.map_err(Error::Pool)?;
    let row = client
        .query_opt(&select_shared("WHERE context_id = $1"), &[&id.as_uuid()])
        .await?;
    row.as_ref().map(context).transpose()
}

/// What was merged into a context, in order.
///
/// # Errors
/// When Postgres cannot be asked.
pub async fn merges(pool: &Pool, id: ContextId) -> Result<Vec<Merge>, Error> {
    let client = pool.get().await.map_err(Error::Pool)?;
    let rows = client
        .query(
            &select_merged("WHERE context_id = $1 ORDER BY version"),
            &[&id.as_uuid()],
        )
        .await?;
    rows.iter().map(merge).collect()
}

/// What is known about a subject within a tenant's space, newest first.
///
/// # Errors
/// When Postgres cannot be asked.
pub async fn history(
    pool: &Pool,
    tenant: &TenantId,
    space: &Space,
    subject: &str,
    limit: u32,
) -> Result<Vec<HistoryEntry>, Error> {
    let client = pool.get().await.map_err(Error::Pool)?;
    let rows = client
        .query(
            "SELECT s.context_id, s.correlation, s.kind, s.recorded_at, s.content,
                    (SELECT count(*) FROM contexts.merged m WHERE m.context_id = s.context_id)
             FROM contexts.shared s
             WHERE s.tenant = $1 AND s.space = $2 AND md5(s.subject) = md5($3) AND s.subject = $3
             ORDER BY s.log_offset DESC LIMIT $4",
            &[
                &storable(tenant.as_str()),
                &storable(space.as_str()),
                &storable(subject),
                &i64::from(limit),
            ],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(HistoryEntry {
                context_id: ContextId::from_uuid(row.try_get(0)?),
                correlation: CorrelationId::from_uuid(row.try_get(1)?),
                kind: row.try_get(2)?,
                recorded_at: Timestamp::from_micros(micros(row.try_get(3)?)),
                content: Json::from_text(row.try_get::<_, String>(4)?),
                merged: row.try_get(5)?,
            })
        })
        .collect()
}

fn select_shared(which: &str) -> String {
    format!(
        "SELECT context_id, event_id, tenant, correlation, space, kind, subject, delivery, source_id,
                content, content_sha256, text, model_digest, neighbour_id, neighbour_cosine,
                neighbour_kept_apart, subscribers, recorded_at
         FROM contexts.shared {which}"
    )
}

fn select_merged(which: &str) -> String {
    format!(
        "SELECT context_id, event_id, correlation, delivery, source_id, content, content_sha256,
                cosine, exact, recorded_at
         FROM contexts.merged {which}"
    )
}

fn context(row: &Row) -> Result<Context, Error> {
    let neighbour = match (row.try_get(13)?, row.try_get(14)?, row.try_get(15)?) {
        (Some(id), Some(cosine), Some(kept_apart)) => Some(Neighbour {
            context_id: ContextId::from_uuid(id),
            cosine,
            kept_apart,
        }),
        _ => None,
    };
    let subscribers: String = row.try_get(16)?;
    Ok(Context {
        context_id: ContextId::from_uuid(row.try_get(0)?),
        event_id: EventId::from_uuid(row.try_get(1)?),
        tenant: TenantId::new(row.try_get::<_, String>(2)?),
        correlation: CorrelationId::from_uuid(row.try_get(3)?),
        space: Space::new(row.try_get::<_, String>(4)?),
        kind: row.try_get(5)?,
        subject: row.try_get(6)?,
        delivery: EventId::from_uuid(row.try_get(7)?),
        source_id: row.try_get(8)?,
        content: Json::from_text(row.try_get::<_, String>(9)?),
        content_sha256: row.try_get(10)?,
        text: row.try_get(11)?,
        model_digest: row.try_get(12)?,
        neighbour,
        subscribers: serde_json::from_str(&subscribers)?,
        recorded_at: Timestamp::from_micros(micros(row.try_get(17)?)),
    })
}

fn merge(row: &Row) -> Result<Merge, Error> {
    Ok(Merge {
        context_id: ContextId::from_uuid(row.try_get(0)?),
        event_id: EventId::from_uuid(row.try_get(1)?),
        correlation: CorrelationId::from_uuid(row.try_get(2)?),
        delivery: EventId::from_uuid(row.try_get(3)?),
        source_id: row.try_get(4)?,
        content: Json::from_text(row.try_get::<_, String>(5)?),
        content_sha256: row.try_get(6)?,
        cosine: row.try_get(7)?,
        exact: row.try_get(8)?,
        recorded_at: Timestamp::from_micros(micros(row.try_get(9)?)),
    })
}
