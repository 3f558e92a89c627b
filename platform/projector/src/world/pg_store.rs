use std::sync::Arc;

use platform_postgres::tokio_postgres::types::Type;
use platform_postgres::{
    Checkpoints, Claimed, Error, Migration, Pool, Resolution, incarnation, tokio_postgres,
    use_schema,
};

use super::{StateRow, StateStore, Store, WriteError};
use crate::session::{Halt, repair};

/// Checkpoints, and rows beside them, in one schema of Postgres.
#[derive(Debug, Clone)]
pub(crate) struct PgStore {
    pub(crate) pool: Pool,
    pub(crate) checkpoints: Checkpoints,
    migrations: Arc<Vec<Migration>>,
}

impl PgStore {
    pub(crate) fn new(pool: Pool, checkpoints: Checkpoints, migrations: Vec<Migration>) -> Self {
        Self {
            pool,
            checkpoints,
            migrations: Arc::new(migrations),
        }
    }
}

impl From<Error> for WriteError {
    fn from(error: Error) -> Self {
        if error.is_data_error() || error.is_refusal() {
            Self::Values(error.into())
        } else {
            Self::Halt(error.into())
        }
    }
}

impl From<tokio_postgres::Error> for WriteError {
    fn from(error: tokio_postgres::Error) -> Self {
        Error::from(error).into()
    }
}

impl WriteError {
    /// The error of a commit: where nobody answered, it may have been carried out.
    pub(crate) fn of_commit(error: tokio_postgres::Error) -> Self {
        let error = Error::from(error);
        if error.is_ambiguous() {
            Self::Unknown(error.into())
        } else {
            error.into()
        }
    }
}

impl Store for PgStore {
    fn owner(&self) -> &str {
        self.checkpoints.owner()
    }

    async fn claim(&self, partitions: &[(&str, i32)]) -> Result<(Vec<Claimed>, String), Halt> {
        let claims = self.checkpoints.claim(&self.pool, partitions).await?;
        let client = self.pool.get().await?;
        match incarnation(&**client, self.checkpoints.schema()).await? {
            Some(found) if !found.broken => Ok((claims, found.id)),
            _ => Err(Halt::SchemaMissing),
        }
    }

    async fn verify(&self, claims: &[Claimed]) -> Result<(), Halt> {
        Ok(self.checkpoints.verify(&self.pool, claims).await?)
    }

    async fn inspect(&self, expected: Option<&str>) -> Result<(), Halt> {
        let client = self.pool.get().await?;
        match incarnation(&**client, self.checkpoints.schema()).await? {
            Some(found) if found.broken => Err(Halt::SchemaMissing),
            Some(found) if Some(found.id.as_str()) != expected => Err(Halt::Fenced),
            Some(_) => Ok(()),
            None => Err(Halt::SchemaMissing),
        }
    }

    async fn repair(&self, anew: Option<&str>) -> Result<(), Halt> {
        let schema = self.checkpoints.schema();
        repair(&self.pool, schema, &self.migrations, anew).await
    }

    async fn advance(&self, upto: &[Claimed]) -> Result<(), WriteError> {
        let mut client = self.pool.get().await?;
        let tx = client.transaction().await?;
        use_schema(&tx, self.checkpoints.schema()).await?;
        self.checkpoints.advance(&tx, upto).await?;
        tx.commit().await.map_err(WriteError::of_commit)
    }

    async fn resolve(&self, upto: &[Claimed]) -> Result<Resolution, Halt> {
        Ok(self.checkpoints.resolve(&self.pool, upto).await?)
    }
}

impl StateStore for PgStore {
    async fn load(&self, streams: &[&str]) -> Result<Vec<StateRow>, Halt> {
        let client = self.pool.get().await?;
        let rows = client
            .query_typed(
                &format!(
                    "SELECT stream, partition, version, state::text, last::text, wake_at
                     FROM \"{}\".mesh_state WHERE stream = ANY($1)",
                    self.checkpoints.schema()
                ),
                &[(&streams, Type::TEXT_ARRAY)],
            )
            .await?;
        rows.iter().map(read).collect()
    }

