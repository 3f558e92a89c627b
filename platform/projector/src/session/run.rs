use std::collections::BTreeSet;
use std::time::Duration;

use platform_log::{GroupEvent, Record};
use platform_postgres::Claimed;
use platform_telemetry::names::messaging;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, debug, info, info_span, warn};

use super::{Halt, Role, Session, SessionOptions};
use crate::Error;
use crate::error::chain;
use crate::world::{Clock, Log, Member, Store, World};

pub(super) const FIRST_WAIT: Duration = Duration::from_millis(100);
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A member that was away too long learns from the group what it lost, given
/// the time of a heartbeat; claiming before that would only fence the new owner.
const FENCED_WAIT: Duration = Duration::from_secs(1);
/// The SDK keeps no more links of one span.
const MOST_LINKS: usize = 128;
/// How often an idle runner checks that it still owns what it thinks it owns.
const IDLE_CHECK: Duration = Duration::from_secs(2);

impl<W: World, R: Role> Session<W, R> {
    /// Works until `shutdown`.
    pub(super) async fn run(mut self, shutdown: &CancellationToken) -> Result<(), Error> {
        info!(
            runner.name = self.options.name,
            runner.owner = self.world.store().owner(),
            "runner started"
        );
        while !shutdown.is_cancelled() {
            if let Err(halt) = self.step(shutdown).await {
                self.let_go(halt).await;
            }
            if let Some(error) = self.replaced.take() {
                return self.give_way(error).await;
            }
        }
        self.role.drain().await;
        if let Ok(committed) = self.role.tick().await {
            self.report(&committed);
        }
        self.world.readiness().not_ready("stopped");
        self.consumer.close().await;
        info!(runner.name = self.options.name, "runner stopped");
        Ok(())
    }

    /// Two under one name would push each other out for ever, so the older one
    /// ends, and what it had in hand is the other's to do.
    async fn give_way(self, error: platform_log::Error) -> Result<(), Error> {
        self.world
            .readiness()
            .not_ready("another process joined the group under the same instance id");
        self.options.show_ready(false);
        self.options.show_owned(0);
        self.consumer.close().await;
        Err(error.into())
    }

