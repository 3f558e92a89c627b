//! What every bounded context shares: ids, event metadata, the decider contract
//! and the codec contract. Pure: no IO, no clock, no randomness.

mod codec;
mod decider;
mod id;
mod json;
mod metadata;
pub mod spec;
mod time;

pub use codec::{Codec, CodecError};
pub use decider::Decider;
pub use id::{
    ContextId, CorrelationId, DecisionId, EffectId, EventId, ExecutionId, NotificationId,
    WorkflowId,
};
pub use json::Json;
pub use metadata::{Actor, Metadata, Recorded, Space, TenantId, Timestamp};
pub use time::InvalidTimestamp;
