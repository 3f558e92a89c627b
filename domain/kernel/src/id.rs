//! Deterministic ids. Every id is a UUID version 5 (RFC 9562, section 5.5) of
//! what it stands for, so a repeat of the same cause has the same id.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The namespace under which AgentMesh derives its ids: UUIDv5 of the DNS name
/// `agentmesh.cloud`, fixed for ever because stored ids depend on it.
const NAMESPACE: Uuid = Uuid::from_u128(0xb5a0_e342_0767_521e_bdcb_9350_2e1c_530b);

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps an id read from outside.
            pub const fn from_uuid(id: Uuid) -> Self {
                Self(id)
            }

            /// The id of the thing named by `parts`. The parts are length-prefixed
            /// before hashing, so `["ab", "c"]` and `["a", "bc"]` differ.
            pub fn derive(parts: &[&str]) -> Self {
                Self(derive(stringify!($name), parts))
            }

            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::try_parse(text).map(Self)
            }
        }
    };
}

fn derive(kind: &str, parts: &[&str]) -> Uuid {
    let mut name = Vec::with_capacity(64);
    for part in std::iter::once(&kind).chain(parts) {
        name.extend_from_slice(&(part.len() as u64).to_be_bytes());
        name.extend_from_slice(part.as_bytes());
    }
    Uuid::new_v5(&NAMESPACE, &name)
}

id!(
    /// One event. Also the idempotency key of any outside call made because of it.
    EventId
);
id!(
    /// One webhook and all that follows from it.
    CorrelationId
);
id!(
    /// One shared context: derived from tenant, space, kind and content digest.
    ContextId
);
id!(
    /// One notice to one subscriber about one context.
    NotificationId
);
id!(
    /// One policy decision.
    DecisionId
);
id!(
    /// One run of one workflow definition over one notification.
    WorkflowId
);
id!(
    /// One call of one agent tool.
    ExecutionId
);
id!(
    /// One write to a system of record; the external id under which it is written.
    EffectId
);

impl EventId {
    /// The id of the `ordinal`-th event that follows from the event `cause`.
    pub fn follows(cause: EventId, kind: &str, ordinal: usize) -> Self {
        Self::derive(&[&cause.to_string(), kind, &ordinal.to_string()])
    }
}

impl CorrelationId {
    /// The correlation id of one delivery: a sender's retry has the same.
    pub fn of_delivery(source_id: &str, delivery_id: &str) -> Self {
        Self::derive(&[source_id, delivery_id])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_has_the_same_id() {
        let once = CorrelationId::of_delivery("zapier", "msg_1");
        assert_eq!(once, CorrelationId::of_delivery("zapier", "msg_1"));
        assert_ne!(once, CorrelationId::of_delivery("zapier", "msg_2"));
    }

    #[test]
    fn part_boundaries_count() {
        assert_ne!(EventId::derive(&["ab", "c"]), EventId::derive(&["a", "bc"]));
    }

    #[test]
    fn kinds_do_not_collide() {
        assert_ne!(
            EventId::derive(&["a"]).as_uuid(),
            EffectId::derive(&["a"]).as_uuid()
        );
    }

    #[test]
    fn stored_ids_never_change() {
        assert_eq!(
            CorrelationId::of_delivery("zapier", "msg_1").to_string(),
            "cc38b250-3ef5-5ff0-8b45-4d46f17c78ca"
        );
    }
}
