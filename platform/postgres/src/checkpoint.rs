use tokio_postgres::Transaction;
use tokio_postgres::types::Type;

use crate::schema::quoted;
use crate::{Error, Pool, lock};

/// One topic partition as its owner claimed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    pub topic: String,
    pub partition: i32,
    /// Where to read on.
    pub next_offset: i64,
    /// Grows with every claim; a commit under an older one is refused.
    pub generation: i64,
}

/// What a read after an interrupted commit shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    Committed,
    NotCommitted,
    /// Somebody else has claimed the partition since; whether the commit came
    /// through before that is for the new owner to know.
    Fenced,
}

/// The checkpoints of one schema, on behalf of one owner.
///
/// The owner's name is part of the guard beside the generation: a schema that
/// was dropped and created again counts generations anew, and an owner from
/// before must not pass for the one after.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    schema: String,
    table: String,
    owner: String,
}

impl Checkpoints {
    /// `owner` is unique to one run of one process.
    pub fn new(schema: &str, owner: &str) -> Self {
        Self {
            schema: schema.to_owned(),
            table: format!("{}.mesh_checkpoint", quoted(schema)),
            owner: owner.to_owned(),
        }
    }

    pub fn schema(&self) -> &str {
        &self.schema
    }

    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Becomes the owner of the given topic partitions and learns where to read on.
    /// Whoever owned them before can no longer commit.
    ///
    /// # Errors
    /// `Locked` while a rebuild is under way; otherwise when Postgres fails.
    pub async fn claim(
        &self,
        pool: &Pool,
        partitions: &[(&str, i32)],
    ) -> Result<Vec<Claimed>, Error> {
        let mut client = pool.get().await?;
        let tx = client.transaction().await?;
        if !lock::try_share(&*tx, &self.schema).await? {
            return Err(Error::Locked {
                schema: self.schema.clone(),
            });
        }
        let claimed = self.claim_in(&tx, partitions).await?;
        tx.commit().await?;
        Ok(claimed)
    }

