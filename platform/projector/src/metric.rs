//! The names of the runners' metrics, all with the label `runner`.
//! `docs/metrics.md` says what each one is for.

/// Histogram, 1: records handled at once.
pub(crate) const BATCH: &str = "agentmesh_runner_batch_records";
/// Histogram: from the start of the transaction to its end.
pub(crate) const COMMIT: &str = "agentmesh_runner_commit_seconds";
/// Counter: how often a runner let go of its partitions; label `reason`.
pub(crate) const HALTS: &str = "agentmesh_runner_halts_total";
/// Counter; label `step`: what is tried again, `batch`, `record` or `execution`.
pub(crate) const RETRIES: &str = "agentmesh_runner_retries_total";
/// Gauge, 1: the owner generation; labels `topic`, `partition`.
pub(crate) const GENERATION: &str = "agentmesh_runner_generation";
/// Counter: partitions claimed. One that rises without a rollout is an owner
/// that does not stay.
pub(crate) const CLAIMS: &str = "agentmesh_runner_claims_total";
/// Gauge: partitions owned by this process; label `group`.
pub(crate) const OWNED: &str = "agentmesh_runner_owned_partitions";
/// Gauge: 1 while the runner owns all it was assigned and reaches a broker;
/// label `group`.
pub(crate) const READY: &str = "agentmesh_runner_ready";
/// Gauge: records between the checkpoint and the end of the topic; labels
/// `topic`, `partition`.
pub(crate) const LAG: &str = "agentmesh_runner_lag_records";
/// Gauge: how old the last handled record was when there are more behind it,
/// else 0; labels `topic`, `partition`.
pub(crate) const LAG_SECONDS: &str = "agentmesh_runner_lag_seconds";
/// Counter; label `topic`: where the record came from.
pub(crate) const DEAD_LETTERS: &str = "agentmesh_runner_dead_letters_total";
/// Gauge, 1: partitions that wait for another try of a record.
pub(crate) const HELD: &str = "agentmesh_runner_held_partitions";
/// Gauge: executions under way.
pub(crate) const RUNNING: &str = "agentmesh_runner_executions";
