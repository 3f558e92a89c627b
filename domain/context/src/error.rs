use crate::KeptApart;

/// Why a delivery cannot go where the command sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContextRejection {
    #[error("there is no such context to merge into")]
    NotShared,
    #[error("the stream holds other content than its id says")]
    OtherContent,
    #[error("the context says something else: {0}")]
    KeptApart(KeptApart),
}
