/// Why a command about an effect is not possible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EffectRejection {
    #[error("the effect has ended as {outcome}")]
    Ended { outcome: &'static str },
    #[error("no attempt has been recorded")]
    NotAttempted,
    #[error("attempt {attempt} does not follow attempt {last}")]
    AttemptOutOfOrder { attempt: u32, last: u32 },
    #[error("the outcome of attempt {attempt} is unknown: read the remote record first")]
    NotReconciled { attempt: u32 },
    #[error("there is no doubt to settle")]
    NoDoubt,
}
