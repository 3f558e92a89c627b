/// A decision that does not hold together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDecision {
    #[error("decision {decision_id} allows without a result")]
    AllowWithoutResult { decision_id: String },
}
