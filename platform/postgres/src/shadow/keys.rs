use futures::future::join;
use tokio_postgres::error::SqlState;
use tokio_postgres::{GenericClient, Transaction};

use super::{Phase, mark_shadow};
use crate::schema::quoted;
use crate::{Client, Error, Pool};

/// The order in which rows came, while nothing else tells it.
const ARRIVAL: &str = "mesh_arrival";

/// How a definition of an index begins.
const CREATE: &str = "CREATE INDEX ";
const CREATE_IF_MISSING: &str = "CREATE INDEX IF NOT EXISTS ";

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
    SELECT t.relname::text, k.conname::text,
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
    let mut kept: Vec<SetAside> = Vec::new();
    for row in tx.query(PRIMARY_KEYS, &[&schema, &written_once]).await? {
        let (table, constraint): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let columns: Vec<String> = row.try_get(2)?;
        let (place, index) = (format!("{name}.{}", quoted(&table)), quoted(&constraint));
        // The column tells which of two rows with one key came first; without
        // cached values, so that it counts on over several connections.
        tx.batch_execute(&format!(
            "ALTER TABLE {place} DROP CONSTRAINT {index};
             ALTER TABLE {place} ADD COLUMN {ARRIVAL} bigint GENERATED ALWAYS AS IDENTITY;"
        ))
        .await?;
        let list = list(&columns);
        kept.push(SetAside {
            statement: format!("CREATE UNIQUE INDEX IF NOT EXISTS {index} ON {place} ({list})"),
            key: Some(Key {
                table,
                columns,
                constraint,
            }),
        });
    }
    for row in tx.query(INDEXES, &[&schema]).await? {
        let (index, definition): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        tx.batch_execute(&format!("DROP INDEX {name}.{}", quoted(&index)))
            .await?;
        kept.push(SetAside {
            statement: definition.replacen(CREATE, CREATE_IF_MISSING, 1),
            key: None,
        });
    }
    for (ordinal, SetAside { statement, key }) in kept.iter().enumerate() {
        let key = key.as_ref();
        tx.execute(
            &format!(
                "INSERT INTO {name}.mesh_shadow_key
                     (ordinal, table_name, columns, constraint_name, statement)
                 VALUES ($1, $2, $3, $4, $5)"
            ),
            &[
                &i32::try_from(ordinal).unwrap_or(i32::MAX),
                &key.map(|key| &key.table),
                &key.map(|key| &key.columns),
                &key.map(|key| &key.constraint),
                statement,
            ],
        )
        .await?;
    }
    Ok(())
}

/// What was taken from a shadow while it is filled: the primary key of a table, or
/// a plain index.
struct SetAside {
    /// Makes the index, if it is not there.
    statement: String,
    key: Option<Key>,
}

struct Key {
    table: String,
    columns: Vec<String>,
    constraint: String,
}

async fn read_set_aside(
    client: &impl GenericClient,
    schema: &str,
) -> Result<(Vec<(Key, String)>, Vec<String>), Error> {
    let sql = format!(
        "SELECT statement, table_name, columns, constraint_name
         FROM {}.mesh_shadow_key ORDER BY ordinal",
        quoted(schema)
    );
    let (mut keys, mut indexes) = (Vec::new(), Vec::new());
    for row in client.query(&sql, &[]).await? {
        let statement: String = row.try_get(0)?;
        match row.try_get(1)? {
            Some(table) => {
                let key = Key {
                    table,
                    columns: row.try_get(2)?,
                    constraint: row.try_get(3)?,
                };
                keys.push((key, statement));
            }
            None => indexes.push(statement),
        }
    }
    Ok((keys, indexes))
}

/// Makes the keys and indexes of a shadow that was filled without them: those of the
/// keys on one connection, the plain ones on another. Of rows with one key the one
/// that came first stays, as a guard would have had it. Answers how many others there
/// were to this call. Begun again, it goes on with what is missing; nothing may be written
/// meanwhile.
///
/// # Errors
/// When Postgres fails. What the rows cannot have an index over is a data error
/// ([`Error::is_data_error`]): such a shadow is filled with its keys in place.
pub async fn restore_keys(pool: &Pool, schema: &str) -> Result<u64, Error> {
    let name = quoted(schema);
    // The first of them leaves the pool, where there may be one place only.
    let mut beside = pool.get_detached().await?;
    let mut client = pool.get().await?;
    let (keys, indexes) = read_set_aside(&**client, schema).await?;
    let (repeated, made) = join(
        make_keys(&mut client, &name, &keys),
        make(&mut beside, &indexes),
    )
    .await;
    let repeated = repeated?;
    made?;
    let tx = client.transaction().await?;
    for (key, _) in &keys {
        let (place, index) = (place(&name, key), quoted(&key.constraint));
        tx.batch_execute(&format!(
            "ALTER TABLE {place} ADD CONSTRAINT {index} PRIMARY KEY USING INDEX {index};
             ALTER TABLE {place} DROP COLUMN {ARRIVAL};"
        ))
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

/// A transaction each: one that deletes rows holds nothing that the plain indexes
/// wait for while it waits for them.
async fn make_keys(
    client: &mut Client,
    schema: &str,
    keys: &[(Key, String)],
) -> Result<u64, Error> {
    let mut repeated = 0;
    for (key, statement) in keys {
        match make(client, std::slice::from_ref(statement)).await {
            Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
                repeated += drop_repeated(&***client, &place(schema, key), &key.columns).await?;
                make(client, std::slice::from_ref(statement)).await?;
            }
            made => made?,
        }
    }
    Ok(repeated)
}

async fn make(
    client: &mut tokio_postgres::Client,
    statements: &[String],
) -> Result<(), tokio_postgres::Error> {
    let tx = client.transaction().await?;
    tx.batch_execute("SET LOCAL maintenance_work_mem = '256MB'")
        .await?;
    for statement in statements {
        tx.batch_execute(statement).await?;
    }
    tx.commit().await
}

fn place(schema: &str, key: &Key) -> String {
    format!("{schema}.{}", quoted(&key.table))
}

fn list(columns: &[String]) -> String {
    let columns: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
    columns.join(", ")
}

async fn drop_repeated(
    client: &impl GenericClient,
    place: &str,
    columns: &[String],
) -> Result<u64, Error> {
    let list = list(columns);
    let same = columns
        .iter()
        .map(|column| quoted(column))
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
