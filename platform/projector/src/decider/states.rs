use std::collections::HashMap;

use domain_kernel::Metadata;
use platform_postgres::{Claimed, Migration};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::guard::{Guard, stands};
use crate::session::Halt;
use crate::world::{StateRow, StateStore};

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

/// What is about to be appended to the state topic, as the runner noted it last.
pub(crate) const INTENT: Migration = Migration {
    version: 2,
    name: "intent",
    sql: "CREATE TABLE mesh_intent (
              partition integer PRIMARY KEY,
              records text NOT NULL
          ) WITH (fillfactor = 50);
          COMMENT ON COLUMN mesh_intent.records IS 'records as JSON, bytes in hexadecimal';",
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
    /// Refused as [`Halt::Fenced`] when `own`, the claim of their partition, no longer
    /// held when they were read.
    ///
    /// Without that, an owner that was superseded could decide on a state that its
    /// successor wrote, between two events of one decision, and its event would
    /// stand where the second of them belongs.
    pub(crate) async fn load<D: StateStore>(
        &mut self,
        store: &D,
        own: &Claimed,
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
        let rows = store.load(&missing).await?;
        still_owned(store, std::slice::from_ref(own)).await?;
        for row in rows {
            let (stream, entry) = read(row)?;
            self.entries.insert(stream, entry);
        }
        for stream in missing {
            self.entries
                .entry(stream.to_owned())
                .or_insert_with(|| empty(own.partition));
        }
        Ok(())
    }

    /// A copy to work on; empty for a stream that was not loaded.
    pub(crate) fn get(&self, stream: &str, partition: i32) -> Entry<S> {
        self.entries
            .get(stream)
            .cloned()
            .unwrap_or_else(|| empty(partition))
    }

    pub(crate) fn put(&mut self, stream: String, entry: Entry<S>) {
        self.entries.insert(stream, entry);
    }

    /// What changed, as the store keeps it, sorted by stream.
    pub(crate) fn rows(&self, wake_at: impl Fn(&S) -> Option<i64>) -> Result<Vec<StateRow>, Halt> {
        let mut rows = Vec::new();
        for (stream, entry) in &self.entries {
            let Some(last) = entry.last.as_ref().filter(|_| entry.dirty) else {
                continue;
            };
            rows.push(StateRow {
                stream: stream.clone(),
                partition: entry.partition,
                version: entry.version,
                state: serde_json::to_string(&entry.state).map_err(Halt::transient)?,
                last: serde_json::to_string(last).map_err(Halt::transient)?,
                wake_at: wake_at(&entry.state),
            });
        }
        // Two transactions that touch the same rows take them in the same order.
        rows.sort_unstable_by(|left, right| left.stream.cmp(&right.stream));
        Ok(rows)
    }
}

/// A stream without events.
fn empty<S: Default>(partition: i32) -> Entry<S> {
    Entry {
        partition,
        version: 0,
        state: S::default(),
        last: None,
        dirty: false,
    }
}

/// The streams of the partitions of `own` that wanted to be woken by `now`.
/// Refused as [`Halt::Fenced`] as [`States::load`] is.
pub(crate) async fn due<S: DeserializeOwned, D: StateStore>(
    store: &D,
    own: &[Claimed],
    now: i64,
    limit: i64,
) -> Result<Vec<(String, Entry<S>)>, Halt> {
    let partitions: Vec<i32> = own.iter().map(|claim| claim.partition).collect();
    let rows = store.due(&partitions, now, limit).await?;
    if !rows.is_empty() {
        still_owned(store, own).await?;
    }
    rows.into_iter().map(read).collect()
}

/// Asked after the reading: whoever claims later writes later.
async fn still_owned<D: StateStore>(store: &D, claims: &[Claimed]) -> Result<(), Halt> {
    if stands(Guard::Reading) {
        store.verify(claims).await?;
    }
    Ok(())
}

fn read<S: DeserializeOwned>(row: StateRow) -> Result<(String, Entry<S>), Halt> {
    let entry = Entry {
        partition: row.partition,
        version: row.version,
        // The shape of a state may change with a release; the log has what it is made of.
        state: serde_json::from_str(&row.state).map_err(Halt::stale)?,
        last: Some(serde_json::from_str(&row.last).map_err(Halt::stale)?),
        dirty: false,
    };
    Ok((row.stream, entry))
}
