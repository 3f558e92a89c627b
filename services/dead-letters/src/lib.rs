//! Dead letters for operators: what is among them, and what is decided about each.
//!
//! The letters are read from the log itself, not from a read model: whoever looks
//! at them has trouble already. What is decided is an event behind the letter, on
//! the same topic; a redrive is read there by the one consumer that wrote it.

mod entry;
mod error;
mod filter;
mod show;

use domain_dead_letter::{Action, DeadLetterCommand, DeadLetterDecider, DeadLetterEvent};
use domain_kernel::{CorrelationId, Decider, EventId, Metadata, Recorded, TenantId};
use platform_config::Settings;
use platform_log::{Admin, Decoder, Encoder, PartitionReader, Producer, Record, SchemaRegistry};
use platform_projector::{DEAD_LETTERS, DeadLetter, redrive};
use schemas::catalogue;
use tracing::warn;

use entry::Fold;

pub use entry::{Entry, Status};
pub use error::Error;
pub use filter::Filter;
pub use show::{details, summary};

/// The `ce_source` of what operators decide.
const SOURCE: &str = "/agentmesh/operator";

/// Access to the letters.
pub struct DeadLetters {
    settings: Settings,
    registry: SchemaRegistry,
    decoder: Decoder<schemas::DeadLetters>,
}

impl std::fmt::Debug for DeadLetters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeadLetters").finish_non_exhaustive()
    }
}

impl DeadLetters {
    /// # Errors
    /// When a setting is wrong.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let registry = SchemaRegistry::new(&settings.schema_registry)?;
        Ok(Self {
            settings: settings.clone(),
            decoder: Decoder::new(registry.clone()),
            registry,
        })
    }

    /// All letters, the one first given up first.
    ///
    /// # Errors
    /// When the log cannot be read, or the schema registry is needed and away.
    pub async fn read(&self) -> Result<Vec<Entry>, Error> {
        let kafka = &self.settings.kafka;
        let partitions = Admin::new(kafka)?.partition_count(DEAD_LETTERS).await?;
        let from = (0..partitions as i32).map(|number| (number, -1));
        let mut reader = PartitionReader::open(kafka, DEAD_LETTERS, from)?;
        let mut fold = Fold::default();
        for record in reader.read_to_end().await? {
            if let Some(letter) = DeadLetter::read(&record) {
                fold.letter(letter);
                continue;
            }
            match self.decoder.decode(&record).await {
                Ok(recorded) => fold.decision(recorded),
                Err(platform_log::DecodeError::Schema { source }) => return Err(source.into()),
                Err(error) => {
                    warn!(at = %record.position(), %error, "neither a letter nor a decision about one");
                }
            }
        }
        Ok(fold.into_entries())
    }

    /// Records what an operator decided about a letter, and returns once it is
    /// on the log. Nothing is recorded twice.
    ///
    /// # Errors
    /// When the letter is not open, or the log does not take it.
    pub async fn decide(
        &self,
        entry: &Entry,
        operator: &str,
        action: Action,
    ) -> Result<Option<Recorded<DeadLetterEvent>>, Error> {
        let command = DeadLetterCommand {
            letter: entry.subject(),
            occurrence: entry.occurrence,
            operator: operator.to_owned(),
            action,
        };
        let id = entry.letter.id;
        let events = DeadLetterDecider::decide(&entry.state, command)
            .map_err(|source| Error::Rejected { id, source })?;
        let Some(event) = events.into_iter().next() else {
            return Ok(None);
        };
        let recorded = Recorded {
            meta: metadata(entry),
            event,
        };
        let ours = catalogue()
            .iter()
            .filter(|entry| entry.topic == DEAD_LETTERS)
            .map(|entry| (entry.topic, entry.name, entry.text));
        let encoder = Encoder::resolve(&self.registry, ours).await?;
        let outgoing = encoder.encode::<schemas::DeadLetters>(&recorded)?;
        let outgoing = match recorded.event {
            DeadLetterEvent::Redriven(_) => redrive(outgoing, &entry.letter),
            DeadLetterEvent::Discarded(_) => outgoing.to_partition(entry.letter.original.partition),
        };
        Producer::new(&self.settings.kafka)?
            .append(outgoing)
            .await?;
        Ok(Some(recorded))
    }
}

/// As far as the record itself can be read, the decision stands where it does:
/// under its correlation, caused by it.
fn metadata(entry: &Entry) -> Metadata {
    let id = entry.letter.id.to_string();
    let original = entry.letter.original.metadata().ok();
    let version = entry.next_version();
    Metadata {
        id: EventId::derive(&[&id, "decision", &version.to_string()]),
        tenant: original
            .as_ref()
            .map_or_else(|| TenantId::new("unknown"), |meta| meta.tenant.clone()),
        correlation: original.as_ref().map_or_else(
            || CorrelationId::derive(&["dead-letter", &id]),
            |meta| meta.correlation,
        ),
        causation: original.map(|meta| meta.id),
        stream: id,
        version,
        at: platform_telemetry::now(),
        source: SOURCE.to_owned(),
        traceparent: None,
        actor: None,
    }
}

/// The event a record holds, for people, where it can be decoded.
pub(crate) async fn content(
    registry: &SchemaRegistry,
    record: &Record,
) -> Option<serde_json::Value> {
    use domain_kernel::Codec as _;

    let name = record.event_name().ok()?;
    let (id, datum) = platform_log::unframe(record.value.as_deref()?).ok()?;
    let text = registry.schema_by_id(id).await.ok()?;
    // All codecs parse schemas alike.
    let schema = schemas::DeadLetters::parse_schema(name, &text).ok()?;
    let event = schemas::decode_any(&record.topic, name, &schema, datum).ok()?;
    event.to_json().ok()
}

impl DeadLetters {
    /// As [`details`], with the content where it can be decoded.
    pub async fn details(&self, entry: &Entry) -> serde_json::Value {
        details(entry, content(&self.registry, &entry.letter.original).await)
    }
}
