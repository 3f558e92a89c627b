//! The log: Kafka, with CloudEvents headers, Avro in the Confluent wire format
//! and the schema registry. The only crate that names the Kafka driver.
//!
//! Nothing here uses Kafka's transactions or its committed offsets for
//! correctness: whoever reads keeps its own positions beside its own data.

mod ack;
mod admin;
mod client;
mod decoder;
mod encoder;
mod error;
mod events;
mod group;
mod headers;
mod outgoing;
mod partition;
mod poller;
mod producer;
mod queues;
mod reader;
mod record;
mod registry;
mod topics;
mod wire;

pub use admin::{Admin, TopicSpec};
pub use decoder::Decoder;
pub use encoder::{CE_TYPE_PREFIX, Encoder, subject};
pub use error::{DecodeError, Error, MalformedRecord};
pub use group::{GroupConsumer, GroupEvent, GroupOptions};
pub use headers::{HeaderName, Headers};
pub use outgoing::Outgoing;
pub use partition::partition_of;
pub use producer::Producer;
pub use reader::PartitionReader;
pub use record::{Position, Record};
pub use registry::SchemaRegistry;
pub use wire::{frame, unframe};
