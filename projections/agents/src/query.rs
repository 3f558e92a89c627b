use domain_kernel::{TenantId, Timestamp};
use domain_registry::ResourceKind;
use platform_postgres::{Pool, micros, storable, tokio_postgres::Row};
use serde::Serialize;
use serde_json::Value;

use crate::Error;

/// A registered resource.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Resource {
    pub kind: String,
    pub id: String,
    pub tenant: TenantId,
    pub version: i64,
    pub retired: bool,
    /// As published, secrets sealed; none once retired.
    pub definition: Option<Value>,
    pub recorded_at: Timestamp,
}

/// The resources of a tenant that are not retired, by kind and id; of one kind or of all.
///
/// # Errors
/// When Postgres cannot be asked.
pub async fn list(
    pool: &Pool,
    tenant: &TenantId,
    kind: Option<ResourceKind>,
) -> Result<Vec<Resource>, Error> {
    let client = pool.get().await.map_err(Error::Pool)?;
    let rows = client
        .query(
            &select(
                "WHERE tenant = $1 AND NOT retired AND ($2::text IS NULL OR kind = $2)
                 ORDER BY kind, id",
            ),
            &[&storable(tenant.as_str()), &kind.map(ResourceKind::as_str)],
        )
        .await?;
    rows.iter().map(resource).collect()
}

/// One resource, retired or not.
///
/// # Errors
/// When Postgres cannot be asked.
pub async fn get(pool: &Pool, kind: ResourceKind, id: &str) -> Result<Option<Resource>, Error> {
    let client = pool.get().await.map_err(Error::Pool)?;
    let row = client
        .query_opt(
            &select("WHERE kind = $1 AND id = $2"),
            &[&kind.as_str(), &storable(id)],
        )
        .await?;
    row.as_ref().map(resource).transpose()
}

fn select(which: &str) -> String {
    format!(
        "SELECT kind, id, tenant, version, retired, definition, recorded_at
         FROM agents.resource {which}"
    )
}

fn resource(row: &Row) -> Result<Resource, Error> {
    let definition: Option<String> = row.try_get(5)?;
    Ok(Resource {
        kind: row.try_get(0)?,
        id: row.try_get(1)?,
        tenant: TenantId::new(row.try_get::<_, String>(2)?),
        version: row.try_get(3)?,
        retired: row.try_get(4)?,
        definition: definition
            .as_deref()
            .map(serde_json::from_str)
            .transpose()?,
        recorded_at: Timestamp::from_micros(micros(row.try_get(6)?)),
    })
}
