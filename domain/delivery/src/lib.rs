//! What came in from outside. Facts only: the gateway has already answered the
//! sender when these are read.

mod batched;
mod error;
mod event;

pub use batched::cloud_event_id;
pub use error::UnknownName;
pub use event::{
    AuthMethod, DeliveryAccepted, DeliveryEvent, DeliveryRefused, Quarantine, RefusalReason,
    RequestLine,
};
