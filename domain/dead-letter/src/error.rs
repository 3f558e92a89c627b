use crate::Decided;

/// Why a letter cannot be dealt with as wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeadLetterRejection {
    #[error("the letter is not open: it was {last} already")]
    NotOpen { last: Decided },
}

impl std::fmt::Display for Decided {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Redriven => "redriven",
            Self::Discarded => "discarded",
        })
    }
}
