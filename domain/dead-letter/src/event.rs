use domain_kernel::EventId;
use serde::{Deserialize, Serialize};

/// The decisions on `mesh.dead-letters`; the stream is the letter's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeadLetterEvent {
    Redriven(DeadLetterRedriven),
    Discarded(DeadLetterDiscarded),
}

/// Which record, and who gave it up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// Derived from the fields below.
    pub letter_id: EventId,
    pub consumer: String,
    /// Where the record stands, without any prefix.
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}

/// The consumer that gave the record up was told to handle it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterRedriven {
    pub letter: Letter,
    /// Which writing of the letter this answers, from 1.
    pub occurrence: u32,
    pub operator: String,
    pub note: Option<String>,
}

/// Nothing more happens to the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterDiscarded {
    pub letter: Letter,
    /// Which writing of the letter this answers, from 1.
    pub occurrence: u32,
    pub operator: String,
    pub reason: String,
}
