use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use platform_config::Kafka;
use platform_log::{PartitionReader, Record};

use super::places::Places;
use crate::Failure;

const CHUNK: usize = 10_000;
/// So that large records make smaller chunks.
const CHUNK_BYTES: usize = 8 << 20;
const WAIT: Duration = Duration::from_millis(500);
/// How long the broker may deliver nothing although records are known to be there.
const STALLED: Duration = Duration::from_secs(60);

/// Reads stretches of topics outside any group, one topic after another.
pub(super) struct Source {
    kafka: Kafka,
    waiting: VecDeque<(String, BTreeMap<i32, Stretch>)>,
    current: Option<(PartitionReader, String, BTreeMap<i32, Stretch>)>,
}

#[derive(Debug, Clone, Copy)]
struct Stretch {
    next: i64,
    end: i64,
}

impl Source {
    pub(super) fn new(kafka: &Kafka, from: &Places, to: &Places) -> Self {
        let mut topics: BTreeMap<&str, BTreeMap<i32, Stretch>> = BTreeMap::new();
        for (place, end) in to {
            let next = from.get(place).copied().unwrap_or(0);
            if next < *end {
                let stretch = Stretch { next, end: *end };
                topics.entry(&place.0).or_default().insert(place.1, stretch);
            }
        }
        Self {
            kafka: kafka.clone(),
            waiting: topics
                .into_iter()
                .map(|(topic, stretches)| (topic.to_owned(), stretches))
                .collect(),
            current: None,
        }
    }

    /// The next records, of one topic and in order within each partition; empty
    /// when all stretches are read.
    pub(super) async fn next(&mut self) -> Result<Vec<Record>, Failure> {
        loop {
            let (reader, _, stretches) = match &mut self.current {
                Some(current) => current,
                None => {
                    let Some((topic, stretches)) = self.waiting.pop_front() else {
                        return Ok(Vec::new());
                    };
                    let from = stretches.iter().map(|(number, at)| (*number, at.next));
                    let reader = PartitionReader::open(&self.kafka, &topic, from)
                        .map_err(Failure::transient)?;
                    self.current.insert((reader, topic, stretches))
                }
            };
            let records = read(reader, stretches).await?;
            if records.is_empty() {
                self.current = None;
                continue;
            }
            return Ok(records);
        }
    }
}

/// As many records as make a chunk, or what there is before the ends.
async fn read(
    reader: &mut PartitionReader,
    stretches: &mut BTreeMap<i32, Stretch>,
) -> Result<Vec<Record>, Failure> {
    let mut wanted: Vec<Record> = Vec::new();
    let mut bytes = 0;
    let mut quiet = Duration::ZERO;
    while stretches.values().any(|at| at.next < at.end)
        && wanted.len() < CHUNK
        && bytes < CHUNK_BYTES
    {
        let records = reader
            .next(CHUNK - wanted.len(), WAIT)
            .await
            .map_err(Failure::transient)?;
        if records.is_empty() {
            if !wanted.is_empty() {
                break;
            }
            quiet += WAIT;
            if quiet > STALLED {
                return Err(Failure::transient(
                    "the broker does not deliver records it should have",
                ));
            }
        }
        for record in records {
            let Some(at) = stretches.get_mut(&record.partition) else {
                continue;
            };
            if record.offset >= at.next && record.offset < at.end {
                at.next = record.offset + 1;
                bytes += record.value.as_ref().map_or(0, |value| value.len());
                wanted.push(record);
            }
        }
    }
    Ok(wanted)
}
