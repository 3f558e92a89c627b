use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use metrics::counter;
use platform_telemetry::names::metric;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use tokio::sync::Notify;

use crate::ack::Slot;
use crate::client::{self, Statistics};
use crate::queues::{Queues, Waiting, Which};

/// What the driver tells the producer, on the driver's thread.
pub(crate) struct Events {
    which: Which,
    space: Arc<Notify>,
    queues: Arc<Queues>,
    prefix: String,
    /// What was told last of what only grows.
    requests: AtomicI64,
    records: AtomicI64,
}

impl Events {
    /// `prefix` stands before the name of each topic.
    pub(crate) fn new(which: Which, space: Arc<Notify>, queues: Arc<Queues>, prefix: &str) -> Self {
        Self {
            which,
            space,
            queues,
            prefix: prefix.to_owned(),
            requests: AtomicI64::new(0),
            records: AtomicI64::new(0),
        }
    }

    /// Counts what was sent since the last time. Counters, because there are two
    /// clients to a producer: what they count adds up, an average would not.
    fn sent(&self, statistics: &Statistics) {
        let requests = growth(&self.requests, statistics.tx);
        let records = growth(&self.records, statistics.txmsgs);
        counter!(metric::LOG_REQUESTS).increment(requests);
        counter!(metric::LOG_SENT).increment(records);
        for topic in statistics
            .topics
            .values()
            .filter(|topic| topic.batchcnt.cnt > 0)
        {
            let name = topic.topic.strip_prefix(&self.prefix);
            let name = name.unwrap_or(&topic.topic);
            for (metric, count) in [
                (metric::LOG_BATCHES, topic.batchcnt.cnt),
                (metric::LOG_BATCH_RECORDS, topic.batchcnt.sum),
                (metric::LOG_BATCH_BYTES, topic.batchsize.sum),
            ] {
                let count = u64::try_from(count).unwrap_or(0);
                counter!(metric, "topic" => name.to_owned()).increment(count);
            }
        }
    }
}

/// By how much a figure has grown; a broker that is gone takes its own with it.
fn growth(last: &AtomicI64, now: i64) -> u64 {
    let before = last.swap(now, Ordering::Relaxed);
    u64::try_from(now.saturating_sub(before)).unwrap_or(0)
}

impl ClientContext for Events {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        client::log(level, facility, line);
    }

    fn stats_raw(&self, json: &[u8]) {
        if let Some(statistics) = Statistics::parse(json) {
            let waiting = Waiting {
                records: statistics.msg_cnt,
                bytes: statistics.msg_size,
            };
            self.queues.show(self.which, waiting);
            self.sent(&statistics);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "producer has lost a broker");
    }
}

impl ProducerContext for Events {
    type DeliveryOpaque = Box<Slot>;

    fn delivery(&self, result: &DeliveryResult<'_>, slot: Box<Slot>) {
        slot.settle(match result {
            Ok(message) => Ok((message.partition(), message.offset())),
            Err((error, _)) => Err(error.clone()),
        });
        self.space.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_grown_is_counted_and_what_has_shrunk_is_not() {
        let last = AtomicI64::new(0);
        let grown = [5, 5, 7, 3, 4].map(|now| growth(&last, now));
        assert_eq!(grown, [5, 0, 2, 0, 1]);
    }
}
