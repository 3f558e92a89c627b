use std::collections::BTreeSet;

use domain_kernel::{Decider, EventId, Metadata, Recorded, Timestamp};
use platform_log::{Outgoing, Record};

use super::states::{Entry, States};
use super::{EventOf, Process, Rejected, StateOf};
use crate::Failure;
use crate::intake::guarded;

/// An event that was decided, on its way to the state topic.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) stream: String,
    pub(crate) partition: i32,
    pub(crate) outgoing: Outgoing,
}

/// What is to be appended because of a batch.
pub(crate) struct Decided<P: Process> {
    /// In the order decided.
    pub(crate) events: Vec<Draft>,
    pub(crate) requests: Vec<Outgoing>,
    /// Streams about which one decision was several events.
    pub(crate) indivisible: BTreeSet<String>,
    _process: std::marker::PhantomData<P>,
}

impl<P: Process> Default for Decided<P> {
    fn default() -> Self {
        Self {
            events: Vec::new(),
            requests: Vec::new(),
            indivisible: BTreeSet::new(),
            _process: std::marker::PhantomData,
        }
    }
}

/// What one input leads to, kept apart until all of it is known to be possible.
struct Staged<P: Process> {
    entries: Vec<(String, Entry<StateOf<P>>)>,
    recorded: Vec<Recorded<EventOf<P>>>,
}

/// Where an event comes from: an input, or the stream's own last event for a timer.
struct Cause<'a> {
    meta: &'a Metadata,
    /// Tells the ids of what follows apart by stream or as a timer's.
    kind: String,
}

impl<P: Process> Decided<P> {
    /// Decides one input over all its streams; either everything that follows
    /// is added, or nothing is.
    pub(crate) fn input(
        &mut self,
        process: &P,
        states: &mut States<StateOf<P>>,
        record: &Record,
        input: &Recorded<P::Input>,
        routes: Vec<(String, P::Route)>,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let partition = record.partition;
        let mut staged = Staged::<P> {
            entries: Vec::new(),
            recorded: Vec::new(),
        };
        for (stream, route) in routes {
            let mut entry = staged
                .entries
                .iter()
                .find(|(known, _)| *known == stream)
                .map_or_else(
                    || states.get(&stream, partition),
                    |(_, entry)| entry.clone(),
                );
            let command = guarded(|| process.command(input, route, &entry.state, now))??;
            let Some(command) = command else { continue };
            let events = match guarded(|| P::Decider::decide(&entry.state, command))? {
                Ok(events) => events,
                Err(rejection) => match process.rejected(input, &stream, &rejection) {
                    Rejected::Ignore => continue,
                    Rejected::DeadLetter(reason) => return Err(Failure::poison(reason)),
                },
            };
            let cause = Cause {
                meta: &input.meta,
                kind: stream.clone(),
            };
            staged.follow(process, &stream, &mut entry, events, &cause, now)?;
            staged.entries.retain(|(known, _)| *known != stream);
            staged.entries.push((stream, entry));
        }
        self.add(process, states, partition, staged)
    }

    /// Decides what a stream's timer leads to. Answers whether anything follows.
    pub(crate) fn timer(
        &mut self,
        process: &P,
        states: &mut States<StateOf<P>>,
        stream: String,
        mut entry: Entry<StateOf<P>>,
        now: Timestamp,
    ) -> Result<bool, Failure> {
        let Some(last) = entry.last.clone() else {
            return Ok(false);
        };
        let Some(command) = guarded(|| process.timer_command(&stream, &entry.state, now))? else {
            return Ok(false);
        };
        let events = match guarded(|| P::Decider::decide(&entry.state, command))? {
            Ok(events) => events,
            Err(rejection) => {
                tracing::debug!(process.name = P::NAME, stream.id = %stream, ?rejection, "timer command rejected");
                Vec::new()
            }
        };
        if events.is_empty() {
            return Ok(false);
        }
        let partition = entry.partition;
        let mut staged = Staged::<P> {
            entries: Vec::new(),
            recorded: Vec::new(),
        };
        let cause = Cause {
            meta: &last,
            kind: "timer".to_owned(),
        };
        staged.follow(process, &stream, &mut entry, events, &cause, now)?;
        staged.entries.push((stream, entry));
        self.add(process, states, partition, staged)?;
        Ok(true)
    }

    fn add(
        &mut self,
        process: &P,
        states: &mut States<StateOf<P>>,
        partition: i32,
        staged: Staged<P>,
    ) -> Result<(), Failure> {
        let mut events = Vec::with_capacity(staged.recorded.len());
        let mut requests = Vec::new();
        let mut seen = BTreeSet::new();
        let mut indivisible = BTreeSet::new();
        for recorded in &staged.recorded {
            if !seen.insert(&recorded.meta.stream) {
                indivisible.insert(recorded.meta.stream.clone());
            }
            let outgoing = process
                .encode_event(recorded)
                .map_err(Failure::poison)?
                .to_partition(partition);
            events.push(Draft {
                stream: recorded.meta.stream.clone(),
                partition,
                outgoing,
            });
            requests.append(&mut requests_of(process, recorded)?);
        }
        if !staged.recorded.is_empty() {
            process.decided(partition, &staged.recorded);
        }
        self.events.append(&mut events);
        self.requests.append(&mut requests);
        self.indivisible.append(&mut indivisible);
        for (stream, entry) in staged.entries {
            states.put(stream, entry);
        }
        Ok(())
    }
}

impl<P: Process> Staged<P> {
    /// Gives events their metadata and folds them into the entry.
    fn follow(
        &mut self,
        process: &P,
        stream: &str,
        entry: &mut Entry<StateOf<P>>,
        events: Vec<EventOf<P>>,
        cause: &Cause<'_>,
        now: Timestamp,
    ) -> Result<(), Failure> {
        for (ordinal, event) in events.into_iter().enumerate() {
            let meta = Metadata {
                id: EventId::follows(cause.meta.id, &cause.kind, ordinal),
                tenant: cause.meta.tenant.clone(),
                correlation: cause.meta.correlation,
                causation: Some(cause.meta.id),
                stream: stream.to_owned(),
                version: entry.version + 1,
                at: now,
                source: process.source().to_owned(),
                traceparent: cause.meta.traceparent.clone(),
                actor: cause.meta.actor.clone(),
            };
            let recorded = Recorded { meta, event };
            evolve::<P>(entry, &recorded)?;
            self.recorded.push(recorded);
        }
        Ok(())
    }
}

/// Folds one recorded event into its stream's entry.
pub(crate) fn evolve<P: Process>(
    entry: &mut Entry<StateOf<P>>,
    recorded: &Recorded<EventOf<P>>,
) -> Result<(), Failure> {
    let state = std::mem::take(&mut entry.state);
    entry.state = guarded(|| P::Decider::evolve(state, &recorded.event))?;
    entry.version = recorded.meta.version;
    entry.last = Some(recorded.meta.clone());
    entry.dirty = true;
    Ok(())
}

/// The requests that follow from an event, ready to be appended.
pub(crate) fn requests_of<P: Process>(
    process: &P,
    recorded: &Recorded<EventOf<P>>,
) -> Result<Vec<Outgoing>, Failure> {
    guarded(|| P::Decider::react(recorded))?
        .into_iter()
        .enumerate()
        .map(|(ordinal, request)| {
            process
                .encode_request(recorded, ordinal, request)
                .map_err(Failure::poison)
        })
        .collect()
}
