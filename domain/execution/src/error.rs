/// Why a command about an execution is not possible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecutionRejection {
    #[error("the execution has ended as {outcome}")]
    Ended { outcome: &'static str },
    #[error("the agent has not been called")]
    NotStarted,
    #[error("call {attempt} does not follow call {last}")]
    AttemptOutOfOrder { attempt: u32, last: u32 },
}
