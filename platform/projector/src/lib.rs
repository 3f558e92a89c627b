//! Runners for projections, deciders and executors: the protocol by which
//! every effect happens exactly once.
//!
//! A runner joins a consumer group. For each partition it is assigned it claims
//! an owner generation in the Postgres schema of its read model, decider or
//! executor; every commit is guarded by that generation, so that an owner that
//! lost its partition cannot commit. Whatever fails for a while (Postgres, the
//! broker, the schema registry, a fenced commit, a dropped schema) leads to the
//! same place: the batch is dropped, the runner waits, claims again and reads on
//! from the committed checkpoint. Nothing is skipped. A record that fails although
//! nothing is away is tried a few times, while only its partition waits; one that
//! never succeeds goes to `mesh.dead-letters` and the partition moves on. From
//! there it comes back to the one consumer that gave it up, by a redrive.
//!
//! Which trait to implement:
//!
//! | for | trait | run with |
//! |---|---|---|
//! | a read model in Postgres | [`PgProjection`] | [`run_projection`] |
//! | a read model elsewhere (Redis, vectors) | [`StoreProjection`] | [`run_store_projection`] |
//! | a process that decides | [`Process`] | [`run_process`] |
//! | what acts on the outside world | [`Executor`] | [`run_executor`] |

mod dead_letter;
mod decider;
mod deps;
mod digest;
mod error;
mod executor;
mod guard;
mod intake;
mod metric;
mod pg;
mod read;
mod rebuild;
mod session;
#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]
mod sim;
mod store;
mod world;

pub use dead_letter::{DeadLetter, TOPIC as DEAD_LETTERS, letter_id, redrive};
pub use decider::{Process, Rejected, migrate_process, request_metadata, run_process};
pub use deps::{Deps, ReadinessSink};
pub use digest::{Digest, Digested, Offsets, Part};
pub use error::{Error, Failure};
pub use executor::{CancelReason, Cancellation, Executor, Journal, migrate_executor, run_executor};
pub use pg::{
    PgProjection, digest, digest_of, digest_of_schema, migrate_projection, run_projection,
};
pub use rebuild::{
    Checked, Progress, ProgressSink, RebuildOptions, Rebuilt, Shadow, Stage, Until, drop_shadow,
    drop_store_shadow, list as shadows, rebuild_projection, rebuild_store, shadow_name,
};
pub use store::{
    Content, ShadowStore, StoreProjection, migrate_store, run_store_projection, store_digest,
    store_digest_of,
};
