use domain_dead_letter::DeadLetterRejection;
use domain_kernel::EventId;

/// Why letters cannot be read, or one not be dealt with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the dead letters cannot be read or written")]
    Log(#[from] platform_log::Error),
    #[error("letter {id} cannot be dealt with so")]
    Rejected {
        id: EventId,
        #[source]
        source: DeadLetterRejection,
    },
}
