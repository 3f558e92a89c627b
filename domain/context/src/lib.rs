//! What agents may be shown: sharing, exact and near-duplicate merging.

mod claims;
mod command;
mod decide;
mod error;
mod event;
mod guard;
mod react;
#[cfg(test)]
mod spec;
mod state;
mod words;

pub use claims::{Claims, Figure};
pub use command::{ContextCommand, Received, Verdict};
pub use decide::ContextDecider;
pub use error::ContextRejection;
pub use event::{
    ContextEvent, ContextMerged, ContextShared, Neighbour, NotificationEvent, SubscriberNotified,
};
pub use guard::{KeptApart, Profile, context_id, kept_apart};
pub use state::{ContextState, Known, REMEMBERED_MERGES};
