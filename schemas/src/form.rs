use std::{cell::RefCell, error::Error, io::Read, sync::OnceLock};

use domain_kernel::CodecError;
use serde::{Deserialize, Serialize};
use serde_avro_fast::{
    Schema,
    de::DeserializerState,
    ser::{SerializerConfig, SerializerState},
};

use crate::{catalogue::catalogue, datum::BadDatum, value::Unmappable};

/// The namespace of every published record.
const NAMESPACE: &str = "cloud.agentmesh";

/// What a thread keeps to write into. Larger events are rare.
const KEPT: usize = 64 * 1024;

thread_local! {
    /// Grows once, where a new buffer would for each event.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// One version of one published schema. Immutable once released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaEntry {
    /// The topic, without any prefix.
    pub topic: &'static str,
    /// The record name, without its namespace.
    pub name: &'static str,
    /// Counted from 1.
    pub version: u32,
    /// The Avro schema, JSON.
    pub text: &'static str,
}

/// The current published form of one event.
pub(crate) struct Form {
    pub(crate) entry: SchemaEntry,
    /// The versions before this one, from the first.
    earlier: &'static [&'static str],
    parsed: OnceLock<Schema>,
}

impl Form {
    pub(crate) const fn new(
        topic: &'static str,
        name: &'static str,
        version: u32,
        text: &'static str,
    ) -> Self {
        Self {
            entry: SchemaEntry {
                topic,
                name,
                version,
                text,
            },
            earlier: &[],
            parsed: OnceLock::new(),
        }
    }

    /// Names the versions that were published before.
    pub(crate) const fn after(mut self, earlier: &'static [&'static str]) -> Self {
        self.earlier = earlier;
        self
    }

    /// All versions, from the first to this one.
    pub(crate) fn versions(&self) -> impl Iterator<Item = SchemaEntry> {
        let earlier = self
            .earlier
            .iter()
            .zip(1..)
            .map(|(text, version)| SchemaEntry {
                version,
                text,
                ..self.entry
            });
        earlier.chain([self.entry])
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.entry.name
    }

    /// The datum of `published`, without framing.
    pub(crate) fn encode(&self, published: &impl Serialize) -> Result<Vec<u8>, CodecError> {
        let mut config = SerializerConfig::new(self.schema()?);
        self.encode_by(|scratch| {
            let mut state = SerializerState::from_writer(scratch, &mut config);
            published.serialize(state.serializer())
        })
    }

    /// The datum that `write` appends to the buffer it is given.
    pub(crate) fn encode_by<E: Error + Send + Sync + 'static>(
        &self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<Vec<u8>, CodecError> {
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            write(scratch).map_err(|source| CodecError::Encode {
                name: self.entry.name,
                source: Box::new(source),
            })?;
            let datum = scratch.to_vec();
            scratch.shrink_to(KEPT);
            Ok(datum)
        })
    }

    fn schema(&self) -> Result<&Schema, CodecError> {
        if let Some(schema) = self.parsed.get() {
            return Ok(schema);
        }
        let schema = parse(self.entry.name, self.entry.text)?;
        Ok(self.parsed.get_or_init(|| schema))
    }
}

fn parse(name: &str, text: &str) -> Result<Schema, CodecError> {
    text.parse().map_err(|source| CodecError::Schema {
        name: name.to_owned(),
        source: Box::new(source),
    })
}

/// A schema that events on the log were written with, whichever version it is.
#[derive(Debug)]
pub struct WriterSchema {
    /// The record name with its namespace, as the schema says.
    full_name: String,
    schema: Schema,
    /// Whether it is the current version of its record.
    current: bool,
}

#[derive(Debug, thiserror::Error)]
enum Misread {
    #[error("the schema describes {found}")]
    OtherRecord { found: String },
}

#[derive(Deserialize)]
struct RecordName {
    name: String,
    #[serde(default)]
    namespace: Option<String>,
}

impl WriterSchema {
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, CodecError> {
        let record: RecordName =
            serde_json::from_str(text).map_err(|source| CodecError::Schema {
                name: name.to_owned(),
                source: Box::new(source),
            })?;
        let full_name = match record.namespace {
            Some(namespace) if !record.name.contains('.') => format!("{namespace}.{}", record.name),
            _ => record.name,
        };
        let schema = Self {
            full_name,
            schema: parse(name, text)?,
            current: catalogue()
                .iter()
                .any(|entry| entry.name == name && same(entry.text, text)),
        };
        schema.expect_record(name)?;
        Ok(schema)
    }

