//! The rows of the table. Each file measures rows that share what they need.

mod avro;
mod convoy;
mod ground;
mod ingest;
mod outpost;
mod peer;
mod pgbench;
mod postgres;
mod rabbit;
mod rebuild;
mod redis;
mod replay;
mod search;
mod side;
mod svix;

use futures::future::LocalBoxFuture;

use crate::Bench;
use crate::harness::Row;

/// Measures some rows, those asked for among them.
type Measure = for<'a> fn(&'a Bench) -> LocalBoxFuture<'a, anyhow::Result<Vec<Row>>>;

/// A set of rows that are measured together.
pub(crate) struct Set {
    /// The rows it yields.
    pub(crate) ids: &'static [&'static str],
    pub(crate) measure: Measure,
}

/// In the order of the table.
pub(crate) const SETS: &[Set] = &[
    Set {
        ids: &["A/A-ingest", "G1a"],
        measure: |bench| Box::pin(ingest::durable(bench)),
    },
    Set {
        ids: &["G1a-wrk"],
        measure: |bench| Box::pin(ingest::durable_by_wrk(bench)),
    },
    Set {
        ids: &["G1c"],
        measure: |bench| Box::pin(ingest::batch(bench)),
    },
    Set {
        ids: &["G1d", "G1g"],
        measure: |bench| Box::pin(ingest::costs(bench)),
    },
    Set {
        ids: &["G1f-p50", "G1f-p99"],
        measure: |bench| Box::pin(ingest::latency(bench)),
    },
    Set {
        ids: &["G1-killed"],
        measure: |bench| Box::pin(ingest::killed(bench)),
    },
    Set {
        ids: &["G1-convoy"],
        measure: |bench| Box::pin(convoy::convoy(bench)),
    },
    Set {
        ids: &["G1-svix"],
        measure: |bench| Box::pin(svix::svix(bench)),
    },
    Set {
        ids: &["G1-outpost"],
        measure: |bench| Box::pin(outpost::outpost(bench)),
    },
    Set {
        ids: &["A/A-copy", "G2a", "G2d"],
        measure: |bench| Box::pin(postgres::append_only(bench)),
    },
    Set {
        ids: &["G2b", "G2b-pipelined", "G2b-pgbench"],
        measure: |bench| Box::pin(postgres::upserting(bench)),
    },
    Set {
        ids: &["G2c"],
        measure: |bench| Box::pin(postgres::folding(bench)),
    },
    Set {
        ids: &["G2e"],
        measure: |bench| Box::pin(redis::cache(bench)),
    },
    Set {
        ids: &["G6a", "S3-replay", "S3-memory"],
        measure: |bench| Box::pin(replay::replay(bench)),
    },
    Set {
        ids: &["G6b", "G6b-checked", "G6b-live"],
        measure: |bench| Box::pin(rebuild::rebuild(bench)),
    },
    Set {
        ids: &["S3-search"],
        measure: |bench| Box::pin(search::search(bench)),
    },
    Set {
        ids: &["G7-encode", "G7-decode"],
        measure: |bench| Box::pin(avro::codecs(bench)),
    },
    Set {
        ids: &["S1-ingest", "S1-policy", "S1-decode"],
        measure: |bench| Box::pin(ingest::cores_scale(bench)),
    },
    Set {
        ids: &["S2"],
        measure: |bench| Box::pin(ingest::overload(bench)),
    },
];
