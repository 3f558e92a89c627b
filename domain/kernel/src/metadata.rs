use serde::{Deserialize, Serialize};

use crate::{CorrelationId, EventId};

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    pub const fn as_micros(self) -> i64 {
        self.0
    }

    pub const fn as_millis(self) -> i64 {
        self.0 / 1_000
    }

    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis.saturating_mul(1_000)))
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            pub fn new(name: impl Into<String>) -> Self {
                Self(name.into())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// Whose event it is. Comes from a credential or a registered source, never from a payload.
    TenantId
);
name!(
    /// A compartment within a tenant. Contexts are never merged across spaces.
    Space
);

name!(
    /// On whose behalf something happens: `key:<id>` for an API key,
    /// `user:<subject>` for a token, `certificate:<name>` for a client
    /// certificate, `source:<id>` for a sender of webhooks.
    Actor
);

/// What is known of an event beside its content. On the log it travels in headers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    pub id: EventId,
    pub tenant: TenantId,
    pub correlation: CorrelationId,
    /// The event this one follows from; none for what came in from outside.
    pub causation: Option<EventId>,
    /// The stream the event belongs to, unique within its topic.
    pub stream: String,
    /// Position in the stream, counted from 1.
    pub version: u64,
    /// When the event was recorded, by the clock of the recorder. Never used for ordering.
    pub at: Timestamp,
    /// Who recorded it, as a URI reference: `/agentmesh/gateway`.
    pub source: String,
    /// W3C `traceparent` of the span that recorded it.
    pub traceparent: Option<String>,
    /// Who caused it: authenticated where it came in, and carried on to all that
    /// follows. None where nobody was, such as a delivery that was not believed.
    pub actor: Option<Actor>,
}

/// An event as it stands on the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded<E> {
    pub meta: Metadata,
    pub event: E,
}

impl<E> Recorded<E> {
    /// The same metadata around another view of the event.
    pub fn map<F>(self, change: impl FnOnce(E) -> F) -> Recorded<F> {
        Recorded {
            meta: self.meta,
            event: change(self.event),
        }
    }
}
