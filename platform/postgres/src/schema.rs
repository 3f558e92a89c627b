use tokio_postgres::{GenericClient, Transaction};

use crate::Error;

/// The Postgres schema of the read model, decider or executor called `name`:
/// dashes become underscores.
pub fn schema_name(name: &str) -> String {
    name.replace('-', "_")
}

/// A name as a quoted SQL identifier.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What tells one creation of a schema from the next, and whether all of it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incarnation {
    /// Differs each time the schema is created.
    pub id: String,
    /// Whether tables are missing that the migrations created.
    pub broken: bool,
}

/// Reads the incarnation of a schema; none when the schema or its bookkeeping
/// tables do not exist.
///
/// # Errors
/// When Postgres cannot be asked.
pub async fn incarnation(
    client: &impl GenericClient,
    schema: &str,
) -> Result<Option<Incarnation>, Error> {
    let sql = format!(
        "SELECT id, tables > ({COUNT_TABLES}) FROM {}.mesh_incarnation",
        quoted(schema)
    );
    match client
        .query_opt(&sql, &[&schema])
        .await
        .map_err(Error::from)
    {
        Ok(row) => row
            .map(|row| {
                Ok(Incarnation {
                    id: row.try_get(0)?,
                    broken: row.try_get(1)?,
                })
            })
            .transpose(),
        Err(error) if error.is_schema_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

const COUNT_TABLES: &str = "SELECT count(*) FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relkind IN ('r', 'p')";

/// How many tables the schema has now; 0 when it does not exist.
pub(crate) async fn count_tables(client: &impl GenericClient, schema: &str) -> Result<i64, Error> {
    let row = client.query_one(COUNT_TABLES, &[&schema]).await?;
    Ok(row.try_get(0)?)
}

/// Makes unqualified names mean `schema` until the end of the transaction.
///
/// # Errors
/// When Postgres fails.
pub async fn use_schema(tx: &Transaction<'_>, schema: &str) -> Result<(), Error> {
    tx.batch_execute(&format!("SET LOCAL search_path TO {}", quoted(schema)))
        .await?;
    Ok(())
}
