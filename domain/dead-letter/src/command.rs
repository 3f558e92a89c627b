use crate::Letter;

/// What an operator wants done about a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterCommand {
    pub letter: Letter,
    /// How often the letter had been written when the operator looked, from 1: a
    /// record that is given up again after a redrive is open again.
    pub occurrence: u32,
    /// Who wants it.
    pub operator: String,
    pub action: Action,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Hand the record to the consumer that gave it up.
    Redrive { note: Option<String> },
    /// Leave it as it is, for good.
    Discard { reason: String },
}
