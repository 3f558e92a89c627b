use serde::{Deserialize, Serialize};

use crate::DeadLetterEvent;

/// What was decided last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decided {
    Redriven,
    Discarded,
}

/// What was decided about one letter so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterState {
    /// The letter as it was written up to this often is dealt with.
    pub answered: u32,
    pub last: Option<Decided>,
    pub redrives: u32,
}

impl DeadLetterState {
    /// Whether a letter that was written `occurrence` times waits for a decision.
    pub const fn is_open(&self, occurrence: u32) -> bool {
        occurrence > self.answered
    }

    pub(crate) fn evolve(mut self, event: &DeadLetterEvent) -> Self {
        let (occurrence, decided) = match event {
            DeadLetterEvent::Redriven(event) => (event.occurrence, Decided::Redriven),
            DeadLetterEvent::Discarded(event) => (event.occurrence, Decided::Discarded),
        };
        self.answered = self.answered.max(occurrence);
        self.last = Some(decided);
        self.redrives += u32::from(decided == Decided::Redriven);
        self
    }
}
