//! What the runners run in the simulation: a decider whose every total depends
//! on the one before, and a projection that would count a record twice.

use std::collections::{BTreeMap, BTreeSet};

use domain_kernel::{Decider, EventId, Metadata, Recorded, Timestamp};
use platform_log::{DecodeError, Error, MalformedRecord, Outgoing, Position, Record};
use platform_postgres::Claimed;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::store::{SimStore, Tally};
use super::world::Fate;
use crate::pg::ReadModel;
use crate::world::WriteError;
use crate::{Failure, Process, request_metadata};

pub(super) const PRESSES: &str = "sim.presses";
pub(super) const PULLS: &str = "sim.pulls";
pub(super) const COUNTS: &str = "sim.counts";
pub(super) const ASKS: &str = "sim.asks";
pub(super) const INPUTS: [&str; 2] = [PRESSES, PULLS];
/// What the read models are made of.
pub(super) const INPUT_TOPICS: [&str; 3] = [PRESSES, PULLS, COUNTS];

/// An input that is decided into as many events as it has parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pressed {
    pub(super) number: u64,
    pub(super) parts: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counted {
    /// The input, or `ring` for the timer.
    pub(super) press: String,
    pub(super) part: u64,
    pub(super) total: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Count {
    pub(super) presses: BTreeSet<String>,
    pub(super) total: u64,
    pub(super) rings_at: Option<i64>,
}

pub(super) struct Press {
    press: String,
    number: u64,
    parts: u64,
}

pub(super) struct Counter;

impl Decider for Counter {
    type State = Count;
    type Command = Press;
    type Event = Counted;
    type Request = Counted;
    type Rejection = ();

    fn decide(state: &Count, command: Press) -> Result<Vec<Counted>, ()> {
        if state.presses.contains(&command.press) {
            return Ok(Vec::new());
        }
        Ok((0..command.parts)
            .map(|part| Counted {
                press: command.press.clone(),
                part,
                total: state.total + command.number * (part + 1),
            })
            .collect())
    }

    fn evolve(mut state: Count, event: &Counted) -> Count {
        state.total = event.total;
        state.rings_at = (event.press != "ring" && event.total > 40)
            .then_some(0)
            .filter(|_| !state.presses.contains("ring"));
        state.presses.insert(event.press.clone());
        state
    }

    fn react(event: &Recorded<Counted>) -> Vec<Counted> {
        vec![event.event.clone()]
    }
}

/// An event as a record: its metadata in one header, itself in the value, as JSON.
pub(super) fn outgoing<T: Serialize>(topic: &'static str, recorded: &Recorded<T>) -> Outgoing {
    let record = Record {
        topic: topic.to_owned(),
        partition: 0,
        offset: 0,
        timestamp_ms: 0,
        key: Some(recorded.meta.stream.clone().into_bytes().into()),
        headers: [("meta", serde_json::to_vec(&recorded.meta).unwrap())]
            .into_iter()
            .collect(),
        value: Some(serde_json::to_vec(&recorded.event).unwrap().into()),
    };
    Outgoing::dead_letter(topic, &record, &[])
}

pub(super) fn decoded<T: DeserializeOwned>(record: &Record) -> Option<Recorded<T>> {
    let (_, meta) = record.headers.iter().find(|(name, _)| *name == "meta")?;
    Some(Recorded {
        meta: serde_json::from_slice::<Metadata>(meta).ok()?,
        event: serde_json::from_slice(record.value.as_deref()?).ok()?,
    })
}

pub(super) fn decode<T: DeserializeOwned>(
    fate: &Fate,
    record: &Record,
) -> Result<Recorded<T>, DecodeError> {
    if fate.fails("decode") {
        return Err(DecodeError::Schema {
            source: Error::Cancelled,
        });
    }
    // Not even the registry knows it yet: this one is tried again, while only its
    // partition waits.
    if fate.fails("schema") {
        return Err(DecodeError::Schema {
            source: Error::UnknownSchema { id: 7 },
        });
    }
    decoded(record).ok_or(DecodeError::Malformed(MalformedRecord::NoValue))
}

pub(super) struct Counting(pub(super) Fate);

impl Process for Counting {
    type Decider = Counter;
    type Input = Pressed;
    type Route = ();
    const NAME: &'static str = "sim-counting";

    fn inputs(&self) -> Vec<&'static str> {
        INPUTS.to_vec()
    }

    fn state_topic(&self) -> &'static str {
        COUNTS
    }

    fn source(&self) -> &'static str {
        "/sim"
    }

    async fn decode(&self, record: &Record) -> Result<Option<Recorded<Pressed>>, DecodeError> {
        decode(&self.0, record).map(Some)
    }

    async fn decode_own(&self, record: &Record) -> Result<Recorded<Counted>, DecodeError> {
        decode(&self.0, record)
    }

    fn streams(&self, input: &Recorded<Pressed>) -> Vec<String> {
        vec![input.meta.stream.clone()]
    }

    async fn route(
        &self,
        _partition: i32,
        input: &Recorded<Pressed>,
    ) -> Result<Vec<(String, ())>, Failure> {
        if self.0.fails("route") {
            return Err(Failure::transient("what is asked is away"));
        }
        Ok(vec![(input.meta.stream.clone(), ())])
    }

    fn command(
        &self,
        input: &Recorded<Pressed>,
        (): (),
        _state: &Count,
        _now: Timestamp,
    ) -> Result<Option<Press>, Failure> {
        Ok(Some(Press {
            press: input.meta.id.to_string(),
            number: input.event.number,
            parts: input.event.parts,
        }))
    }

    fn encode_event(&self, recorded: &Recorded<Counted>) -> Result<Outgoing, Error> {
        Ok(outgoing(COUNTS, recorded))
    }

    fn encode_request(
        &self,
        cause: &Recorded<Counted>,
        ordinal: usize,
        request: Counted,
    ) -> Result<Outgoing, Error> {
        Ok(outgoing(ASKS, &asked(&cause.meta, ordinal, request)))
    }

    fn wake_at(&self, state: &Count) -> Option<Timestamp> {
        state.rings_at.map(Timestamp::from_micros)
    }

    fn timer_command(&self, _stream: &str, _state: &Count, _now: Timestamp) -> Option<Press> {
        Some(Press {
            press: "ring".to_owned(),
            number: 100,
            parts: 1,
        })
    }
}

