//! What agents may be shown: sharing, exact and near-duplicate merging.

mod event;

pub use event::{
    ContextEvent, ContextMerged, ContextShared, Neighbour, NotificationEvent, SubscriberNotified,
};
