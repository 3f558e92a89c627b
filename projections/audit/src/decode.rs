use domain_kernel::{Codec, Recorded};
use platform_log::{DecodeError, Decoder, Record, SchemaRegistry};
use schemas::{
    AnyEvent, Contexts, DeadLetters, Decisions, Deliveries, Effects, Executions, Notifications,
    Outcomes, Registry, Results, Workflows,
};
use sha2::{Digest, Sha256};

use crate::Audited;

/// Every topic that carries events.
pub(crate) const TOPICS: [&str; 11] = [
    Deliveries::TOPIC,
    Decisions::TOPIC,
    Contexts::TOPIC,
    Notifications::TOPIC,
    Workflows::TOPIC,
    Executions::TOPIC,
    Results::TOPIC,
    Effects::TOPIC,
    Outcomes::TOPIC,
    Registry::TOPIC,
    DeadLetters::TOPIC,
];

/// One decoder a topic.
#[derive(Debug)]
pub(crate) struct Decoders {
    deliveries: Decoder<Deliveries>,
    decisions: Decoder<Decisions>,
    contexts: Decoder<Contexts>,
    notifications: Decoder<Notifications>,
    workflows: Decoder<Workflows>,
    executions: Decoder<Executions>,
    results: Decoder<Results>,
    effects: Decoder<Effects>,
    outcomes: Decoder<Outcomes>,
    registry: Decoder<Registry>,
    dead_letters: Decoder<DeadLetters>,
}

impl Decoders {
    pub(crate) fn new(registry: &SchemaRegistry) -> Self {
        Self {
            deliveries: Decoder::new(registry.clone()),
            decisions: Decoder::new(registry.clone()),
            contexts: Decoder::new(registry.clone()),
            notifications: Decoder::new(registry.clone()),
            workflows: Decoder::new(registry.clone()),
            executions: Decoder::new(registry.clone()),
            results: Decoder::new(registry.clone()),
            effects: Decoder::new(registry.clone()),
            outcomes: Decoder::new(registry.clone()),
            registry: Decoder::new(registry.clone()),
            dead_letters: Decoder::new(registry.clone()),
        }
    }

    pub(crate) async fn decode(&self, record: &Record) -> Result<Recorded<Audited>, DecodeError> {
        let recorded = self.decode_event(record).await?;
        let value_sha256 = sha256(record.value.as_deref().unwrap_or_default());
        Ok(recorded.map(|event| Audited {
            event,
            value_sha256,
        }))
    }

    async fn decode_event(&self, record: &Record) -> Result<Recorded<AnyEvent>, DecodeError> {
        Ok(match record.topic.as_str() {
            Decisions::TOPIC => self.decisions.decode(record).await?.map(AnyEvent::Decision),
            Contexts::TOPIC => self.contexts.decode(record).await?.map(AnyEvent::Context),
            Notifications::TOPIC => self
                .notifications
                .decode(record)
                .await?
                .map(AnyEvent::Notification),
            Workflows::TOPIC => self.workflows.decode(record).await?.map(AnyEvent::Workflow),
            Executions::TOPIC => self
                .executions
                .decode(record)
                .await?
                .map(AnyEvent::Execution),
            Results::TOPIC => self.results.decode(record).await?.map(AnyEvent::Result),
            Effects::TOPIC => self.effects.decode(record).await?.map(AnyEvent::Effect),
            Outcomes::TOPIC => self.outcomes.decode(record).await?.map(AnyEvent::Outcome),
            Registry::TOPIC => self.registry.decode(record).await?.map(AnyEvent::Registry),
            DeadLetters::TOPIC => self
                .dead_letters
                .decode(record)
                .await?
                .map(AnyEvent::DeadLetter),
            // Its decoder names the topic it expected when it is another one.
            _ => self
                .deliveries
                .decode(record)
                .await?
                .map(AnyEvent::Delivery),
        })
    }
}

fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write;
    Sha256::digest(bytes)
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_the_well_known_one() {
        assert_eq!(
            sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn every_topic_with_events_is_followed() {
        let mut with_events: Vec<_> = schemas::catalogue()
            .iter()
            .map(|entry| entry.topic)
            .collect();
        with_events.dedup();
        assert_eq!(with_events, TOPICS);
    }
}
