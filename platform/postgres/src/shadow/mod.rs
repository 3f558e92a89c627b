//! A schema that is built beside the live one of the same name, to be put in
//! its place or to be looked at.
//!
//! A shadow is called `<live>__<name>`. It has all that a live schema has, its
//! own checkpoints included, and two tables more: what it is to become, and
//! which keys and indexes were set aside so that it fills faster.

mod keys;
mod swap;

pub use keys::restore_keys;
pub use swap::{drop_retired, swap_in};

use tokio_postgres::GenericClient;

use crate::schema::quoted;
use crate::{Error, Migration, Pool, drop_schema, migrate};

const SEPARATOR: &str = "__";

/// The name under which a schema that was replaced waits to be dropped.
pub const RETIRED: &str = "retired";

/// The schema of the shadow called `name`.
pub fn shadow_schema(live: &str, name: &str) -> String {
    format!("{live}{SEPARATOR}{}", name.replace('-', "_"))
}

/// How far a shadow has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its keys are set aside: rows are added unguarded, at most once each.
    Filling,
    /// Its keys are being made: nothing is added.
    Keying,
    /// Its keys are there: rows are guarded as in a live schema.
    Keyed,
    /// It holds what it was to hold.
    Whole,
}

impl Phase {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Filling => "filling",
            Self::Keying => "keying",
            Self::Keyed => "keyed",
            Self::Whole => "whole",
        }
    }

    fn from_str(text: &str) -> Self {
        match text {
            "keying" => Self::Keying,
            "keyed" => Self::Keyed,
            "whole" => Self::Whole,
            _ => Self::Filling,
        }
    }
}

/// What a shadow is to become, as it was said when it was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowState {
    /// Of the tables and of how they are filled; another one means that what is
    /// there is of no use.
    pub fingerprint: String,
    /// Up to where, in the words of whoever asked.
    pub until: String,
    /// Up to where, as JSON; for whoever goes on.
    pub ends: String,
    pub phase: Phase,
}

/// A shadow that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub schema: String,
    /// Without the name of the live schema.
    pub name: String,
    /// None for a schema that was replaced, or whose beginning was interrupted.
    pub state: Option<ShadowState>,
    pub bytes: i64,
}

/// The state of a shadow; none when it is not there, or its beginning was
/// interrupted.
///
/// # Errors
/// When Postgres fails.
pub async fn shadow_state(pool: &Pool, schema: &str) -> Result<Option<ShadowState>, Error> {
    let client = pool.get().await?;
    read_state(&**client, schema).await
}

async fn read_state(
    client: &impl GenericClient,
    schema: &str,
) -> Result<Option<ShadowState>, Error> {
    let sql = format!(
        "SELECT fingerprint, until, ends, phase FROM {}.mesh_shadow",
        quoted(schema)
    );
    match client.query_opt(&sql, &[]).await.map_err(Error::from) {
        Ok(Some(row)) => Ok(Some(ShadowState {
            fingerprint: row.try_get(0)?,
            until: row.try_get(1)?,
            ends: row.try_get(2)?,
            phase: Phase::from_str(row.try_get(3)?),
        })),
        Ok(None) => Ok(None),
        Err(error) if error.is_schema_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Creates a shadow anew, dropping what was there under its name. In phase
/// `Filling`, the keys of the tables `written_once` and all plain indexes are
/// set aside. The caller holds the exclusive lock of the shadow.
///
/// # Errors
/// When Postgres fails or a migration does.
pub async fn begin_shadow(
    pool: &Pool,
    schema: &str,
    migrations: &[Migration],
    state: &ShadowState,
    written_once: &[&str],
) -> Result<(), Error> {
    drop_schema(pool, schema).await?;
    migrate(pool, schema, migrations).await?;
    let mut client = pool.get().await?;
    let tx = client.transaction().await?;
    let name = quoted(schema);
    tx.batch_execute(&format!(
        "CREATE TABLE {name}.mesh_shadow (
             only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
             fingerprint text NOT NULL,
             until text NOT NULL,
             ends text NOT NULL,
             phase text NOT NULL
         );
         CREATE TABLE {name}.mesh_shadow_key (
             ordinal integer PRIMARY KEY,
             -- For a primary key: its table and columns.
             table_name text,
             columns text[],
             constraint_name text,
             statement text NOT NULL
         );"
    ))
    .await?;
    if state.phase == Phase::Filling {
        keys::set_aside(&tx, schema, written_once).await?;
    }
    tx.execute(
        &format!(
            "INSERT INTO {name}.mesh_shadow (fingerprint, until, ends, phase) VALUES ($1, $2, $3, $4)"
        ),
        &[
            &state.fingerprint,
            &state.until,
            &state.ends,
            &state.phase.as_str(),
        ],
    )
    .await?;
    tx.commit().await?;
    Ok(())
}

/// Notes that a shadow has come to `phase`.
///
/// # Errors
/// When Postgres fails.
pub async fn mark_shadow(
    client: &impl GenericClient,
    schema: &str,
    phase: Phase,
) -> Result<(), Error> {
    client
        .execute(
            &format!("UPDATE {}.mesh_shadow SET phase = $1", quoted(schema)),
            &[&phase.as_str()],
        )
        .await?;
    Ok(())
}

/// The shadows of `live`, and what is left of replaced ones.
///
/// # Errors
/// When Postgres fails.
pub async fn list_shadows(pool: &Pool, live: &str) -> Result<Vec<Listed>, Error> {
    let client = pool.get().await?;
    let begin = format!("{live}{SEPARATOR}");
    let rows = client
        .query(
            "SELECT n.nspname,
                    coalesce(sum(pg_total_relation_size(c.oid)) FILTER (WHERE c.relkind = 'r'), 0)::int8
             FROM pg_catalog.pg_namespace n
             LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid
             WHERE starts_with(n.nspname, $1)
             GROUP BY n.nspname ORDER BY n.nspname",
            &[&begin],
        )
        .await?;
    let mut listed = Vec::with_capacity(rows.len());
    for row in rows {
        let schema: String = row.try_get(0)?;
        listed.push(Listed {
            name: schema[begin.len()..].to_owned(),
            state: read_state(&**client, &schema).await?,
            bytes: row.try_get(1)?,
            schema,
        });
    }
    Ok(listed)
}
