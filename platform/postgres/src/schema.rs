use crate::{Client, Error};

/// The Postgres schema of the read model, decider or executor called `name`:
/// dashes become underscores.
pub fn schema_name(name: &str) -> String {
    name.replace('-', "_")
}

/// A name as a quoted SQL identifier.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What tells one creation of a schema from the next, and how much of it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incarnation {
    id: String,
    tables: i64,
}

/// Reads the incarnation of a schema; none when the schema or its bookkeeping
/// tables do not exist. A dropped table shows as a difference.
///
/// # Errors
/// When Postgres cannot be asked.
pub async fn incarnation(client: &Client, schema: &str) -> Result<Option<Incarnation>, Error> {
    let sql = format!(
        "SELECT id, (SELECT count(*) FROM pg_catalog.pg_class c
                     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                     WHERE n.nspname = $1 AND c.relkind IN ('r', 'p'))
         FROM {}.mesh_incarnation",
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
                    tables: row.try_get(1)?,
                })
            })
            .transpose(),
        Err(error) if error.is_schema_missing() => Ok(None),
        Err(error) => Err(error),
    }
}
