use tokio_postgres::GenericClient;

use crate::{Error, Pool};

/// Keeps the live runners of one schema from claiming partitions. Released when
/// dropped, because the connection that holds it closes.
#[derive(Debug)]
pub struct ExclusiveLock {
    _session: deadpool_postgres::ClientWrapper,
}

/// Waits until no claim is under way and then keeps all others out.
///
/// # Errors
/// When Postgres is not reachable.
pub async fn lock_exclusive(pool: &Pool, schema: &str) -> Result<ExclusiveLock, Error> {
    let session = pool.get_detached().await?;
    session
        .query_one(
            "SELECT pg_advisory_lock(hashtextextended($1, 0))",
            &[&name(schema)],
        )
        .await?;
    Ok(ExclusiveLock { _session: session })
}

/// As `lock_exclusive`, but answers none at once when somebody else holds the lock.
///
/// # Errors
/// When Postgres is not reachable.
pub async fn try_lock_exclusive(pool: &Pool, schema: &str) -> Result<Option<ExclusiveLock>, Error> {
    let session = pool.get_detached().await?;
    let row = session
        .query_one(
            "SELECT pg_try_advisory_lock(hashtextextended($1, 0))",
            &[&name(schema)],
        )
        .await?;
    let locked: bool = row.try_get(0)?;
    Ok(locked.then_some(ExclusiveLock { _session: session }))
}

/// Takes the shared side until the end of the transaction; false when a rebuild
/// holds the exclusive side.
pub(crate) async fn try_share(client: &impl GenericClient, schema: &str) -> Result<bool, Error> {
    let row = client
        .query_one(
            "SELECT pg_try_advisory_xact_lock_shared(hashtextextended($1, 0))",
            &[&name(schema)],
        )
        .await?;
    Ok(row.try_get(0)?)
}

fn name(schema: &str) -> String {
    format!("agentmesh/owner/{schema}")
}