    async fn due(&self, partitions: &[i32], now: i64, limit: i64) -> Result<Vec<StateRow>, Halt> {
        let client = self.pool.get().await?;
        let rows = client
            .query(
                &format!(
                    "SELECT stream, partition, version, state::text, last::text, wake_at
                     FROM \"{}\".mesh_state
                     WHERE partition = ANY($1) AND wake_at <= $2
                     ORDER BY wake_at LIMIT $3",
                    self.checkpoints.schema()
                ),
                &[&partitions, &now, &limit],
            )
            .await?;
        rows.iter().map(read).collect()
    }

    async fn postpone(&self, streams: &[String], now: i64, until: i64) -> Result<(), Halt> {
        let client = self.pool.get().await?;
        client
            .execute(
                &format!(
                    "UPDATE \"{}\".mesh_state SET wake_at = $3
                     WHERE stream = ANY($1) AND wake_at <= $2",
                    self.checkpoints.schema()
                ),
                &[&streams, &now, &until],
            )
            .await?;
        Ok(())
    }

    async fn intend(&self, notes: &[(i32, String)], claims: &[Claimed]) -> Result<(), WriteError> {
        let partitions: Vec<i32> = notes.iter().map(|(partition, _)| *partition).collect();
        let records: Vec<&str> = notes.iter().map(|(_, text)| text.as_str()).collect();
        let mut client = self.pool.get().await?;
        let tx = client.transaction().await?;
        use_schema(&tx, self.checkpoints.schema()).await?;
        self.checkpoints.advance(&tx, claims).await?;
        tx.execute(
            "INSERT INTO mesh_intent (partition, records)
             SELECT * FROM unnest($1::int4[], $2::text[])
             ON CONFLICT (partition) DO UPDATE SET records = excluded.records",
            &[&partitions, &records],
        )
        .await?;
        tx.commit().await.map_err(WriteError::of_commit)
    }

    async fn intended(&self, partition: i32) -> Result<Option<String>, Halt> {
        let client = self.pool.get().await?;
        let row = client
            .query_opt(
                &format!(
                    "SELECT records FROM \"{}\".mesh_intent WHERE partition = $1",
                    self.checkpoints.schema()
                ),
                &[&partition],
            )
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    async fn save(&self, rows: &[StateRow], upto: &[Claimed]) -> Result<(), WriteError> {
        let mut client = self.pool.get().await?;
        let tx = client.transaction().await?;
        use_schema(&tx, self.checkpoints.schema()).await?;
        self.checkpoints.advance(&tx, upto).await?;
        if !rows.is_empty() {
            write_states(&tx, rows).await?;
        }
        tx.commit().await.map_err(WriteError::of_commit)
    }
}

async fn write_states(
    tx: &tokio_postgres::Transaction<'_>,
    rows: &[StateRow],
) -> Result<(), tokio_postgres::Error> {
    let streams: Vec<&str> = rows.iter().map(|row| row.stream.as_str()).collect();
    let partitions: Vec<i32> = rows.iter().map(|row| row.partition).collect();
    let versions: Vec<i64> = rows.iter().map(|row| row.version as i64).collect();
    let states: Vec<&str> = rows.iter().map(|row| row.state.as_str()).collect();
    let lasts: Vec<&str> = rows.iter().map(|row| row.last.as_str()).collect();
    let wakes: Vec<Option<i64>> = rows.iter().map(|row| row.wake_at).collect();
    tx.execute(
        "INSERT INTO mesh_state AS s (stream, partition, version, state, last, wake_at)
         SELECT u.stream, u.partition, u.version, u.state::json, u.last::json, u.wake_at
         FROM unnest($1::text[], $2::int4[], $3::int8[], $4::text[], $5::text[], $6::int8[])
              AS u (stream, partition, version, state, last, wake_at)
         ON CONFLICT (stream) DO UPDATE
         SET partition = excluded.partition, version = excluded.version,
             state = excluded.state, last = excluded.last, wake_at = excluded.wake_at
         WHERE s.version <= excluded.version",
        &[&streams, &partitions, &versions, &states, &lasts, &wakes],
    )
    .await?;
    Ok(())
}

fn read(row: &tokio_postgres::Row) -> Result<StateRow, Halt> {
    let version: i64 = row.try_get(2)?;
    Ok(StateRow {
        stream: row.try_get(0)?,
        partition: row.try_get(1)?,
        version: version as u64,
        state: row.try_get(3)?,
        last: row.try_get(4)?,
        wake_at: row.try_get(5)?,
    })
}
