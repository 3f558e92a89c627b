use std::collections::BTreeSet;

use platform_log::{Outgoing, Record};
use platform_postgres::Claimed;
use tracing::{info, warn};

use super::batch::{Decided, Draft, evolve, requests_of};
use super::runner::{AppendError, ProcessRole};
use super::states::States;
use super::{Process, intent};
use crate::Failure;
use crate::error::chain;
use crate::guard::{Guard, stands};
use crate::intake::guarded_async;
use crate::read::Stretch;
use crate::session::Halt;
use crate::world::{Append, Log, StateStore, World};

impl<W, P> ProcessRole<W, P>
where
    W: World<Store: StateStore>,
    P: Process,
{
    /// Folds the state topic from the recorded offset to its end and appends
    /// again the requests that follow from what was found there: the owner
    /// before may have crashed between its append and its commit.
    pub(super) async fn recover(&mut self, mut own: Claimed) -> Result<(), Halt> {
        let partition = own.partition;
        let from = own.next_offset;
        self.process.reset(partition);
        let mut stretch = Stretch::over(
            self.world.log(),
            self.process.state_topic(),
            vec![(partition, own.next_offset)],
        )
        .await?;
        loop {
            let records = stretch.next().await?;
            let Some(end) = records.last().map(|record| record.offset + 1) else {
                break;
            };
            own.next_offset = end;
            self.fold(&own, records).await?;
        }
        if own.next_offset > from {
            info!(
                process.name = P::NAME,
                partition,
                offset.from = from,
                offset.to = own.next_offset,
                "state topic folded on takeover"
            );
        }
        self.own.insert(partition, own);
        if stands(Guard::Intent) {
            self.complete(partition).await?;
        }
        Ok(())
    }

    /// Appends what is missing of decisions that were noted and only begun.
    ///
    /// Of a stream, what was noted still holds if its last event is one of them,
    /// or the one before them. Else somebody else's events took their place, and
    /// the input is decided anew.
    async fn complete(&mut self, partition: i32) -> Result<(), Halt> {
        let Some(text) = self.world.store().intended(partition).await? else {
            return Ok(());
        };
        let records = intent::read(&text, self.process.state_topic(), partition)?;
        let mut events = Vec::with_capacity(records.len());
        for record in records {
            match guarded_async(self.process.decode_own(&record)).await {
                Ok(event) => events.push((record, event)),
                Err(failure) => return Err(Halt::transient(failure)),
            }
        }
        let streams: Vec<String> = events
            .iter()
            .map(|(_, event)| event.meta.stream.clone())
            .collect();
        let mut states = States::default();
        let own = self.own.get(&partition).ok_or(Halt::Fenced)?;
        states.load(self.world.store(), own, &streams).await?;
        let mut decided = Decided::<P>::default();
        let mut replaced = BTreeSet::new();
        let mut missing = Vec::new();
        for (record, event) in events {
            let stream = event.meta.stream.clone();
            let mut entry = states.get(&stream, partition);
            if event.meta.version <= entry.version {
                let last = entry.last.as_ref().map(|last| last.id);
                if event.meta.version == entry.version && last != Some(event.meta.id) {
                    replaced.insert(stream);
                }
                continue;
            }
            if event.meta.version != entry.version + 1 || replaced.contains(&stream) {
                replaced.insert(stream);
                continue;
            }
            evolve::<P>(&mut entry, &event)?;
            decided
                .requests
                .append(&mut requests_of(&*self.process, &event)?);
            decided.events.push(Draft {
                stream: stream.clone(),
                partition,
                outgoing: Outgoing::again(self.process.state_topic(), &record),
            });
            states.put(stream, entry);
            missing.push(event);
        }
        if missing.is_empty() {
            return Ok(());
        }
        info!(
            process.name = P::NAME,
            partition,
            events = missing.len(),
            "appending the rest of decisions that were begun"
        );
        self.process.decided(partition, &missing);
        let own = match self.append(decided).await {
            Ok(own) => own,
            Err(AppendError::Halt(halt)) => return Err(halt),
            Err(AppendError::Refused(error)) => return Err(Halt::transient(error)),
        };
        self.commit(&states, &own).await?;
        self.remember(&own);
        Ok(())
    }

    async fn fold(&mut self, own: &Claimed, records: Vec<Record>) -> Result<(), Halt> {
        let mut events = Vec::with_capacity(records.len());
        for record in records {
            match guarded_async(self.process.decode_own(&record)).await {
                Ok(event) => events.push((record, event)),
                // Every reader of the topic passes over it in the same way.
                Err(failure) => self.dead_letters.pass_over(record, failure).await?,
            }
        }
        let streams: Vec<String> = events
            .iter()
            .map(|(_, event)| event.meta.stream.clone())
            .collect();
        let mut states = States::default();
        states.load(self.world.store(), own, &streams).await?;
        let mut requests = Vec::new();
        let mut folded = Vec::with_capacity(events.len());
        for (record, event) in events {
            let mut entry = states.get(&event.meta.stream, own.partition);
            if event.meta.version <= entry.version {
                continue;
            }
            if event.meta.version > entry.version + 1 {
                warn!(
                    process.name = P::NAME,
                    stream.id = %event.meta.stream,
                    version.expected = entry.version + 1,
                    version.found = event.meta.version,
                    "a version is missing in the state topic"
                );
            }
            let reaction =
                evolve::<P>(&mut entry, &event).and_then(|()| requests_of(&*self.process, &event));
            match reaction {
                Ok(mut more) => requests.append(&mut more),
                Err(failure) => {
                    // Written by a release that could; this one cannot, and going on
                    // without it would fork the state from what readers see.
                    warn!(process.name = P::NAME, at = %record.position(), error = %chain(&failure), "own event cannot be folded");
                    return Err(Halt::Waiting(Failure::transient(failure)));
                }
            }
            states.put(event.meta.stream.clone(), entry);
            folded.push(event);
        }
        self.process.decided(own.partition, &folded);
        if !requests.is_empty() && stands(Guard::Reemission) {
            self.world.log().producer().append_all(requests).await?;
        }
        self.commit(&states, std::slice::from_ref(own)).await
    }
}
