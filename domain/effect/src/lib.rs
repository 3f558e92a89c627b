//! One write to a system of record: asked for by the workflow, attested by the sync role.

mod event;

pub use event::{
    EffectAttempted, EffectCancelled, EffectConfirmed, EffectEvent, EffectFailed, EffectReconciled,
    EffectRequest, EffectRequested, EffectUnknown, Operation,
};
