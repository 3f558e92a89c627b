//! Processes that decide: input topics in, one state topic and requests out.

mod batch;
mod intent;
mod recovery;
mod runner;
mod states;

use std::fmt::Debug;
use std::future::Future;

use domain_kernel::{Decider, EventId, Metadata, Recorded, Timestamp};
use platform_log::{DecodeError, Outgoing, Record};
use platform_postgres::Migration;
use serde::Serialize;
use serde::de::DeserializeOwned;

#[cfg(test)]
pub(crate) use runner::run_process_in;
pub use runner::{migrate_process, run_process};

use crate::Failure;

/// The event type of a process.
pub(crate) type EventOf<P> = <<P as Process>::Decider as Decider>::Event;
/// The state type of a process.
pub(crate) type StateOf<P> = <<P as Process>::Decider as Decider>::State;

/// What becomes of an input whose command was rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejected {
    /// Nothing follows; the runner has nothing to say about it either.
    Ignore,
    /// The input goes to `mesh.dead-letters` with this reason.
    DeadLetter(String),
}

/// A decider on the log.
///
/// One instance owns partition *n* of all inputs and of the state topic. A
/// batch: decode and route the inputs in order, load the states they concern,
/// decide, append the events, and once they are acknowledged in an unbroken run
/// the requests that follow from them; then states and offsets commit in one
/// Postgres transaction. The state is the fold of the state topic: on takeover
/// it is folded from the recorded offset to the end, and the requests that
/// follow are appended again, with the same ids.
pub trait Process: Send + Sync + 'static {
    type Decider: Decider<
            State: Serialize + DeserializeOwned + Clone + Send + Sync,
            Command: Send,
            Event: Clone + Send + Sync,
            Request: Send,
            Rejection: Debug + Send,
        > + Send
        + Sync;
    /// The events of all input topics, decoded.
    type Input: Send + Sync;
    /// What routing found out about one stream: the command's raw material, such as neighbours.
    type Route: Send;
    /// Names the consumer group and, with `-` turned into `_`, the Postgres schema.
    const NAME: &'static str;

    /// The topics read, without prefix. Keyed so that whatever concerns one
    /// stream is on one partition, the one its events go to.
    fn inputs(&self) -> Vec<&'static str>;

    /// The one topic this process writes its events to. Nobody else does.
    fn state_topic(&self) -> &'static str;

    /// The `ce_source` of the events.
    fn source(&self) -> &'static str;

    /// Reads an input record; none when it is not of interest.
    fn decode(
        &self,
        record: &Record,
    ) -> impl Future<Output = Result<Option<Recorded<Self::Input>>, DecodeError>> + Send;

    /// Reads a record of the state topic.
    fn decode_own(
        &self,
        record: &Record,
    ) -> impl Future<Output = Result<Recorded<EventOf<Self>>, DecodeError>> + Send;

    /// The streams an input will concern, as far as the input alone tells: their
    /// states are loaded with one query a batch. A stream not named here is
    /// loaded when `route` names it.
    fn streams(&self, _input: &Recorded<Self::Input>) -> Vec<String> {
        Vec::new()
    }

    /// The streams an input concerns. Called in order within a partition, and
    /// after `decided` was told what followed from the inputs before. May look
    /// things up.
    fn route(
        &self,
        partition: i32,
        input: &Recorded<Self::Input>,
    ) -> impl Future<Output = Result<Vec<(String, Self::Route)>, Failure>> + Send;

    /// The command for one stream; none when its state shows that nothing is to
    /// be done. An error makes the input a dead letter.
    fn command(
        &self,
        input: &Recorded<Self::Input>,
        route: Self::Route,
        state: &StateOf<Self>,
        now: Timestamp,
    ) -> Result<Option<<Self::Decider as Decider>::Command>, Failure>;

    /// Told of each input's events as soon as they are decided, before they are
    /// appended, and of the events folded on takeover. What is remembered here
    /// may turn out not to have been appended: see `reset`.
    fn decided(&self, _partition: i32, _events: &[Recorded<EventOf<Self>>]) {}

    /// Told when a partition is given up, lost, or about to be recovered: what
    /// `decided` made visible ahead of the log is to be forgotten.
    fn reset(&self, _partition: i32) {}

    /// Told when a partition has been recovered: from now on input of it follows.
    fn owned(&self, _partition: i32) {}

    /// What becomes of an input whose command was rejected. A rejected timer is
    /// always ignored.
    fn rejected(
        &self,
        input: &Recorded<Self::Input>,
        stream: &str,
        rejection: &<Self::Decider as Decider>::Rejection,
    ) -> Rejected {
        tracing::info!(process.name = Self::NAME, input.id = %input.meta.id, stream.id = stream, ?rejection, "command rejected");
        Rejected::Ignore
    }

    /// An event as a record of the state topic.
    fn encode_event(
        &self,
        recorded: &Recorded<EventOf<Self>>,
    ) -> Result<Outgoing, platform_log::Error>;

    /// A request as a record of whichever topic it belongs to. Deterministic:
    /// the same cause and ordinal give the same record; [`request_metadata`]
    /// gives its metadata.
    fn encode_request(
        &self,
        cause: &Recorded<EventOf<Self>>,
        ordinal: usize,
        request: <Self::Decider as Decider>::Request,
    ) -> Result<Outgoing, platform_log::Error>;

    /// When the stream wants to be woken though nothing came in.
    fn wake_at(&self, _state: &StateOf<Self>) -> Option<Timestamp> {
        None
    }

    /// The command for a stream whose `wake_at` has passed.
    fn timer_command(
        &self,
        _stream: &str,
        _state: &StateOf<Self>,
        _now: Timestamp,
    ) -> Option<<Self::Decider as Decider>::Command> {
        None
    }

    /// Tables of the process's own, if any. Never needed for the states.
    fn migrations() -> Vec<Migration> {
        Vec::new()
    }
}

/// The metadata of the `ordinal`-th request that follows from an event: derived
/// from the event alone, so that a re-emission is the same to the byte.
/// `version` is the request's position in `stream`: 1 for what opens it.
pub fn request_metadata(
    cause: &Metadata,
    ordinal: usize,
    stream: impl Into<String>,
    version: u64,
    source: &str,
) -> Metadata {
    Metadata {
        id: EventId::follows(cause.id, "request", ordinal),
        tenant: cause.tenant.clone(),
        correlation: cause.correlation,
        causation: Some(cause.id),
        stream: stream.into(),
        version,
        at: cause.at,
        source: source.to_owned(),
        traceparent: cause.traceparent.clone(),
        actor: cause.actor.clone(),
    }
}
