use std::collections::HashMap;

use domain_kernel::Metadata;
use platform_postgres::{Migration, Pool, tokio_postgres};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::session::Halt;

/// The states of all streams, and when each wants to be woken. `json`, not
/// `jsonb`: a state may hold any text, U+0000 included, and must come back as
/// it was.
pub(crate) const MIGRATION: Migration = Migration {
    version: 1,
    name: "states",
    sql:
        "CREATE TABLE mesh_state (
              stream text PRIMARY KEY,
              partition integer NOT NULL,
              version bigint NOT NULL,
              state json NOT NULL,
              last json NOT NULL,
              wake_at bigint
          ) WITH (fillfactor = 70);
          COMMENT ON COLUMN mesh_state.last IS 'metadata of the last event';
          COMMENT ON COLUMN mesh_state.wake_at IS 'microseconds since 1970';
          CREATE INDEX mesh_state_due ON mesh_state (partition, wake_at) WHERE wake_at IS NOT NULL;",
};

/// One stream as the fold of its events so far.
#[derive(Debug, Clone)]
pub(crate) struct Entry<S> {
    pub(crate) partition: i32,
    pub(crate) version: u64,
    pub(crate) state: S,
    /// Of the last event; none for a stream that has none.
    pub(crate) last: Option<Metadata>,
    pub(crate) dirty: bool,
}

/// The states a batch works on.
#[derive(Debug)]
pub(crate) struct States<S> {
    entries: HashMap<String, Entry<S>>,
}

impl<S> Default for States<S> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
        }
    }
}

impl<S: Default + Clone + Serialize + DeserializeOwned + Send + Sync> States<S> {
    /// Loads those of `streams` that are not here yet; one that does not exist starts empty.
    pub(crate) async fn load(
        &mut self,
        pool: &Pool,
        schema: &str,
        partition: i32,
        streams: &[String],
    ) -> Result<(), Halt> {
        let mut missing: Vec<&str> = streams
            .iter()
            .map(String::as_str)
            .filter(|stream| !self.entries.contains_key(*stream))
            .collect();
        missing.sort_unstable();
        missing.dedup();
        if missing.is_empty() {
            return Ok(());
        }
        let client = pool.get().await?;
        let rows = client
            .query(
                &format!(
                    "SELECT stream, partition, version, state::text, last::text
                     FROM \"{schema}\".mesh_state WHERE stream = ANY($1)"
                ),
                &[&missing],
            )
            .await?;
        for row in rows {
            let (stream, entry) = read(&row)?;
            self.entries.insert(stream, entry);
        }
        for stream in missing {
            self.entries
                .entry(stream.to_owned())
                .or_insert_with(|| Entry {
                    partition,
                    version: 0,
                    state: S::default(),
                    last: None,
                    dirty: false,
                });
        }
        Ok(())
    }

    /// A copy to work on; empty for a stream that was not loaded.
    pub(crate) fn get(&self, stream: &str, partition: i32) -> Entry<S> {
        self.entries.get(stream).cloned().unwrap_or_else(|| Entry {
            partition,
            version: 0,
            state: S::default(),
            last: None,
            dirty: false,
        })
    }

    pub(crate) fn put(&mut self, stream: String, entry: Entry<S>) {
        self.entries.insert(stream, entry);
    }

    /// Writes what changed, within the transaction that moves the offsets.
    pub(crate) async fn save(
        &self,
        tx: &tokio_postgres::Transaction<'_>,
        wake_at: impl Fn(&S) -> Option<i64>,
    ) -> Result<(), Halt> {
        let mut streams = Vec::new();
        let mut partitions = Vec::new();
        let mut versions = Vec::new();
        let mut states = Vec::new();
        let mut lasts = Vec::new();
        let mut wakes: Vec<Option<i64>> = Vec::new();
        for (stream, entry) in &self.entries {
            let Some(last) = entry.last.as_ref().filter(|_| entry.dirty) else {
                continue;
            };
            streams.push(stream.as_str());
            partitions.push(entry.partition);
            versions.push(entry.version as i64);
            states.push(serde_json::to_string(&entry.state).map_err(Halt::transient)?);
            lasts.push(serde_json::to_string(last).map_err(Halt::transient)?);
            wakes.push(wake_at(&entry.state));
        }
        if streams.is_empty() {
            return Ok(());
        }
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
}

/// The streams of the given partitions that wanted to be woken by `now`.
pub(crate) async fn due<S: DeserializeOwned>(
    pool: &Pool,
    schema: &str,
    partitions: &[i32],
    now: i64,
    limit: i64,
) -> Result<Vec<(String, Entry<S>)>, Halt> {
    let client = pool.get().await?;
    let rows = client
        .query(
            &format!(
                "SELECT stream, partition, version, state::text, last::text
                 FROM \"{schema}\".mesh_state
                 WHERE partition = ANY($1) AND wake_at <= $2
                 ORDER BY wake_at LIMIT $3"
            ),
            &[&partitions, &now, &limit],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// Looks at timers that led to nothing again later, so that they do not keep
/// others from being seen. No offset moves, so a lost race only costs a look.
pub(crate) async fn postpone(
    pool: &Pool,
    schema: &str,
    streams: &[String],
    now: i64,
    until: i64,
) -> Result<(), Halt> {
    let client = pool.get().await?;
    client
        .execute(
            &format!(
                "UPDATE \"{schema}\".mesh_state SET wake_at = $3
                 WHERE stream = ANY($1) AND wake_at <= $2"
            ),
            &[&streams, &now, &until],
        )
        .await?;
    Ok(())
}

fn read<S: DeserializeOwned>(row: &tokio_postgres::Row) -> Result<(String, Entry<S>), Halt> {
    let version: i64 = row.try_get(2)?;
    let state: &str = row.try_get(3)?;
    let last: &str = row.try_get(4)?;
    let entry = Entry {
        partition: row.try_get(1)?,
        version: version as u64,
        // The shape of a state may change with a release; the log has what it is made of.
        state: serde_json::from_str(state).map_err(Halt::stale)?,
        last: Some(serde_json::from_str(last).map_err(Halt::stale)?),
        dirty: false,
    };
    Ok((row.try_get(0)?, entry))
}