    /// Reads a datum of the event `name` into its current published form.
    pub(crate) fn read<'a, T: Deserialize<'a>>(
        &self,
        name: &str,
        datum: &'a [u8],
    ) -> Result<T, CodecError> {
        self.expect_record(name)?;
        let mut state = DeserializerState::from_slice(datum, &self.schema);
        let published = T::deserialize(state.deserializer()).map_err(|why| failed(name, why))?;
        match state.into_reader().read(&mut [0]) {
            Ok(0) => Ok(published),
            _ => Err(failed(name, BadDatum::BytesLeft)),
        }
    }

    /// Reads a datum of the event `name` into the domain, by way of its published
    /// form `P`.
    pub(crate) fn read_as<'a, P, D>(&self, name: &str, datum: &'a [u8]) -> Result<D, CodecError>
    where
        P: Deserialize<'a>,
        D: TryFrom<P, Error = Unmappable>,
    {
        D::try_from(self.read::<P>(name, datum)?).map_err(|why| failed(name, why))
    }

    /// As `read_as`, but what was written with the current version of the schema is
    /// left to `read`, which knows its fields.
    pub(crate) fn read_by<'a, P, D>(
        &self,
        name: &str,
        datum: &'a [u8],
        read: impl FnOnce(&'a [u8]) -> Result<D, Unmappable>,
    ) -> Result<D, CodecError>
    where
        P: Deserialize<'a>,
        D: TryFrom<P, Error = Unmappable>,
    {
        if !self.current {
            return self.read_as::<P, D>(name, datum);
        }
        self.expect_record(name)?;
        read(datum).map_err(|why| failed(name, why))
    }

    /// Records may share field names, so that bytes of one could pass for
    /// another: the name decides.
    fn expect_record(&self, name: &str) -> Result<(), CodecError> {
        match self.full_name.strip_prefix(NAMESPACE) {
            Some(rest) if rest.strip_prefix('.') == Some(name) => Ok(()),
            _ => Err(failed(
                name,
                Misread::OtherRecord {
                    found: self.full_name.clone(),
                },
            )),
        }
    }
}

/// Whether two texts are one schema. Registries may write it in their own way.
fn same(ours: &str, theirs: &str) -> bool {
    let value = |text| serde_json::from_str::<serde_json::Value>(text).ok();
    ours == theirs || value(ours) == value(theirs)
}

fn failed(name: &str, why: impl Error + Send + Sync + 'static) -> CodecError {
    CodecError::Decode {
        name: name.to_owned(),
        source: Box::new(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"type":"record","name":"Thing","namespace":"cloud.agentmesh",
        "fields":[{"name":"a","type":"string"}]}"#;

    #[derive(Deserialize, Debug)]
    struct Thing {
        a: String,
        #[serde(default)]
        later: Option<String>,
    }

    #[test]
    fn fields_the_writer_did_not_know_are_absent() {
        let schema = WriterSchema::parse("Thing", TEXT).unwrap();
        let thing: Thing = schema.read("Thing", &[2, b'x']).unwrap();
        assert_eq!((thing.a.as_str(), thing.later), ("x", None));
    }

    #[test]
    fn another_record_or_left_over_bytes_are_refused() {
        let schema = WriterSchema::parse("Thing", TEXT).unwrap();
        assert!(WriterSchema::parse("Other", TEXT).is_err());
        assert!(schema.read::<Thing>("Other", &[2, b'x']).is_err());
        assert!(schema.read::<Thing>("Thing", &[2, b'x', 0]).is_err());
        assert!(schema.read::<Thing>("Thing", &[4, b'x']).is_err());
    }
    #[test]
    fn the_current_version_is_known_however_it_is_laid_out() {
        let entry = catalogue()[0];
        let value: serde_json::Value = serde_json::from_str(entry.text).unwrap();
        let current = |value: &serde_json::Value| {
            WriterSchema::parse(entry.name, &value.to_string())
                .unwrap()
                .current
        };
        assert!(current(&value));
        let mut other = value;
        other["fields"].as_array_mut().unwrap().swap(0, 1);
        assert!(!current(&other));
        assert!(!WriterSchema::parse("Thing", TEXT).unwrap().current);
    }
}
