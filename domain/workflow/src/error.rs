/// Why a command about a workflow is not possible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkflowRejection {
    #[error("the workflow has not been started")]
    NotStarted,
    #[error("the workflow has no step {step}")]
    UnknownStep { step: String },
    /// An answer to a question this run did not ask.
    #[error("step {step} did not ask for this")]
    NotAsked { step: String },
}

/// Why a definition cannot be run, whatever its expressions say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    #[error("{at} is empty")]
    Empty { at: String },
    #[error("a workflow has 1 to {limit} steps, not {found}")]
    StepCount { limit: usize, found: usize },
    #[error(
        "step name {name:?} is not a lowercase letter followed by up to 62 lowercase letters, digits, dashes and underscores"
    )]
    StepName { name: String },
    #[error("two steps are named {name}")]
    DuplicateStep { name: String },
    #[error("{at} is {found} ms; it must be 1 ms to {limit} ms")]
    Deadline { at: String, found: u64, limit: u64 },
}
