//! One write to a system of record: asked for by the workflow, attested by the sync role.

mod command;
mod decide;
mod error;
mod event;
mod react;
#[cfg(test)]
mod spec;
mod state;

pub use command::{Action, EffectCommand};
pub use decide::EffectDecider;
pub use error::EffectRejection;
pub use event::{
    EffectAttempted, EffectCancelled, EffectConfirmed, EffectEvent, EffectFailed, EffectReconciled,
    EffectRequest, EffectRequested, EffectUnknown, Evidence, Operation,
};
pub use react::NoRequest;
pub use state::{EffectState, Phase};
