use futures::TryStreamExt;
use platform_log::partition_of;
use platform_postgres::tokio_postgres::types::Type;
use platform_postgres::tokio_postgres::{IsolationLevel, Row, Statement, Transaction};
use platform_postgres::{Pool, schema_name, use_schema};

use super::{Digest, Digested};
use crate::{Error, Failure, PgProjection};

/// How often a digest is begun again because the schema was replaced meanwhile.
const ATTEMPTS: usize = 5;

/// The digest of what a projection's tables hold, by its digest query.
///
/// # Errors
/// When Postgres fails or the query does.
pub async fn digest<P: PgProjection>(projection: &P, pool: &Pool) -> Result<Digest, Error> {
    Ok(digest_of(projection, pool).await?.whole().digest)
}

/// The digest of a live read model by partition, with the checkpoint it is of:
/// rows and checkpoint are read in one snapshot, while the runner goes on.
///
/// # Errors
/// When Postgres fails or the query does.
pub async fn digest_of<P: PgProjection>(projection: &P, pool: &Pool) -> Result<Digested, Error> {
    digest_of_schema(projection, pool, &schema_name(P::NAME)).await
}

/// As [`digest_of`], of another schema with the same tables.
///
/// # Errors
/// When Postgres fails or the query does.
pub async fn digest_of_schema<P: PgProjection>(
    projection: &P,
    pool: &Pool,
    schema: &str,
) -> Result<Digested, Error> {
    for _ in 0..ATTEMPTS {
        match snapshot(projection.digest_query(), pool, schema).await {
            Ok(Some(digested)) => return Ok(digested),
            Ok(None) => {}
            Err(error) => {
                return Err(Error::Digest {
                    name: P::NAME,
                    source: Failure::transient(error),
                });
            }
        }
    }
    Err(Error::Digest {
        name: P::NAME,
        source: Failure::transient("the schema was replaced again and again"),
    })
}

/// None when the name came to mean another schema on the way: its rows are
/// younger than the snapshot, and would be missing.
async fn snapshot(
    query: &str,
    pool: &Pool,
    schema: &str,
) -> Result<Option<Digested>, platform_postgres::Error> {
    let mut client = pool.get().await?;
    let tx = client
        .build_transaction()
        .read_only(true)
        .isolation_level(IsolationLevel::RepeatableRead)
        .start()
        .await?;
    use_schema(&tx, schema).await?;
    let before = namespace(&tx, schema).await?;
    let mut digested = Digested {
        settled: true,
        ..Digested::default()
    };
    let mut partitions = 0;
    for row in tx
        .query(
            "SELECT topic, partition, next_offset FROM mesh_checkpoint",
            &[],
        )
        .await?
    {
        let (topic, partition): (String, i32) = (row.try_get(0)?, row.try_get(1)?);
        let offsets = digested.offsets.entry(topic).or_default();
        offsets.insert(partition, row.try_get(2)?);
        partitions = partitions.max(u32::try_from(partition).unwrap_or(0) + 1);
    }
    let statement = tx.prepare(query).await?;
    let placement = Placement::of(&statement);
    {
        let none: [&str; 0] = [];
        let rows = tx.query_raw(&statement, none).await?;
        futures::pin_mut!(rows);
        while let Some(row) = rows.try_next().await? {
            digested.add(placement.partition(&row, partitions)?, row.try_get(0)?);
        }
    }
    let after = namespace(&tx, schema).await?;
    tx.commit().await?;
    Ok((before == after).then_some(digested))
}

/// Which schema the name means now. Unlike rows, names are not looked up in the
/// snapshot of the transaction.
async fn namespace(
    tx: &Transaction<'_>,
    schema: &str,
) -> Result<Option<u32>, platform_postgres::Error> {
    let row = tx
        .query_one("SELECT to_regnamespace(quote_ident($1))::oid", &[&schema])
        .await?;
    Ok(row.try_get(0)?)
}

/// What the second column of a digest query says about a row's partition.
enum Placement {
    /// There is none.
    Unsaid,
    Number,
    /// The key of the records.
    Key,
}

impl Placement {
    fn of(statement: &Statement) -> Self {
        match statement.columns().get(1).map(|column| column.type_()) {
            None => Self::Unsaid,
            Some(kind) if *kind == Type::INT4 => Self::Number,
            Some(_) => Self::Key,
        }
    }

    fn partition(
        &self,
        row: &Row,
        partitions: u32,
    ) -> Result<Option<i32>, platform_postgres::Error> {
        Ok(match self {
            Self::Unsaid => None,
            Self::Number => row.try_get(1)?,
            Self::Key => row
                .try_get::<_, Option<&str>>(1)?
                .filter(|_| partitions > 0)
                .map(|key| partition_of(key.as_bytes(), partitions)),
        })
    }
}