/// What follows from a count.
pub(super) fn asked(cause: &Metadata, ordinal: usize, request: Counted) -> Recorded<Counted> {
    let id = EventId::follows(cause.id, "ask", ordinal);
    Recorded {
        meta: request_metadata(cause, ordinal, id.to_string(), 1, "/sim"),
        event: request,
    }
}

/// One record of the inputs or of the counts.
pub(super) enum Change {
    /// Topic, partition, and how many records of it.
    Applied(String, i32, u64),
    Seen(String),
    Total(String, u64, u64),
}

impl Tally {
    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Applied(topic, partition, records) => {
                *self.applied.entry((topic, partition)).or_default() += records;
            }
            Change::Seen(id) => {
                self.seen.insert(id);
            }
            Change::Total(stream, version, total) => {
                let known = self.totals.get(&stream).map_or(0, |(version, _)| *version);
                if version > known {
                    self.totals.insert(stream, (version, total));
                }
            }
        }
    }
}

pub(super) fn changes(recorded: &Recorded<serde_json::Value>, position: &Position) -> Vec<Change> {
    let mut changes = vec![
        Change::Applied(position.topic.clone(), position.partition, 1),
        Change::Seen(recorded.meta.id.to_string()),
    ];
    if position.topic == COUNTS {
        let total = recorded.event["total"].as_u64().unwrap_or_default();
        changes.push(Change::Total(
            recorded.meta.stream.clone(),
            recorded.meta.version,
            total,
        ));
    }
    changes
}

pub(super) struct Tallying(pub(super) Fate);

impl ReadModel<SimStore> for Tallying {
    const NAME: &'static str = "sim-tally";
    /// So few that most batches have several parts.
    const PART: usize = 1;
    type Event = serde_json::Value;
    type Change = Change;

    async fn decode(
        &self,
        record: &Record,
    ) -> Result<Vec<Recorded<serde_json::Value>>, DecodeError> {
        Ok(vec![decode(&self.0, record)?])
    }

    fn project(&self, recorded: Recorded<serde_json::Value>, position: &Position) -> Vec<Change> {
        changes(&recorded, position)
    }

    /// Counts beforehand, so that it shows when a record is taken out of a part and
    /// stays in its count.
    fn combine(&self, changes: Vec<Change>) -> Vec<Change> {
        let mut applied: BTreeMap<(String, i32), u64> = BTreeMap::new();
        let mut combined = Vec::new();
        for change in changes {
            match change {
                Change::Applied(topic, partition, records) => {
                    *applied.entry((topic, partition)).or_default() += records;
                }
                other => combined.push(other),
            }
        }
        for ((topic, partition), records) in applied {
            combined.push(Change::Applied(topic, partition, records));
        }
        combined
    }

    async fn write(
        &self,
        store: &SimStore,
        changes: Vec<Change>,
        upto: &[Claimed],
    ) -> Result<(), WriteError> {
        // Often enough that a part, its records together, and one of them are refused
        // one after another: then that one waits, and what is behind it in the next part.
        if !changes.is_empty() && self.0.nature.fault(10) {
            self.0
                .nature
                .tell(&self.0.name, "is refused its values for now");
            return Err(WriteError::Values(Failure::transient("not now")));
        }
        store
            .transact(upto, |tables| {
                for change in changes {
                    tables.tally.apply(change);
                }
            })
            .await
    }
}
