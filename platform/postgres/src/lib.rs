//! Postgres: the pool, migrations per schema, and checkpoints with an owner generation.
//!
//! Each read model, decider and executor has a Postgres schema of its own. The
//! schema holds its tables, its migration history and its checkpoints, so that
//! dropping the schema forgets everything about it at once.

mod checkpoint;
mod error;
mod lock;
mod migrate;
mod pool;
mod schema;
mod shadow;
mod table;
mod value;

pub use checkpoint::{Checkpoints, Claimed, Resolution};
pub use error::Error;
pub use lock::{ExclusiveLock, lock_exclusive, try_lock_exclusive};
pub use migrate::{Migration, drop_schema, migrate};
pub use pool::{Client, Pool};
pub use schema::{Incarnation, incarnation, schema_name, use_schema};
pub use shadow::{
    Listed, Phase, RETIRED, ShadowState, begin_shadow, drop_retired, list_shadows, mark_shadow,
    restore_keys, shadow_schema, shadow_state, swap_in,
};
pub use table::{Column, OnConflict, Table, WORTH_COPYING, or_null};
pub use tokio_postgres;
pub use value::{column, into_storable, micros, storable, timestamptz};
