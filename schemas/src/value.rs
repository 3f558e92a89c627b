//! Values that need care between the domain and Avro.

use std::borrow::Cow;

use domain_delivery::UnknownName;
use domain_effect::Operation;
use domain_kernel::{Json, Space};

use crate::datum::BadDatum;

/// Borrowed when written, owned when read.
pub(crate) type Text<'a> = Cow<'a, str>;

/// Why a well-formed published event has no meaning in the domain.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unmappable {
    #[error("{field} is not JSON of the expected shape")]
    Json {
        field: &'static str,
        #[source]
        source: serde_json::Error,
    },
    #[error("{field} cannot be {found}")]
    Value { field: &'static str, found: String },
    #[error(transparent)]
    Name(#[from] UnknownName),
    #[error(transparent)]
    Datum(#[from] BadDatum),
}

pub(crate) fn borrowed(texts: &[String]) -> Vec<Text<'_>> {
    texts.iter().map(Into::into).collect()
}

pub(crate) fn owned(texts: Vec<Text<'_>>) -> Vec<String> {
    texts.into_iter().map(Text::into_owned).collect()
}

pub(crate) fn maybe_borrowed(text: &Option<String>) -> Option<Text<'_>> {
    text.as_deref().map(Text::Borrowed)
}

pub(crate) fn maybe_owned(text: Option<Text<'_>>) -> Option<String> {
    text.map(Text::into_owned)
}

pub(crate) fn space(text: Text<'_>) -> Space {
    Space::new(text.into_owned())
}

/// The domain relies on its JSON being JSON, and anyone may write to a topic.
pub(crate) fn json(field: &'static str, text: Text<'_>) -> Result<Json, Unmappable> {
    serde_json::from_str::<serde::de::IgnoredAny>(&text)
        .map_err(|source| Unmappable::Json { field, source })?;
    Ok(Json::from_text(text.into_owned()))
}

pub(crate) fn operation(text: &str) -> Result<Operation, Unmappable> {
    [
        Operation::Create,
        Operation::Update,
        Operation::Upsert,
        Operation::Archive,
    ]
    .into_iter()
    .find(|known| known.as_str() == text)
    .ok_or_else(|| Unmappable::Value {
        field: "operation",
        found: text.to_owned(),
    })
}

/// Bytes as Avro bytes: serde's own way for a slice is a sequence.
pub(crate) mod bytes {
    use std::borrow::Cow;

    use serde::{Deserializer, Serializer, de::Visitor};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Cow<'static, [u8]>, D::Error> {
        deserializer.deserialize_byte_buf(Owned).map(Cow::Owned)
    }

    struct Owned;

    impl Visitor<'_> for Owned {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("bytes")
        }

        fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
            Ok(bytes.to_vec())
        }

        fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Self::Value, E> {
            Ok(bytes)
        }
    }
}
