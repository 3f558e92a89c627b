//! What is about to be appended, noted beforehand.
//!
//! The events of one decision are several records, and a crash may leave only
//! the first of them on the log. Deciding the input again would not bring the
//! others back, because to `decide` the first one says that it was decided. So
//! before a decision of several events is appended it is noted in the store,
//! and whoever takes over appends what is missing of it.

use bytes::Bytes;
use platform_log::{Outgoing, Record};
use serde::{Deserialize, Serialize};

use crate::session::Halt;

/// One record, its bytes in hexadecimal: a key or a header may be any bytes.
#[derive(Serialize, Deserialize)]
struct Noted {
    key: Option<String>,
    headers: Vec<(String, String)>,
    value: Option<String>,
}

/// The records of one partition as text.
pub(super) fn write<'a>(records: impl Iterator<Item = &'a Outgoing>) -> Result<String, Halt> {
    let noted: Vec<Noted> = records
        .map(|record| Noted {
            key: record.key().map(hex::encode),
            headers: record
                .headers()
                .iter()
                .map(|(name, value)| (name.to_string(), hex::encode(value)))
                .collect(),
            value: record.value().map(hex::encode),
        })
        .collect();
    serde_json::to_string(&noted).map_err(Halt::transient)
}

/// The noted records, as they would be read from the topic; they have no offset yet.
pub(super) fn read(text: &str, topic: &str, partition: i32) -> Result<Vec<Record>, Halt> {
    let noted: Vec<Noted> = serde_json::from_str(text).map_err(Halt::stale)?;
    noted
        .into_iter()
        .map(|noted| {
            Ok(Record {
                topic: topic.to_owned(),
                partition,
                offset: -1,
                timestamp_ms: 0,
                key: noted.key.map(bytes).transpose()?,
                headers: noted
                    .headers
                    .into_iter()
                    .map(|(name, value)| Ok((name, bytes(value)?)))
                    .collect::<Result<_, Halt>>()?,
                value: noted.value.map(bytes).transpose()?,
            })
        })
        .collect()
}

fn bytes(text: String) -> Result<Bytes, Halt> {
    hex::decode(text).map(Bytes::from).map_err(Halt::transient)
}
