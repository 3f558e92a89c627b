use domain_kernel::CodecError;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// What can go wrong between us and the log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the Kafka client cannot be set up")]
    Client {
        #[source]
        source: KafkaError,
    },
    /// Back-pressure: nothing was appended; try again later.
    #[error("too many records wait for the broker")]
    QueueFull,
    #[error("a record of {bytes} bytes is too large for {topic}")]
    TooLarge { topic: String, bytes: usize },
    /// The append may or may not stand on the log.
    #[error("an append to {topic} was not acknowledged")]
    NotAcknowledged {
        topic: String,
        #[source]
        source: KafkaError,
    },
    #[error("not everything was sent before the deadline")]
    Flush {
        #[source]
        source: KafkaError,
    },
    #[error("{reader} cannot read")]
    Consume {
        /// The consumer group, or the topic where there is no group.
        reader: String,
        #[source]
        source: KafkaError,
    },
    #[error(
        "group {group} was given partition {partition} of {present} but not of all of {topics}: \
         these topics must have the same number of partitions"
    )]
    NotCoPartitioned {
        group: String,
        partition: i32,
        present: String,
        topics: String,
    },
    #[error("there is no topic {topic}")]
    UnknownTopic { topic: String },
    #[error("the broker does not tell {what}")]
    Metadata {
        what: String,
        #[source]
        source: KafkaError,
    },
    #[error(
        "topic {topic} has {actual} partitions where {expected} are set; a key's partition would \
         change, so the number is never changed in place"
    )]
    PartitionCount {
        topic: String,
        expected: u32,
        actual: u32,
    },
    #[error("topic {topic} has {key}={actual} where {expected} is needed")]
    TopicSetting {
        topic: String,
        key: String,
        expected: String,
        actual: String,
    },
    #[error("topic {topic} cannot be {change}")]
    ChangeTopic {
        topic: String,
        change: &'static str,
        #[source]
        source: KafkaError,
    },
    #[error("topics {topics} have no leader yet")]
    NoLeader { topics: String },
    #[error("the schema registry cannot be reached")]
    RegistryUnreachable {
        #[source]
        source: platform_http::reqwest::Error,
    },
    #[error("the client of the schema registry cannot be set up")]
    RegistryClient {
        #[source]
        source: platform_http::Error,
    },
    /// The registry answered, but not with what was asked for.
    #[error("the schema registry answered {status} to {operation}: {message}")]
    RegistryAnswer {
        operation: String,
        status: u16,
        message: String,
    },
    #[error("schema of subject {subject} is not registered")]
    SchemaNotRegistered { subject: String },
    #[error("there is no schema with id {id}")]
    UnknownSchema { id: u32 },
    #[error("schema of subject {subject} is not compatible with its earlier versions: {message}")]
    Incompatible { subject: String, message: String },
    #[error("{name} is not in the catalogue of topic {topic}")]
    NotInCatalogue {
        topic: &'static str,
        name: &'static str,
    },
    #[error("an event cannot be encoded")]
    Encode {
        #[source]
        source: CodecError,
    },
    #[error("a blocking call was cancelled")]
    Cancelled,
}

impl Error {
    /// Whether the same call may succeed later without anything being changed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::QueueFull
            | Self::Flush { .. }
            | Self::NoLeader { .. }
            | Self::RegistryUnreachable { .. }
            | Self::Cancelled => true,
            // Of the others, 404 comes from who is no registry: see `UnknownSchema`.
            Self::RegistryAnswer { status, .. } => {
                *status >= 500 || matches!(*status, 401 | 403 | 404 | 407 | 408 | 429)
            }
            Self::NotAcknowledged { source, .. }
            | Self::Consume { source, .. }
            | Self::Metadata { source, .. }
            | Self::ChangeTopic { source, .. } => !is_lasting(source),
            Self::Client { .. }
            | Self::TooLarge { .. }
            | Self::NotCoPartitioned { .. }
            | Self::UnknownTopic { .. }
            | Self::PartitionCount { .. }
            | Self::TopicSetting { .. }
            | Self::RegistryClient { .. }
            | Self::SchemaNotRegistered { .. }
            | Self::UnknownSchema { .. }
            | Self::Incompatible { .. }
            | Self::NotInCatalogue { .. }
            | Self::Encode { .. } => false,
        }
    }
}

impl Error {
    /// Whether another member of the group took the place of this one, under the
    /// same instance id. The consumer hears of nothing any more.
    pub fn is_replaced(&self) -> bool {
        let Self::Consume { source, .. } = self else {
            return false;
        };
        source.rdkafka_error_code() == Some(RDKafkaErrorCode::FencedInstanceId)
    }
}

/// Errors that do not go away by waiting.
fn is_lasting(error: &KafkaError) -> bool {
    let code = match error {
        KafkaError::AdminOp(code) => Some(*code),
        other => other.rdkafka_error_code(),
    };
    matches!(
        code,
        Some(
            RDKafkaErrorCode::MessageSizeTooLarge
                | RDKafkaErrorCode::InvalidMessageSize
                | RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed
                | RDKafkaErrorCode::SaslAuthenticationFailed
                | RDKafkaErrorCode::InvalidTopic
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::InvalidReplicationFactor
                | RDKafkaErrorCode::PolicyViolation
                | RDKafkaErrorCode::FencedInstanceId
        )
    )
}

/// Why a record cannot be read as an event; it names the part that is wrong,
/// never its content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedRecord {
    #[error("header {header} is missing")]
    MissingHeader { header: &'static str },
    #[error("header {header} is not UTF-8 text")]
    NotText { header: &'static str },
    #[error("header {header} is not {expected}")]
    BadHeader {
        header: &'static str,
        expected: &'static str,
    },
    #[error("the record has no value")]
    NoValue,
    #[error("the value does not start with magic byte 0 and a schema id")]
    NotFramed,
    #[error("the record is on topic {actual}, not {expected}")]
    WrongTopic {
        expected: &'static str,
        actual: String,
    },
}

/// Why a record was not decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("the record is malformed")]
    Malformed(#[from] MalformedRecord),
    #[error("the schema it was written with is not at hand")]
    Schema {
        #[source]
        source: Error,
    },
    #[error("the value does not follow its schema")]
    Codec(#[from] CodecError),
}

impl DecodeError {
    /// Whether something is away that any record needs: wait and decode again.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Schema { source } => source.is_transient(),
            Self::Malformed(_) | Self::Codec(_) => false,
        }
    }

    /// Whether the registry answered, but did not give the schema of this
    /// record: it may be registered yet. Where neither this nor
    /// [`is_transient`](Self::is_transient) holds, the bytes are at fault, and
    /// the record belongs among the dead letters.
    pub fn lacks_schema(&self) -> bool {
        matches!(self, Self::Schema { source } if !source.is_transient())
    }
}