    /// As `claim`, for whoever holds the exclusive lock of the schema.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn claim_locked(
        &self,
        pool: &Pool,
        partitions: &[(&str, i32)],
    ) -> Result<Vec<Claimed>, Error> {
        let mut client = pool.get().await?;
        let tx = client.transaction().await?;
        let claimed = self.claim_in(&tx, partitions).await?;
        tx.commit().await?;
        Ok(claimed)
    }

    async fn claim_in(
        &self,
        tx: &Transaction<'_>,
        partitions: &[(&str, i32)],
    ) -> Result<Vec<Claimed>, Error> {
        let mut sorted = partitions.to_vec();
        sorted.sort_unstable();
        let (topics, numbers): (Vec<&str>, Vec<i32>) = sorted.into_iter().unzip();
        let rows = tx
            .query(
                &format!(
                    "INSERT INTO {table} AS c (topic, partition, next_offset, generation, owner)
                     SELECT t, p, 0, 1, $3
                     FROM unnest($1::text[], $2::int4[]) AS u (t, p)
                     ON CONFLICT (topic, partition) DO UPDATE
                     SET generation = c.generation + 1, owner = excluded.owner, updated_at = now()
                     RETURNING topic, partition, next_offset, generation",
                    table = self.table
                ),
                &[&topics, &numbers, &self.owner],
            )
            .await?;
        rows.iter()
            .map(|row| {
                Ok(Claimed {
                    topic: row.try_get(0)?,
                    partition: row.try_get(1)?,
                    next_offset: row.try_get(2)?,
                    generation: row.try_get(3)?,
                })
            })
            .collect()
    }

    /// Moves the checkpoints within the caller's transaction. Called before the
    /// rows are written: it locks the checkpoint rows, so that a claim waits for
    /// the commit and a commit never overtakes a claim.
    ///
    /// # Errors
    /// `Fenced` when any of the partitions has another owner by now.
    pub async fn advance(&self, tx: &Transaction<'_>, claims: &[Claimed]) -> Result<(), Error> {
        let columns = Columns::of(claims);
        let moved = tx
            .execute_typed(
                &format!(
                    "UPDATE {table} AS c SET next_offset = u.o, updated_at = now()
                     FROM unnest($1::text[], $2::int4[], $3::int8[], $4::int8[]) AS u (t, p, o, g)
                     WHERE c.topic = u.t AND c.partition = u.p AND c.generation = u.g AND c.owner = $5",
                    table = self.table
                ),
                &[
                    (&columns.topics, Type::TEXT_ARRAY),
                    (&columns.partitions, Type::INT4_ARRAY),
                    (&columns.offsets, Type::INT8_ARRAY),
                    (&columns.generations, Type::INT8_ARRAY),
                    (&self.owner, Type::TEXT),
                ],
            )
            .await?;
        if moved == claims.len() as u64 {
            Ok(())
        } else {
            Err(self.fenced())
        }
    }

    /// Whether all the claims still hold, without changing anything.
    ///
    /// # Errors
    /// `Fenced` when one does not; otherwise when Postgres fails.
    pub async fn verify(&self, pool: &Pool, claims: &[Claimed]) -> Result<(), Error> {
        let columns = Columns::of(claims);
        let client = pool.get().await?;
        let row = client
            .query_typed_one(
                &format!(
                    "SELECT count(*) FROM {table} AS c
                     JOIN unnest($1::text[], $2::int4[], $3::int8[]) AS u (t, p, g)
                     ON c.topic = u.t AND c.partition = u.p AND c.generation = u.g
                     WHERE c.owner = $4",
                    table = self.table
                ),
                &[
                    (&columns.topics, Type::TEXT_ARRAY),
                    (&columns.partitions, Type::INT4_ARRAY),
                    (&columns.generations, Type::INT8_ARRAY),
                    (&self.owner, Type::TEXT),
                ],
            )
            .await?;
        let held: i64 = row.try_get(0)?;
        if held == claims.len() as i64 {
            Ok(())
        } else {
            Err(self.fenced())
        }
    }

    /// Finds out what became of a commit whose answer was lost. Waits for the
    /// row locks, because the server may still be busy with that very commit.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn resolve(&self, pool: &Pool, claims: &[Claimed]) -> Result<Resolution, Error> {
        let columns = Columns::of(claims);
        let client = pool.get().await?;
        let rows = client
            .query(
                &format!(
                    "SELECT c.next_offset = u.o FROM {table} AS c
                     JOIN unnest($1::text[], $2::int4[], $3::int8[], $4::int8[]) AS u (t, p, o, g)
                     ON c.topic = u.t AND c.partition = u.p AND c.generation = u.g
                     WHERE c.owner = $5
                     FOR UPDATE OF c",
                    table = self.table
                ),
                &[
                    &columns.topics,
                    &columns.partitions,
                    &columns.offsets,
                    &columns.generations,
                    &self.owner,
                ],
            )
            .await?;
        if rows.len() != claims.len() {
            return Ok(Resolution::Fenced);
        }
        for row in &rows {
            if !row.try_get::<_, bool>(0)? {
                return Ok(Resolution::NotCommitted);
            }
        }
        Ok(Resolution::Committed)
    }

    /// How far each topic partition has come, whoever owns it.
    ///
    /// # Errors
    /// When Postgres fails or the schema does not exist.
    pub async fn positions(pool: &Pool, schema: &str) -> Result<Vec<Claimed>, Error> {
        let client = pool.get().await?;
        let rows = client
            .query(
                &format!(
                    "SELECT topic, partition, next_offset, generation FROM {}.mesh_checkpoint
                     ORDER BY topic, partition",
                    quoted(schema)
                ),
                &[],
            )
            .await?;
        rows.iter()
            .map(|row| {
                Ok(Claimed {
                    topic: row.try_get(0)?,
                    partition: row.try_get(1)?,
                    next_offset: row.try_get(2)?,
                    generation: row.try_get(3)?,
                })
            })
            .collect()
    }

    fn fenced(&self) -> Error {
        Error::Fenced {
            schema: self.schema.clone(),
        }
    }
}

/// Claims as the arrays that `unnest` takes.
struct Columns<'a> {
    topics: Vec<&'a str>,
    partitions: Vec<i32>,
    offsets: Vec<i64>,
    generations: Vec<i64>,
}

impl<'a> Columns<'a> {
    fn of(claims: &'a [Claimed]) -> Self {
        Self {
            topics: claims.iter().map(|claim| claim.topic.as_str()).collect(),
            partitions: claims.iter().map(|claim| claim.partition).collect(),
            offsets: claims.iter().map(|claim| claim.next_offset).collect(),
            generations: claims.iter().map(|claim| claim.generation).collect(),
        }
    }
}
