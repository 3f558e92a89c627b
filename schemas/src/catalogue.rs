use crate::{
    contexts, dead_letters, decisions, deliveries, effects, executions,
    form::{Form, SchemaEntry},
    notifications, outcomes, registry, results, workflows,
};

/// What the records of a topic are partitioned by. Topics with the same kind of
/// key have the same number of partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// `tenant/space`.
    Space,
    /// The correlation id.
    Correlation,
    /// `connector/object/external id`: one remote record's writes stay in order.
    RemoteRecord,
    /// The topic has one partition.
    Single,
    /// The job id.
    Job,
    /// Whatever key the original record had.
    Original,
}

/// All topics, without any prefix.
pub const TOPICS: &[(&str, KeyKind)] = &[
    ("mesh.deliveries", KeyKind::Space),
    ("mesh.decisions", KeyKind::Correlation),
    ("mesh.contexts", KeyKind::Space),
    ("mesh.notifications", KeyKind::Correlation),
    ("mesh.workflows", KeyKind::Correlation),
    ("mesh.executions", KeyKind::Correlation),
    ("mesh.results", KeyKind::Correlation),
    ("mesh.effects", KeyKind::RemoteRecord),
    ("mesh.outcomes", KeyKind::Correlation),
    ("mesh.registry", KeyKind::Single),
    ("mesh.jobs", KeyKind::Job),
    ("mesh.dead-letters", KeyKind::Original),
];

static FORMS: [&Form; 39] = [
    &deliveries::ACCEPTED,
    &deliveries::REFUSED,
    &decisions::DECIDED,
    &contexts::SHARED,
    &contexts::MERGED,
    &notifications::NOTIFIED,
    &workflows::STARTED,
    &workflows::STEP_STARTED,
    &workflows::STEP_SUCCEEDED,
    &workflows::STEP_FAILED,
    &workflows::COMPENSATION_STARTED,
    &workflows::STEP_COMPENSATED,
    &workflows::SUCCEEDED,
    &workflows::COMPENSATED,
    &workflows::PARKED,
    &executions::REQUESTED,
    &executions::CANCELLED,
    &results::STARTED,
    &results::SUCCEEDED,
    &results::FAILED,
    &effects::REQUESTED,
    &effects::CANCELLED,
    &outcomes::ATTEMPTED,
    &outcomes::CONFIRMED,
    &outcomes::FAILED,
    &outcomes::UNKNOWN,
    &outcomes::RECONCILED,
    &registry::SOURCE,
    &registry::AGENT,
    &registry::POLICY,
    &registry::SUBSCRIPTION,
    &registry::WORKFLOW,
    &registry::CONNECTOR,
    &registry::KEY,
    &registry::ISSUER,
    &registry::CERTIFICATE,
    &registry::RETIRED,
    &dead_letters::REDRIVEN,
    &dead_letters::DISCARDED,
];

/// Every version of every published event, topic by topic, each event's versions
/// in rising order: what a registry is to hold, because bytes of all of them are
/// on the log.
pub fn published() -> &'static [SchemaEntry] {
    static ENTRIES: std::sync::LazyLock<Vec<SchemaEntry>> =
        std::sync::LazyLock::new(|| FORMS.iter().flat_map(|form| form.versions()).collect());
    &ENTRIES
}

/// The current schema of every published event, topic by topic.
pub fn catalogue() -> &'static [SchemaEntry] {
    static ENTRIES: std::sync::LazyLock<Vec<SchemaEntry>> =
        std::sync::LazyLock::new(|| FORMS.iter().map(|form| form.entry).collect());
    &ENTRIES
}
