use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use platform_log::Record;
use platform_postgres::Claimed;

use crate::metric;
use crate::world::{Clock, Log};

/// How often the ends of the topics are asked for.
const LOOK: Duration = Duration::from_secs(10);

/// How far behind a runner is, for those who watch it. Nothing rests on it.
#[derive(Debug, Default)]
pub(super) struct Lag {
    /// When the last handled record of a topic partition was appended.
    seen: BTreeMap<(String, i32), i64>,
    /// The topic partitions that this member reports.
    shown: BTreeSet<(String, i32)>,
    looked_at: Duration,
}

impl Lag {
    pub(super) fn handled(&mut self, records: &[Record]) {
        for record in records {
            if record.timestamp_ms > 0 {
                self.seen.insert(
                    (record.topic.clone(), record.partition),
                    record.timestamp_ms,
                );
            }
        }
    }

    pub(super) fn is_due(&self, ticks: Duration) -> bool {
        ticks >= self.looked_at + LOOK
    }

    /// Asks how much is ahead of what is owned. An executor's
    /// claims stand where it has read to, which is where its work begins.
    pub(super) async fn show<L: Log, C: Clock>(
        &mut self,
        runner: &'static str,
        topics: &[&'static str],
        owned: &[Claimed],
        log: &L,
        clock: &C,
    ) {
        self.looked_at = clock.ticks();
        let now = clock.now().as_micros() / 1_000;
        for topic in topics {
            // A broker that does not answer is somebody else's alarm.
            let Ok(ends) = log.high_watermarks(topic).await else {
                return;
            };
            for claim in owned.iter().filter(|claim| claim.topic == *topic) {
                let end = ends
                    .iter()
                    .find(|(number, _)| *number == claim.partition)
                    .map_or(0, |(_, end)| *end);
                let records = (end - claim.next_offset).max(0);
                let place = (claim.topic.clone(), claim.partition);
                let since = self
                    .seen
                    .get(&place)
                    .filter(|_| records > 0)
                    .map_or(0, |at| (now - at).max(0));
                set(
                    runner,
                    topic,
                    claim.partition,
                    records as f64,
                    since as f64 / 1_000.0,
                );
                self.shown.insert(place);
            }
        }
    }

    /// Others report these partitions from now on.
    pub(super) fn forget(&mut self, runner: &'static str, given_up: impl Fn(i32) -> bool) {
        self.seen.retain(|(_, number), _| !given_up(*number));
        self.shown.retain(|(topic, number)| {
            let gone = given_up(*number);
            if gone {
                set(runner, topic, *number, 0.0, 0.0);
            }
            !gone
        });
        self.looked_at = Duration::ZERO;
    }
}

fn set(runner: &'static str, topic: &str, number: i32, records: f64, seconds: f64) {
    let partition = number.to_string();
    metrics::gauge!(metric::LAG, "runner" => runner, "topic" => topic.to_owned(), "partition" => partition.clone())
        .set(records);
    metrics::gauge!(metric::LAG_SECONDS, "runner" => runner, "topic" => topic.to_owned(), "partition" => partition)
        .set(seconds);
}