    async fn step(&mut self, shutdown: &CancellationToken) -> Result<(), Halt> {
        self.claim_unclaimed(shutdown).await?;
        self.go_on()?;
        let wants = self.role.wants();
        self.set_paused(wants == 0)?;
        let longest_wait = self.longest_wait();
        let event = tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(()),
            event = self.consumer.next(wants.max(1), longest_wait) => match event {
                Ok(event) => event,
                Err(error) if error.is_replaced() => {
                    self.replaced = Some(error);
                    return Ok(());
                }
                Err(error) => {
                    self.rejoin = !error.is_transient();
                    return Err(error.into());
                }
            },
        };
        let mut worked = false;
        match event {
            GroupEvent::Assigned(partitions) => {
                debug!(
                    runner.name = self.options.name,
                    ?partitions,
                    "partitions assigned"
                );
                self.assigned.extend(partitions);
                self.joined = true;
            }
            GroupEvent::Revoked(partitions) => {
                debug!(
                    runner.name = self.options.name,
                    ?partitions,
                    "partitions revoked"
                );
                // The batch before is finished and committed. What else is under
                // way comes to its end, and what is done is noted before the
                // partitions go; what cannot be noted the next owner finds on
                // the log.
                self.role.hand_over(&partitions).await;
                match self.role.tick().await {
                    Ok(committed) => self.report(&committed),
                    Err(halt) => {
                        debug!(runner.name = self.options.name, reason = %halt.reason(), "not all is noted that was done");
                    }
                }
                self.give_up(&partitions);
                self.consumer.release()?;
            }
            GroupEvent::Lost(partitions) => {
                warn!(
                    runner.name = self.options.name,
                    ?partitions,
                    "partitions were lost: the group has not heard of this member for too long"
                );
                self.give_up(&partitions);
                self.consumer.release()?;
            }
            GroupEvent::Records(mut records) => {
                self.drop_waiting(&mut records);
                let admitted = self.owned.admit(records);
                if !admitted.seek.is_empty() {
                    self.start(&admitted.seek)?;
                }
                if !admitted.batch.records.is_empty() {
                    worked = true;
                    let size = admitted.batch.records.len();
                    metrics::histogram!(crate::metric::BATCH, "runner" => self.options.name)
                        .record(size as f64);
                    self.lag.handled(&admitted.batch.records);
                    let span = consumer_span(&self.options, &admitted.batch.records);
                    let handled = self.role.handle(admitted.batch).instrument(span).await;
                    let committed = match handled {
                        Err(Halt::Held { held, committed }) => {
                            self.hold(held)?;
                            committed
                        }
                        handled => handled?,
                    };
                    self.report(&committed);
                    self.wait = FIRST_WAIT;
                }
            }
        }
        let committed = self.role.tick().await?;
        self.report(&committed);
        if worked {
            self.checked_at = self.ticks();
        } else {
            self.check_while_idle().await?;
        }
        self.show_readiness();
        self.show_lag().await;
        Ok(())
    }

    async fn show_lag(&mut self) {
        if self.owned.is_empty() || !self.lag.is_due(self.ticks()) {
            return;
        }
        let (log, clock) = (self.world.log(), self.world.clock());
        let claims = self.owned.claims();
        self.lag
            .show(self.options.name, &self.options.inputs, &claims, log, clock)
            .await;
    }

    /// These are others' to claim from here on.
    fn give_up(&mut self, partitions: &[i32]) {
        self.assigned.retain(|number| !partitions.contains(number));
        self.owned.remove(partitions);
        self.lag
            .forget(self.options.name, |number| partitions.contains(&number));
        self.waiting.remove(partitions);
        self.show_waiting();
        self.role.release(partitions);
        self.count_owned();
    }

    /// Ready is who owns all it was assigned (nothing, where there are more
    /// members than partitions) and has a broker in reach.
    fn show_readiness(&mut self) {
        let owns_all = self
            .assigned
            .iter()
            .all(|number| self.owned.contains(*number));
        let ready = self.joined && owns_all && self.consumer.connected();
        if ready && !self.ready {
            self.world.readiness().ready();
        } else if self.ready && !ready {
            self.world.readiness().not_ready(if owns_all {
                "no broker in reach"
            } else {
                "claiming partitions"
            });
        }
        self.ready = ready;
        self.options.show_ready(ready);
    }

    /// Claims what is assigned and not yet owned, once the wait after a failure is over.
    async fn claim_unclaimed(&mut self, shutdown: &CancellationToken) -> Result<(), Halt> {
        let unclaimed: Vec<i32> = self
            .assigned
            .iter()
            .copied()
            .filter(|number| !self.owned.contains(*number))
            .collect();
        if unclaimed.is_empty() || self.ticks() < self.retry_at || shutdown.is_cancelled() {
            return Ok(());
        }
        let wanted: Vec<(&str, i32)> = unclaimed
            .iter()
            .flat_map(|number| {
                self.widths
                    .iter()
                    .filter(move |(_, width)| number < width)
                    .map(move |(topic, _)| (*topic, *number))
            })
            .collect();
        let (claims, incarnation) = self.world.store().claim(&wanted).await?;
        self.incarnation = Some(incarnation);
        for claim in &claims {
            metrics::gauge!(crate::metric::GENERATION, "runner" => self.options.name, "topic" => claim.topic.clone(), "partition" => claim.partition.to_string())
                .set(claim.generation as f64);
        }
        metrics::counter!(crate::metric::CLAIMS, "runner" => self.options.name)
            .increment(unclaimed.len() as u64);
        let inputs = self.role.take_over(&claims).await?;
        self.refuse_a_cut_log(&inputs).await?;
        self.start(&inputs)?;
        self.consumer.resume(&unclaimed)?;
        self.owned.insert(inputs);
        self.count_owned();
        self.paused = false;
        self.checked_at = self.ticks();
        info!(runner.name = self.options.name, partitions = ?unclaimed, "partitions claimed");
        Ok(())
    }

    /// A checkpoint beyond the end of its topic means that the topic was cut or
    /// created anew. Reading on would pass over whatever comes until the old
    /// offset is reached, so nothing is read until somebody decides what is to
    /// become of the read model: a rebuild, or the log from a backup.
    async fn refuse_a_cut_log(&self, inputs: &[Claimed]) -> Result<(), Halt> {
        for topic in &self.options.inputs {
            let ends = self.world.log().high_watermarks(topic).await?;
            let cut = inputs.iter().find(|claim| {
                claim.topic == *topic
                    && ends
                        .iter()
                        .any(|(number, end)| *number == claim.partition && claim.next_offset > *end)
            });
            if let Some(claim) = cut {
                return Err(Halt::transient(format!(
                    "{}/{} ends before the checkpoint {} of {}: the topic was cut or created anew, rebuild is needed",
                    claim.topic, claim.partition, claim.next_offset, self.options.name
                )));
            }
        }
        Ok(())
    }

    /// For records: no longer than until a partition that waits goes on.
    fn longest_wait(&self) -> Duration {
        let next = self
            .waiting
            .next()
            .map_or(self.options.tick, |next| next.saturating_sub(self.ticks()));
        next.clamp(Duration::from_millis(1), self.options.tick)
    }

    pub(super) fn start(&mut self, claims: &[Claimed]) -> Result<(), Halt> {
        let positions: Vec<(&str, i32, i64)> = claims
            .iter()
            .map(|claim| (claim.topic.as_str(), claim.partition, claim.next_offset))
            .collect();
        self.consumer.start(&positions)?;
        Ok(())
    }

    fn set_paused(&mut self, paused: bool) -> Result<(), Halt> {
        if self.paused != paused && !self.owned.is_empty() {
            let mut numbers = self.owned.numbers();
            numbers.retain(|number| !self.waiting.contains(*number));
            if paused {
                self.consumer.pause(&numbers)?;
            } else {
                self.consumer.resume(&numbers)?;
            }
            self.paused = paused;
        }
        Ok(())
    }

    /// A runner without work would not notice that it was fenced, or that its
    /// tables are gone, before the next record: it looks from time to time.
    async fn check_while_idle(&mut self) -> Result<(), Halt> {
        if self.owned.is_empty() || self.ticks() < self.checked_at + IDLE_CHECK {
            return Ok(());
        }
        self.checked_at = self.ticks();
        let store = self.world.store();
        store.verify(&self.owned.claims()).await?;
        store.inspect(self.incarnation.as_deref()).await?;
        self.role.idle().await?;
        self.wait = FIRST_WAIT;
        Ok(())
    }

    /// Gives up all ownership after a failure. What the group still assigns is
    /// claimed again after a wait, during which the group is polled: a member
    /// that was away too long learns there that its partitions went to others.
    async fn let_go(&mut self, halt: Halt) {
        let reason = halt.reason();
        let fenced = matches!(halt, Halt::Fenced);
        warn!(runner.name = self.options.name, reason = %reason, wait_ms = self.wait.as_millis() as u64, "runner lets go of its partitions");
        metrics::counter!(crate::metric::HALTS, "runner" => self.options.name, "reason" => halt.kind()).increment(1);
        if matches!(halt, Halt::Waiting(_)) {
            metrics::counter!(crate::metric::RETRIES, "runner" => self.options.name, "step" => "batch")
                .increment(1);
        }
        self.world.readiness().not_ready(&reason);
        self.ready = false;
        self.options.show_ready(false);
        let assigned: Vec<i32> = self.assigned.iter().copied().collect();
        if let Err(error) = self.consumer.pause(&assigned) {
            debug!(runner.name = self.options.name, error = %chain(&error), "pausing failed");
        }
        // The lag is shown as it was: it is still this member's to work off.
        self.owned.remove(&self.owned.numbers());
        self.waiting.clear();
        self.show_waiting();
        self.role.release(&assigned);
        self.count_owned();
        self.paused = false;
        if self.rejoin {
            match self
                .world
                .log()
                .join(&self.options.group, &self.options.inputs)
            {
                Ok(consumer) => {
                    std::mem::replace(&mut self.consumer, consumer)
                        .close()
                        .await;
                    self.assigned.clear();
                    self.lag.forget(self.options.name, |_| true);
                    self.joined = false;
                    self.rejoin = false;
                }
                Err(error) => {
                    warn!(runner.name = self.options.name, error = %chain(&error), "group cannot be joined again yet");
                }
            }
            self.world.clock().sleep(self.jittered()).await;
        }
        if matches!(halt, Halt::SchemaMissing | Halt::Stale(_)) {
            let anew = match halt {
                Halt::Stale(_) => self.incarnation.as_deref(),
                _ => None,
            };
            if let Err(halt) = self.world.store().repair(anew).await {
                warn!(runner.name = self.options.name, reason = %halt.reason(), "schema cannot be created yet");
            }
        }
        if fenced {
            self.wait = self.wait.max(FENCED_WAIT);
        }
        self.retry_at = self.ticks() + self.jittered();
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
    }

    /// Tells the group as well, for those who watch the lag there. Nothing rests on it.
    fn report(&mut self, committed: &[Claimed]) {
        if committed.is_empty() {
            return;
        }
        let offsets: Vec<(&str, i32, i64)> = committed
            .iter()
            .filter(|claim| Some(claim.topic.as_str()) != self.options.own)
            .map(|claim| (claim.topic.as_str(), claim.partition, claim.next_offset))
            .collect();
        self.consumer.commit_to_group(&offsets);
    }

    fn count_owned(&self) {
        self.options.show_owned(self.owned.numbers().len());
    }

    pub(super) fn ticks(&self) -> Duration {
        self.world.clock().ticks()
    }

    /// Between half and all of the wait, so that members that failed together do
    /// not come back together.
    fn jittered(&self) -> Duration {
        self.wait / 2 + self.wait.mul_f64(self.world.clock().spread() / 2.0)
    }
}

/// A batch has many causes, so its span has no parent but a link to the span
/// that produced each of its records.
fn consumer_span(options: &SessionOptions, records: &[Record]) -> Span {
    let mut topics: Vec<&str> = records.iter().map(|record| record.topic.as_str()).collect();
    topics.dedup();
    topics.sort_unstable();
    topics.dedup();
    let destination = topics.join(",");
    let span = info_span!(
        parent: None,
        "process",
        otel.name = format!("process {destination}"),
        otel.kind = "consumer",
        messaging.system = messaging::KAFKA,
        messaging.operation.name = "process",
        messaging.operation.type = "process",
        messaging.destination.name = destination,
        messaging.consumer.group.name = options.group,
        messaging.batch.message_count = records.len(),
        runner.name = options.name,
    );
    if span.is_disabled() {
        return span;
    }
    let mut linked = BTreeSet::new();
    for traceparent in records
        .iter()
        .filter_map(|record| record.header("traceparent"))
    {
        if linked.len() < MOST_LINKS && linked.insert(traceparent) {
            platform_telemetry::span_link(&span, Some(traceparent));
        }
    }
    span
}
