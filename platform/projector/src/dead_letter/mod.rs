//! Records that could not be handled, and how they come back.

mod given_up;
mod letter;
mod redrives;
mod tries;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use platform_config::DeadLetters as Policy;
use platform_log::Record;
use tracing::{info, warn};

pub(crate) use given_up::GivenUp;
pub use letter::{DeadLetter, letter_id};
pub(crate) use redrives::Taken;
pub use redrives::redrive;

use crate::Failure;
use crate::error::chain;
use crate::session::Halt;
use crate::world::{Append, Clock, KafkaLog, Log, World};
use tries::Tries;

/// Where records go that could not be handled. Every runner also reads it, for
/// the redrives that are meant for it.
pub const TOPIC: &str = "mesh.dead-letters";

/// The topics a runner reads because of what it is, and this one.
pub(crate) fn with_redrives(mut topics: Vec<&'static str>) -> Vec<&'static str> {
    if !topics.contains(&TOPIC) {
        topics.push(TOPIC);
    }
    topics
}

/// What becomes of a record that failed.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Something is away that any record needs.
    Wait(Failure),
    /// It is tried again after this long.
    Again(Duration, Failure),
    /// It is a dead letter, and on the log.
    Buried,
}

/// The ticks of the world's clock.
type Ticks = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Judges records that failed, on behalf of one consumer, and sends away those
/// that are given up.
#[derive(Clone)]
pub(crate) struct DeadLetters<L = KafkaLog> {
    consumer: &'static str,
    /// What the consumer reads or folds: nothing else is redriven to it.
    topics: Arc<[&'static str]>,
    /// Whether the letters themselves are among what the consumer is about.
    reads_letters: bool,
    policy: Policy,
    log: L,
    ticks: Ticks,
    tries: Arc<Mutex<Tries>>,
}

impl<L: Log> DeadLetters<L> {
    /// `topics` are the consumer's own, its state or answer topic included.
    pub(crate) fn new<W: World<Log = L>>(
        world: &W,
        consumer: &'static str,
        topics: &[&'static str],
    ) -> Self {
        Self {
            consumer,
            topics: topics.into(),
            reads_letters: topics.contains(&TOPIC),
            policy: world.dead_letters().clone(),
            log: world.log().clone(),
            ticks: Arc::new({
                let clock = world.clock().clone();
                move || clock.ticks()
            }),
            tries: Arc::default(),
        }
    }

    fn policy(&self) -> &Policy {
        &self.policy
    }

    /// How often a record is tried that fails by itself.
    pub(crate) fn attempts(&self) -> u32 {
        self.policy().attempts
    }

    /// The pause after so many tries.
    pub(crate) fn pause(&self, attempts: u32) -> Duration {
        tries::pause(self.policy(), attempts)
    }

    /// Decides whether a record that failed is tried again; if not, returns once
    /// the broker has it among the dead letters, so that the checkpoint may move
    /// past it.
    pub(crate) async fn judge(&self, taken: &Taken, failure: Failure) -> Result<Verdict, Halt> {
        let attempts = match failure {
            Failure::Transient(_) => return Ok(Verdict::Wait(failure)),
            Failure::Poison(_) => self.tries().count(&taken.at) + 1,
            Failure::Suspect(_) => {
                let kept = tries::kept(self.policy());
                let (attempts, tried_for) = self.tries().note(&taken.at, (self.ticks)(), kept);
                let pause = self.pause(attempts);
                let patience = tries::patience(self.policy(), &failure);
                if attempts < self.attempts() || tried_for < patience {
                    metrics::counter!(crate::metric::RETRIES, "runner" => self.consumer, "step" => "record")
                        .increment(1);
                    return Ok(Verdict::Again(pause, failure));
                }
                attempts
            }
        };
        self.bury(taken.record(), &failure, attempts).await?;
        self.tries().forget(&taken.at);
        Ok(Verdict::Buried)
    }

    /// For a record of the consumer's own topic, read on takeover: returns once
    /// it is among the dead letters, or why the takeover has to wait.
    pub(crate) async fn pass_over(&self, record: Record, failure: Failure) -> Result<(), Halt> {
        match self.judge(&Taken::itself(record), failure).await? {
            Verdict::Buried => Ok(()),
            Verdict::Wait(failure) | Verdict::Again(_, failure) => Err(failure.into()),
        }
    }

    /// Appends the record as it was, with its key, its headers and why.
    pub(crate) async fn bury(
        &self,
        record: &Record,
        failure: &Failure,
        attempts: u32,
    ) -> Result<(), Halt> {
        warn!(
            runner.name = self.consumer,
            messaging.destination.name = %record.topic,
            messaging.kafka.partition = record.partition,
            messaging.kafka.offset = record.offset,
            record.attempts = attempts,
            reason = %chain(failure),
            "record becomes a dead letter"
        );
        let letter = letter::write(record, self.consumer, failure, attempts);
        match self.log.producer().append(letter.clone()).await {
            Ok(_) => {}
            // With its new headers it no longer fits. Where it came from it still is.
            Err(platform_log::Error::TooLarge { .. }) => {
                let letter = letter::without_value(letter, record);
                self.log.producer().append(letter).await?;
            }
            Err(error) => return Err(error.into()),
        }
        metrics::counter!(crate::metric::DEAD_LETTERS, "runner" => self.consumer, "topic" => record.topic.clone())
            .increment(1);
        Ok(())
    }

    /// What is to be handled because of a record: mostly the record itself. Of
    /// the dead letters nothing, but for a redrive that is meant for this
    /// consumer: then it is the record it names, read from where it came from.
    pub(crate) async fn resolve(&self, record: Record) -> Result<Vec<Taken>, Halt> {
        if record.topic != TOPIC {
            return Ok(vec![Taken::itself(record)]);
        }
        let mut found = Vec::new();
        if let Some(origin) = redrives::meant_for(&record, self.consumer) {
            if self.topics.contains(&origin.topic.as_str()) {
                match redrives::fetch(&self.log, &origin).await? {
                    Some(original) => {
                        info!(runner.name = self.consumer, record.origin = %origin, "record comes back from the dead letters");
                        found.push(Taken::redriven(record.clone(), original));
                    }
                    None => {
                        warn!(runner.name = self.consumer, record.origin = %origin, "redrive of a record that is not on the log");
                    }
                }
            } else {
                warn!(runner.name = self.consumer, record.origin = %origin, "redrive of a record this consumer does not read");
            }
        }
        if self.reads_letters {
            found.push(Taken::itself(record));
        }
        Ok(found)
    }

    fn tries(&self) -> std::sync::MutexGuard<'_, Tries> {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
