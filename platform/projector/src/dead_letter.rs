use platform_log::{Outgoing, Producer, Record};
use tracing::warn;

use crate::session::Halt;

/// Where records go that can never be handled.
pub(crate) const TOPIC: &str = "mesh.dead-letters";
/// Header: why, as one line.
pub(crate) const REASON: &str = "mesh-dead-letter-reason";
/// Header: `topic/partition/offset` the record was read from.
pub(crate) const ORIGIN: &str = "mesh-dead-letter-origin";
/// Header: who could not handle it.
pub(crate) const CONSUMER: &str = "mesh-dead-letter-consumer";

/// A reason is for people; what quotes a payload is cut short.
const LONGEST_REASON: usize = 1_000;

/// Sends poison records away on behalf of one consumer.
#[derive(Clone)]
pub(crate) struct DeadLetters {
    producer: Producer,
    consumer: &'static str,
}

impl DeadLetters {
    pub(crate) fn new(producer: Producer, consumer: &'static str) -> Self {
        Self { producer, consumer }
    }

    /// Appends the record as it was, with its key and headers and why; returns
    /// once the broker has it, so that the checkpoint may move past the record.
    pub(crate) async fn send(&self, record: &Record, reason: &str) -> Result<(), Halt> {
        let reason: String = reason
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(LONGEST_REASON)
            .collect();
        warn!(
            runner.name = self.consumer,
            messaging.destination.name = %record.topic,
            messaging.kafka.partition = record.partition,
            messaging.kafka.offset = record.offset,
            reason = %reason,
            "record becomes a dead letter"
        );
        let origin = format!("{}/{}/{}", record.topic, record.partition, record.offset);
        let letter = Outgoing::dead_letter(
            TOPIC,
            record,
            &[
                (REASON, reason.as_str()),
                (ORIGIN, origin.as_str()),
                (CONSUMER, self.consumer),
            ],
        );
        self.producer.append(letter).await?;
        metrics::counter!(crate::metric::DEAD_LETTERS, "runner" => self.consumer, "topic" => record.topic.clone())
            .increment(1);
        Ok(())
    }
}
