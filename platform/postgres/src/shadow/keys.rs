use tokio_postgres::error::SqlState;
use tokio_postgres::{GenericClient, Transaction};

use super::{Phase, mark_shadow};
use crate::schema::quoted;
use crate::{Client, Error};

/// The order in which rows came, while nothing else tells it.
const ARRIVAL: &str = "mesh_arrival";

/// Plain indexes of the schema that no constraint rests on. A unique one stays
/// where the rows are changed by it.
const INDEXES: &str = "
    SELECT c.relname::text, pg_get_indexdef(i.indexrelid)
    FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
    JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
    WHERE n.nspname = $1 AND NOT starts_with(t.relname, 'mesh_') AND NOT i.indisunique
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = i.indexrelid)
    ORDER BY c.relname";

const PRIMARY_KEYS: &str = "
    SELECT t.relname::text, k.conname::text, pg_get_constraintdef(k.oid),
           ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u (number, place)
                 JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number
                 ORDER BY u.place)
    FROM pg_catalog.pg_constraint k
    JOIN pg_catalog.pg_class t ON t.oid = k.conrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
    WHERE n.nspname = $1 AND k.contype = 'p' AND t.relname = ANY($2::text[])
    ORDER BY t.relname";

/// Drops the indexes that only queries need, and the keys of the tables
/// `written_once`, and keeps what it takes to make them again.
pub(super) async fn set_aside(
    tx: &Transaction<'_>,
    schema: &str,
    written_once: &[&str],
) -> Result<(), Error> {
    let name = quoted(schema);
    let mut kept: Vec<(Option<String>, Vec<String>, String)> = Vec::new();
    for row in tx.query(PRIMARY_KEYS, &[&schema, &written_once]).await? {
        let (table, constraint): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let definition: String = row.try_get(2)?;
        let (place, constraint) = (format!("{name}.{}", quoted(&table)), quoted(&constraint));
        // The column tells which of two rows with one key came first; without
        // cached values, so that it counts on over several connections.
        tx.batch_execute(&format!(
            "ALTER TABLE {place} DROP CONSTRAINT {constraint};
             ALTER TABLE {place} ADD COLUMN {ARRIVAL} bigint GENERATED ALWAYS AS IDENTITY;"
        ))
        .await?;
        kept.push((
            Some(table),
            row.try_get(3)?,
            format!("ALTER TABLE {place} ADD CONSTRAINT {constraint} {definition}"),
        ));
    }
    for row in tx.query(INDEXES, &[&schema]).await? {
        let index: String = row.try_get(0)?;
        tx.batch_execute(&format!("DROP INDEX {name}.{}", quoted(&index)))
            .await?;
        kept.push((None, Vec::new(), row.try_get(1)?));
    }
    for (ordinal, (table, columns, statement)) in kept.iter().enumerate() {
        tx.execute(
            &format!(
                "INSERT INTO {name}.mesh_shadow_key (ordinal, table_name, columns, statement)
                 VALUES ($1, $2, $3, $4)"
            ),
            &[
                &i32::try_from(ordinal).unwrap_or(i32::MAX),
                table,
                columns,
                statement,
            ],
        )
        .await?;
    }
    Ok(())
}

/// Makes the keys and indexes of a shadow that was filled without them. Of rows
/// with one key the one that came first stays, as a guard would have had it.
/// Answers how many others there were.
///
/// # Errors
/// When Postgres fails. What the rows cannot have an index over is a data error
/// ([`Error::is_data_error`]): such a shadow is filled with its keys in place.
pub async fn restore_keys(client: &mut Client, schema: &str) -> Result<u64, Error> {
    let name = quoted(schema);
    let mut tx = client.transaction().await?;
    tx.batch_execute("SET LOCAL maintenance_work_mem = '256MB'")
        .await?;
    let rows = tx
        .query(
            &format!(
                "SELECT table_name, columns, statement FROM {name}.mesh_shadow_key ORDER BY ordinal"
            ),
            &[],
        )
        .await?;
    let mut repeated = 0;
    for row in &rows {
        let statement: &str = row.try_get(2)?;
        let Some(table) = row.try_get::<_, Option<&str>>(0)? else {
            tx.batch_execute(statement).await?;
            continue;
        };
        let place = format!("{name}.{}", quoted(table));
        let attempt = tx.transaction().await?;
        match attempt.batch_execute(statement).await {
            Ok(()) => attempt.commit().await?,
            Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
                attempt.rollback().await?;
                let columns: Vec<String> = row.try_get(1)?;
                repeated += drop_repeated(&*tx, &place, &columns).await?;
                tx.batch_execute(statement).await?;
            }
            Err(error) => return Err(error.into()),
        }
        tx.batch_execute(&format!("ALTER TABLE {place} DROP COLUMN {ARRIVAL}"))
            .await?;
    }
    for row in tx
        .query(
            "SELECT format('ANALYZE %I.%I', schemaname, tablename) FROM pg_catalog.pg_tables
             WHERE schemaname = $1",
            &[&schema],
        )
        .await?
    {
        tx.batch_execute(row.try_get(0)?).await?;
    }
    tx.batch_execute(&format!("DELETE FROM {name}.mesh_shadow_key"))
        .await?;
    mark_shadow(&*tx, schema, Phase::Keyed).await?;
    tx.commit().await?;
    Ok(repeated)
}

async fn drop_repeated(
    client: &impl GenericClient,
    place: &str,
    columns: &[String],
) -> Result<u64, Error> {
    let columns: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
    let list = columns.join(", ");
    let same = columns
        .iter()
        .map(|column| format!("t.{column} = d.{column}"))
        .collect::<Vec<_>>()
        .join(" AND ");
    let dropped = client
        .execute(
            &format!(
                "DELETE FROM {place} AS t
                 USING (SELECT {list}, min({ARRIVAL}) AS first FROM {place}
                        GROUP BY {list} HAVING count(*) > 1) AS d
                 WHERE {same} AND t.{ARRIVAL} > d.first"
            ),
            &[],
        )
        .await?;
    Ok(dropped)
}
