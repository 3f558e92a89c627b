use crate::Recorded;

/// Why bytes from the log could not be read as an event, or an event not be written.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    #[error("topic {topic} has no event named {name}")]
    UnknownEvent { topic: &'static str, name: String },
    #[error("schema of {name} does not parse")]
    Schema {
        name: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{name} does not encode")]
    Encode {
        name: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{name} does not decode")]
    Decode {
        name: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// How the events of one topic appear on the log. Implemented in `schemas` for
/// one marker type a topic, so that neither the domain nor the log driver knows
/// the published form.
pub trait Codec: Send + Sync + 'static {
    type Event: Send + Sync + 'static;
    /// A parsed writer schema; parsed once per schema id by the reader.
    type WriterSchema: Send + Sync + 'static;

    /// The topic, without any prefix.
    const TOPIC: &'static str;

    /// The record name of the event, such as `DeliveryAccepted`.
    fn name(event: &Self::Event) -> &'static str;

    /// The partition key.
    fn key(recorded: &Recorded<Self::Event>) -> String;

    /// The datum in the current version of the published schema, without framing.
    ///
    /// # Errors
    /// When a value does not fit its schema.
    fn encode(event: &Self::Event) -> Result<Vec<u8>, CodecError>;

    /// Parses a writer schema as the registry returned it.
    ///
    /// # Errors
    /// When the text is not a schema.
    fn parse_schema(name: &str, text: &str) -> Result<Self::WriterSchema, CodecError>;

    /// Reads a datum written with `schema`, upcast to the current event.
    ///
    /// # Errors
    /// When the name is unknown or the bytes do not follow the schema.
    fn decode(
        name: &str,
        schema: &Self::WriterSchema,
        datum: &[u8],
    ) -> Result<Self::Event, CodecError>;
}
