use std::time::Duration;

use platform_config::Kafka;
use platform_log::{Admin, PartitionReader, Record};

use crate::session::Halt;
use crate::world::{Log, Reader};

const CHUNK: usize = 1_000;
const WAIT: Duration = Duration::from_millis(500);
/// How long the broker may deliver nothing although records are known to be there.
const STALLED: Duration = Duration::from_secs(30);

/// Reads a stretch of a topic, outside any group: from given offsets to the
/// high watermarks seen when it was opened.
pub(crate) struct Stretch<R = PartitionReader> {
    reader: R,
    /// Partition, next offset, end.
    partitions: Vec<(i32, i64, i64)>,
    quiet: Duration,
}

impl Stretch {
    /// `from` names the partitions of interest and where to start in each.
    pub(crate) async fn open(
        admin: &Admin,
        kafka: &Kafka,
        topic: &str,
        from: Vec<(i32, i64)>,
    ) -> Result<Self, Halt> {
        let ends = admin.high_watermarks(topic).await?;
        Self::from(from, &ends, |starts| {
            PartitionReader::open(kafka, topic, starts)
        })
    }

    /// Of one partition, from one offset to before another.
    pub(crate) fn between(
        kafka: &Kafka,
        topic: &str,
        partition: i32,
        (from, end): (i64, i64),
    ) -> Result<Self, Halt> {
        Self::from(vec![(partition, from)], &[(partition, end)], |starts| {
            PartitionReader::open(kafka, topic, starts)
        })
    }
}

impl<R: Reader> Stretch<R> {
    /// As [`Stretch::open`], of any log.
    pub(crate) async fn over<L: Log<Reader = R>>(
        log: &L,
        topic: &str,
        from: Vec<(i32, i64)>,
    ) -> Result<Self, Halt> {
        let ends = log.high_watermarks(topic).await?;
        Self::from(from, &ends, |starts| log.read(topic, starts))
    }

    fn from(
        from: Vec<(i32, i64)>,
        ends: &[(i32, i64)],
        open: impl FnOnce(Vec<(i32, i64)>) -> Result<R, platform_log::Error>,
    ) -> Result<Self, Halt> {
        let partitions: Vec<(i32, i64, i64)> = from
            .into_iter()
            .map(|(partition, next)| {
                let end = ends
                    .iter()
                    .find(|(number, _)| *number == partition)
                    .map_or(0, |(_, end)| *end);
                (partition, next, end)
            })
            .collect();
        let starts = partitions
            .iter()
            .filter(|(_, next, end)| next < end)
            .map(|(partition, next, _)| (*partition, *next))
            .collect();
        let reader = open(starts)?;
        Ok(Self {
            reader,
            partitions,
            quiet: Duration::ZERO,
        })
    }

    /// The next records, in order within each partition; empty at the end.
    pub(crate) async fn next(&mut self) -> Result<Vec<Record>, Halt> {
        while self.partitions.iter().any(|(_, next, end)| next < end) {
            let records = self.reader.next(CHUNK, WAIT).await?;
            let mut wanted = Vec::with_capacity(records.len());
            for record in records {
                let place = self
                    .partitions
                    .iter_mut()
                    .find(|(partition, _, _)| *partition == record.partition);
                if let Some((_, next, end)) = place
                    && record.offset >= *next
                    && record.offset < *end
                {
                    *next = record.offset + 1;
                    wanted.push(record);
                }
            }
            if !wanted.is_empty() {
                self.quiet = Duration::ZERO;
                return Ok(wanted);
            }
            self.quiet += WAIT;
            if self.quiet > STALLED {
                return Err(Halt::transient(
                    "the broker does not deliver records it should have",
                ));
            }
        }
        Ok(Vec::new())
    }

    /// Where each partition ends: the high watermark, or the start if that is beyond it.
    pub(crate) fn ends(&self) -> Vec<(i32, i64)> {
        self.partitions
            .iter()
            .map(|(partition, next, end)| (*partition, *next.max(end)))
            .collect()
    }
}
