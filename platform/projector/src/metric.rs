//! The names of the runners' metrics, all with the label `runner`.

/// Histogram, 1: records handled at once.
pub(crate) const BATCH: &str = "agentmesh_runner_batch_records";
/// Histogram: from the start of the transaction to its end.
pub(crate) const COMMIT: &str = "agentmesh_runner_commit_seconds";
/// Counter: how often a runner let go of its partitions; label `reason`.
pub(crate) const HALTS: &str = "agentmesh_runner_halts_total";
/// Gauge, 1: the owner generation; labels `topic`, `partition`.
pub(crate) const GENERATION: &str = "agentmesh_runner_generation";
/// Counter; label `topic`: where the record came from.
pub(crate) const DEAD_LETTERS: &str = "agentmesh_runner_dead_letters_total";
/// Counter: tries that failed and are repeated after a pause; label `topic`.
pub(crate) const RETRIES: &str = "agentmesh_runner_retries_total";
/// Gauge, 1: partitions that wait for another try of a record.
pub(crate) const HELD: &str = "agentmesh_runner_held_partitions";
/// Gauge: executions under way.
pub(crate) const RUNNING: &str = "agentmesh_runner_executions";
