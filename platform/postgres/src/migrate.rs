use crate::schema::{count_tables, quoted};
use crate::{Error, Pool};

/// One step of a schema. Immutable once released: a change is a new version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// Counted from 1.
    pub version: u32,
    /// A short name in snake case.
    pub name: &'static str,
    /// Statements; unqualified names mean the schema being migrated.
    pub sql: &'static str,
}

/// The tables every schema has, beside those of its migrations.
const BOOKKEEPING: &str = "
CREATE TABLE IF NOT EXISTS mesh_checkpoint (
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    generation bigint NOT NULL,
    owner text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS mesh_incarnation (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    id text NOT NULL,
    tables bigint NOT NULL
);
INSERT INTO mesh_incarnation (id, tables) VALUES (gen_random_uuid()::text, 0) ON CONFLICT DO NOTHING;
";

/// Brings `schema` to its newest version: creates it when missing and applies
/// the migrations not yet applied, with the search path set to it. Several
/// callers at once are serialised by an advisory lock.
///
/// # Errors
/// When Postgres is not reachable, a statement fails, or an applied migration
/// differs from the one given.
pub async fn migrate(pool: &Pool, schema: &str, migrations: &[Migration]) -> Result<(), Error> {
    let failed = |source| Error::Migrate {
        schema: schema.to_owned(),
        source,
    };
    let steps = migrations
        .iter()
        .map(|step| {
            refinery::Migration::unapplied(&format!("V{}__{}", step.version, step.name), step.sql)
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;

    // The session ends with the connection, and with it the lock and the search path.
    let mut session = pool.get_detached().await?;
    session
        .query_one(
            "SELECT pg_advisory_lock(hashtextextended($1, 0))",
            &[&format!("agentmesh/migrate/{schema}")],
        )
        .await?;
    let client: &mut tokio_postgres::Client = &mut session;
    let before = count_tables(client, schema).await?;
    client
        .batch_execute(&format!(
            "SET client_min_messages TO warning;
             CREATE SCHEMA IF NOT EXISTS {name};
             SET search_path TO {name};
             {BOOKKEEPING}",
            name = quoted(schema)
        ))
        .await?;
    if !steps.is_empty() {
        let mut runner = refinery::Runner::new(&steps);
        runner.set_migration_table_name("mesh_migration");
        runner.run_async(client).await.map_err(failed)?;
    }
    // Added to, not set: a table that is missing today must stay noticed.
    let added = count_tables(client, schema).await? - before;
    client
        .execute(
            "UPDATE mesh_incarnation SET tables = tables + $1::int8 WHERE $1::int8 <> 0",
            &[&added],
        )
        .await?;
    Ok(())
}

/// Drops a schema with all its tables. The caller holds the exclusive lock.
///
/// # Errors
/// When Postgres is not reachable or refuses.
pub async fn drop_schema(pool: &Pool, schema: &str) -> Result<(), Error> {
    let client = pool.get().await?;
    client
        .batch_execute(&format!("DROP SCHEMA IF EXISTS {} CASCADE", quoted(schema)))
        .await?;
    Ok(())
}
