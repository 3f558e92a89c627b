use std::pin::pin;

use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Transaction};

/// Adds rows by `COPY` in the binary format. `into` is a table with its columns,
/// `types` are theirs. Nothing is looked up on the way: a row whose key is there
/// already fails the statement.
///
/// # Errors
/// When Postgres refuses a row or is away.
pub async fn copy_rows<R>(
    tx: &Transaction<'_>,
    into: &str,
    types: &[Type],
    rows: &[R],
    values: impl for<'a> Fn(&'a R) -> Vec<&'a (dyn ToSql + Sync)>,
) -> Result<u64, Error> {
    let statement = format!("COPY {into} FROM STDIN (FORMAT binary)");
    let sink = tx.copy_in(&statement).await?;
    let mut writer = pin!(BinaryCopyInWriter::new(sink, types));
    for row in rows {
        writer.as_mut().write(&values(row)).await?;
    }
    writer.finish().await
}
