use std::collections::HashMap;

use domain_dead_letter::{DeadLetterDecider, DeadLetterEvent, DeadLetterState, Decided, Letter};
use domain_kernel::{Decider, EventId, Recorded, Timestamp};
use platform_projector::DeadLetter;
use serde::Serialize;

/// What became of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It waits for a decision.
    Open,
    /// Its consumer was told to handle the record, and has not given it up again.
    Redriven,
    Discarded,
}

impl Status {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Redriven => "redriven",
            Self::Discarded => "discarded",
        }
    }
}

/// A letter with all that is known about it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// As it was written last.
    pub letter: DeadLetter,
    /// How often it was written.
    pub occurrence: u32,
    pub first_at: Option<Timestamp>,
    /// In order.
    pub decisions: Vec<Recorded<DeadLetterEvent>>,
    pub(crate) state: DeadLetterState,
}

impl Entry {
    fn new(letter: DeadLetter) -> Self {
        Self {
            first_at: letter.at,
            letter,
            occurrence: 1,
            decisions: Vec::new(),
            state: DeadLetterState::default(),
        }
    }

    pub fn status(&self) -> Status {
        match self.state.last {
            _ if self.state.is_open(self.occurrence) => Status::Open,
            Some(Decided::Discarded) => Status::Discarded,
            _ => Status::Redriven,
        }
    }

    /// How often it was redriven.
    pub const fn redrives(&self) -> u32 {
        self.state.redrives
    }

    /// Position of the next decision in the letter's stream.
    pub(crate) fn next_version(&self) -> u64 {
        self.decisions.last().map_or(0, |last| last.meta.version) + 1
    }

    pub(crate) fn subject(&self) -> Letter {
        let original = &self.letter.original;
        Letter {
            letter_id: self.letter.id,
            consumer: self.letter.consumer.clone(),
            topic: original.topic.clone(),
            partition: original.partition,
            offset: original.offset,
        }
    }

    /// The event's name, where the headers tell.
    pub fn event(&self) -> Option<&str> {
        self.letter.original.event_name().ok()
    }
}

/// Letters and decisions, folded in the order of the log.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    entries: HashMap<EventId, Entry>,
    order: Vec<EventId>,
}

impl Fold {
    pub(crate) fn letter(&mut self, letter: DeadLetter) {
        let id = letter.id;
        match self.entries.get_mut(&id) {
            Some(entry) => {
                entry.occurrence += 1;
                entry.letter = letter;
            }
            None => {
                self.order.push(id);
                self.entries.insert(id, Entry::new(letter));
            }
        }
    }

    /// Of decisions with the same version the first one counts. One about a
    /// letter that is not here is about nothing.
    pub(crate) fn decision(&mut self, recorded: Recorded<DeadLetterEvent>) {
        let id = match &recorded.event {
            DeadLetterEvent::Redriven(event) => event.letter.letter_id,
            DeadLetterEvent::Discarded(event) => event.letter.letter_id,
        };
        if let Some(entry) = self.entries.get_mut(&id)
            && recorded.meta.version == entry.next_version()
        {
            entry.state = DeadLetterDecider::evolve(entry.state, &recorded.event);
            entry.decisions.push(recorded);
        }
    }

    pub(crate) fn into_entries(mut self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = self
            .order
            .iter()
            .filter_map(|id| self.entries.remove(id))
            .collect();
        entries.sort_by_key(|entry| entry.first_at.map(Timestamp::as_micros));
        entries
    }
}

#[cfg(test)]
mod tests {
    use domain_dead_letter::{DeadLetterDiscarded, DeadLetterRedriven};
    use domain_kernel::{CorrelationId, Metadata, TenantId};
    use platform_log::{Position, Record};
    use platform_projector::letter_id;

    use super::*;

    fn letter() -> DeadLetter {
        let position = Position {
            topic: "mesh.effects".to_owned(),
            partition: 1,
            offset: 7,
        };
        DeadLetter {
            id: letter_id("sync", &position),
            consumer: "sync".to_owned(),
            causes: vec!["broken".to_owned()],
            reason: "broken".to_owned(),
            attempts: 1,
            at: Some(Timestamp::from_millis(1)),
            omitted_bytes: None,
            original: Record {
                topic: position.topic,
                partition: 1,
                offset: 7,
                timestamp_ms: 0,
                key: None,
                headers: platform_log::Headers::default(),
                value: None,
            },
        }
    }

    fn decided(version: u64, event: DeadLetterEvent) -> Recorded<DeadLetterEvent> {
        Recorded {
            meta: Metadata {
                id: EventId::derive(&[&version.to_string()]),
                tenant: TenantId::new("acme"),
                correlation: CorrelationId::derive(&["c"]),
                causation: None,
                stream: letter().id.to_string(),
                version,
                at: Timestamp::from_millis(2),
                source: "/agentmesh/test".to_owned(),
                traceparent: None,
                actor: None,
            },
            event,
        }
    }

    fn redriven(occurrence: u32) -> DeadLetterEvent {
        DeadLetterEvent::Redriven(DeadLetterRedriven {
            letter: Entry::new(letter()).subject(),
            occurrence,
            operator: "ada".to_owned(),
            note: None,
        })
    }

    fn only(fold: Fold) -> Entry {
        let mut entries = fold.into_entries();
        assert_eq!(entries.len(), 1);
        entries.remove(0)
    }

    #[test]
    fn a_letter_is_open_until_decided_and_open_again_when_it_comes_back() {
        let mut fold = Fold::default();
        fold.letter(letter());
        assert_eq!(only(fold).status(), Status::Open);

        let mut fold = Fold::default();
        fold.letter(letter());
        fold.decision(decided(1, redriven(1)));
        let entry = only(fold);
        assert_eq!(
            (entry.status(), entry.next_version()),
            (Status::Redriven, 2)
        );

        let mut fold = Fold::default();
        fold.letter(letter());
        fold.decision(decided(1, redriven(1)));
        fold.letter(letter());
        let entry = only(fold);
        assert_eq!((entry.status(), entry.redrives()), (Status::Open, 1));
    }

    #[test]
    fn of_two_operators_the_first_one_decides() {
        let mut fold = Fold::default();
        fold.letter(letter());
        fold.decision(decided(1, redriven(1)));
        fold.decision(decided(
            1,
            DeadLetterEvent::Discarded(DeadLetterDiscarded {
                letter: Entry::new(letter()).subject(),
                occurrence: 1,
                operator: "bob".to_owned(),
                reason: "no".to_owned(),
            }),
        ));
        assert_eq!(only(fold).status(), Status::Redriven);
    }
}
