use std::time::Duration;

use platform_log::{Outgoing, Position, Record};

use super::letter::parse_origin;
use super::{DeadLetter, TOPIC};
use crate::session::Halt;
use crate::world::{Log, Reader};

/// Header of a redrive: the consumer that is to handle the record now.
const CONSUMER: &str = "mesh-redrive-consumer";
/// Header of a redrive: `topic/partition/offset` of the record.
const ORIGIN: &str = "mesh-redrive-origin";

const WAIT: Duration = Duration::from_millis(500);
/// How long the broker may deliver nothing although the record is known to be there.
const STALLED: Duration = Duration::from_secs(30);

/// A record that stands next in its partition, and the one to be handled
/// because of it, which is another one where it is a redrive.
#[derive(Debug)]
pub(crate) struct Taken {
    /// Whose place the checkpoint moves past.
    pub(crate) at: Record,
    original: Option<Record>,
}

impl Taken {
    pub(crate) fn itself(record: Record) -> Self {
        Self {
            at: record,
            original: None,
        }
    }

    pub(super) fn redriven(at: Record, original: Record) -> Self {
        Self {
            at,
            original: Some(original),
        }
    }

    pub(crate) fn is_redriven(&self) -> bool {
        self.original.is_some()
    }

    pub(crate) fn record(&self) -> &Record {
        self.original.as_ref().unwrap_or(&self.at)
    }
}

/// Makes `event`, which says on `mesh.dead-letters` that a letter is redriven,
/// an order to the consumer that wrote the letter. Nobody else acts on it.
pub fn redrive(event: Outgoing, letter: &DeadLetter) -> Outgoing {
    let original = &letter.original;
    event
        .with_header(CONSUMER, &letter.consumer)
        .with_header(ORIGIN, &super::letter::origin(original))
        .to_partition(original.partition)
}

/// Which record is to be handled again, if this orders `consumer` to.
pub(super) fn meant_for(record: &Record, consumer: &str) -> Option<Position> {
    // A letter made of a redrive is no redrive.
    if record.topic != TOPIC || DeadLetter::read(record).is_some() {
        return None;
    }
    if record.last_header(CONSUMER)? != consumer {
        return None;
    }
    parse_origin(record.last_header(ORIGIN)?)
}

/// Reads one record where it stands; none when the log has no such record.
pub(super) async fn fetch<L: Log>(log: &L, at: &Position) -> Result<Option<Record>, Halt> {
    let ends = log.high_watermarks(&at.topic).await?;
    let is_there = ends
        .iter()
        .any(|(partition, end)| *partition == at.partition && (0..*end).contains(&at.offset));
    if !is_there {
        return Ok(None);
    }
    let mut reader = log.read(&at.topic, vec![(at.partition, at.offset)])?;
    let mut quiet = Duration::ZERO;
    while quiet < STALLED {
        let records = reader.next(1, WAIT).await?;
        if let Some(record) = records.into_iter().next() {
            return Ok((record.offset == at.offset).then_some(record));
        }
        quiet += WAIT;
    }
    Err(Halt::transient(
        "the broker does not deliver a record it should have",
    ))
}
