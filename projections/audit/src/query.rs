use domain_kernel::{Actor, CorrelationId, EventId, TenantId, Timestamp};
use platform_postgres::{Pool, micros, tokio_postgres::Row};
use serde::Serialize;
use serde_json::Value;

use crate::{Error, causal::in_causal_order};

/// One event and where it stands on the log.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    pub event_id: EventId,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// Such as `DeliveryAccepted`.
    #[serde(rename = "type")]
    pub name: String,
    pub stream: String,
    pub version: i64,
    pub tenant: TenantId,
    pub correlation: CorrelationId,
    pub causation: Option<EventId>,
    pub at: Timestamp,
    pub source: String,
    pub traceparent: Option<String>,
    /// On whose behalf, as `key:<id>` or `source:<id>`.
    pub actor: Option<Actor>,
    /// The published fields: bodies as text or base64, secrets sealed.
    pub body: Value,
    /// Lowercase hexadecimal SHA-256 of the record's value.
    pub value_sha256: String,
}

/// Every event of one correlation, causes before what follows from them.
///
/// # Errors
/// When Postgres cannot be asked.
pub async fn by_correlation(pool: &Pool, correlation: CorrelationId) -> Result<Vec<Entry>, Error> {
    let client = pool.get().await.map_err(Error::Pool)?;
    let rows = client
        .query(&select("WHERE correlation = $1"), &[&correlation.as_uuid()])
        .await?;
    let entries = rows.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    Ok(in_causal_order(entries))
}

/// One event.
///
/// # Errors
/// When Postgres cannot be asked.
pub async fn by_id(pool: &Pool, id: EventId) -> Result<Option<Entry>, Error> {
    let client = pool.get().await.map_err(Error::Pool)?;
    let row = client
        .query_opt(&select("WHERE event_id = $1"), &[&id.as_uuid()])
        .await?;
    row.as_ref().map(entry).transpose()
}

fn select(which: &str) -> String {
    format!(
        "SELECT event_id, topic, log_partition, log_offset, type, stream, version, tenant, correlation,
                causation, recorded_at, source, traceparent, body, value_sha256, actor
         FROM audit.event {which}"
    )
}

fn entry(row: &Row) -> Result<Entry, Error> {
    let body: String = row.try_get(13)?;
    Ok(Entry {
        event_id: EventId::from_uuid(row.try_get(0)?),
        topic: row.try_get(1)?,
        partition: row.try_get(2)?,
        offset: row.try_get(3)?,
        name: row.try_get(4)?,
        stream: row.try_get(5)?,
        version: row.try_get(6)?,
        tenant: TenantId::new(row.try_get::<_, String>(7)?),
        correlation: CorrelationId::from_uuid(row.try_get(8)?),
        causation: row.try_get::<_, Option<_>>(9)?.map(EventId::from_uuid),
        at: Timestamp::from_micros(micros(row.try_get(10)?)),
        source: row.try_get(11)?,
        traceparent: row.try_get(12)?,
        actor: row.try_get::<_, Option<String>>(15)?.map(Actor::new),
        body: serde_json::from_str(&body)?,
        value_sha256: row.try_get(14)?,
    })
}
