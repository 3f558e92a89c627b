use domain_kernel::{CorrelationId, EventId, Space, TenantId, Timestamp};
use platform_postgres::{Pool, micros, tokio_postgres::Row};
use serde::Serialize;

use crate::Error;

const ACCEPTED: &str = "
    SELECT correlation, event_id, tenant, space, source_id, body_sha256, body_bytes,
           recorded_at, delivery_id, event_type, subject, scheme, auth, key_id, content_type
    FROM deliveries.accepted WHERE correlation = $1";

/// What a repeat is recognised by, of one delivery and of many.
const ACCEPTED_IS: &str = "
    SELECT correlation, delivery_id, body_sha256
    FROM deliveries.accepted WHERE correlation = $1";
const ACCEPTED_ARE: &str = "
    SELECT correlation, delivery_id, body_sha256
    FROM deliveries.accepted WHERE correlation = ANY($1::uuid[])";

/// What is known of one delivery. Without its body, which stays on the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delivery {
    pub correlation: CorrelationId,
    pub event_id: EventId,
    pub tenant: TenantId,
    pub space: Space,
    pub source_id: String,
    /// Lowercase hexadecimal.
    pub body_sha256: String,
    pub body_bytes: i64,
    pub recorded_at: Timestamp,
    #[serde(flatten)]
    pub status: Status,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum Status {
    Accepted {
        delivery_id: String,
        event_type: String,
        subject: Option<String>,
        scheme: String,
        auth: String,
        key_id: Option<String>,
        content_type: String,
    },
    Refused {
        /// `bad-signature`, `stale-timestamp` or `policy-denied`.
        reason: String,
        /// For the operator; not for the sender.
        detail: String,
    },
}

/// The delivery that was accepted under a correlation id. None means that this
/// read model has not seen it, which is not to say that it is not on the log.
///
/// # Errors
/// When Postgres cannot be asked.
pub async fn accepted(pool: &Pool, correlation: CorrelationId) -> Result<Option<Delivery>, Error> {
    let client = pool.get().await.map_err(Error::Pool)?;
    let statement = client.prepare_cached(ACCEPTED).await?;
    let Some(row) = client
        .query_opt(&statement, &[&correlation.as_uuid()])
        .await?
    else {
        return Ok(None);
    };
    let status = Status::Accepted {
        delivery_id: row.try_get(8)?,
        event_type: row.try_get(9)?,
        subject: row.try_get(10)?,
        scheme: row.try_get(11)?,
        auth: row.try_get(12)?,
        key_id: row.try_get(13)?,
        content_type: row.try_get(14)?,
    };
    delivery(&row, status).map(Some)
}

/// Of several deliveries those that were accepted, as correlation id, delivery
/// id and digest of the body: one question for a whole batch.
///
/// # Errors
/// When Postgres cannot be asked.
pub async fn accepted_of(
    pool: &Pool,
    correlations: &[CorrelationId],
) -> Result<Vec<(CorrelationId, String, String)>, Error> {
    let client = pool.get().await.map_err(Error::Pool)?;
    let rows = if let [only] = correlations {
        // Postgres keeps the plan of this one. That of many it makes anew each
        // time, because it takes an array it has not seen for longer than one.
        let statement = client.prepare_cached(ACCEPTED_IS).await?;
        client.query(&statement, &[&only.as_uuid()]).await?
    } else {
        let ids: Vec<_> = correlations.iter().map(CorrelationId::as_uuid).collect();
        let statement = client.prepare_cached(ACCEPTED_ARE).await?;
        client.query(&statement, &[&ids]).await?
    };
    rows.iter()
        .map(|row| {
            let id = CorrelationId::from_uuid(row.try_get(0)?);
            Ok((id, row.try_get(1)?, row.try_get(2)?))
        })
        .collect()
}

/// How far the log of deliveries has been read: each partition and its next offset.
///
/// # Errors
/// When Postgres cannot be asked, or the read model has not been set up.
pub async fn read_upto(pool: &Pool) -> Result<Vec<(i32, i64)>, Error> {
    let client = pool.get().await.map_err(Error::Pool)?;
    let rows = client
        .query(
            "SELECT partition, next_offset FROM deliveries.mesh_checkpoint
             WHERE topic = 'mesh.deliveries'",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect()
}

/// What was refused under a correlation id, in the order of the log.
///
/// # Errors
/// When Postgres cannot be asked.
pub async fn refused(pool: &Pool, correlation: CorrelationId) -> Result<Vec<Delivery>, Error> {
    let client = pool.get().await.map_err(Error::Pool)?;
    let rows = client
        .query(
            "SELECT correlation, event_id, tenant, space, source_id, body_sha256, body_bytes,
                    recorded_at, reason, detail
             FROM deliveries.refused WHERE correlation = $1 ORDER BY log_partition, log_offset",
            &[&correlation.as_uuid()],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let status = Status::Refused {
                reason: row.try_get(8)?,
                detail: row.try_get(9)?,
            };
            delivery(row, status)
        })
        .collect()
}

/// What came in under a correlation id: the accepted delivery if there is one,
/// else the latest refusal.
///
/// # Errors
/// When Postgres cannot be asked.
pub async fn by_correlation(
    pool: &Pool,
    correlation: CorrelationId,
) -> Result<Option<Delivery>, Error> {
    match accepted(pool, correlation).await? {
        Some(delivery) => Ok(Some(delivery)),
        None => Ok(refused(pool, correlation).await?.pop()),
    }
}

fn delivery(row: &Row, status: Status) -> Result<Delivery, Error> {
    Ok(Delivery {
        correlation: CorrelationId::from_uuid(row.try_get(0)?),
        event_id: EventId::from_uuid(row.try_get(1)?),
        tenant: TenantId::new(row.try_get::<_, String>(2)?),
        space: Space::new(row.try_get::<_, String>(3)?),
        source_id: row.try_get(4)?,
        body_sha256: row.try_get(5)?,
        body_bytes: row.try_get(6)?,
        recorded_at: Timestamp::from_micros(micros(row.try_get(7)?)),
        status,
    })
}
