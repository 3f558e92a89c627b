use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use domain_kernel::{Codec, Recorded};

use crate::{DecodeError, MalformedRecord, Record, SchemaRegistry, wire};

type Schemas<C> = HashMap<u32, Arc<<C as Codec>::WriterSchema>>;

/// Makes events of records of one topic. Each writer schema is fetched and
/// parsed once.
pub struct Decoder<C: Codec> {
    registry: SchemaRegistry,
    /// The one that was met first, with its id: on many topics it is the only one,
    /// and it is looked at for every record.
    first: OnceLock<(u32, Arc<C::WriterSchema>)>,
    schemas: RwLock<Schemas<C>>,
}

impl<C: Codec> std::fmt::Debug for Decoder<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("topic", &C::TOPIC).finish()
    }
}

impl<C: Codec> Decoder<C> {
    pub fn new(registry: SchemaRegistry) -> Self {
        Self {
            registry,
            first: OnceLock::new(),
            schemas: RwLock::new(HashMap::new()),
        }
    }

    /// Reads headers and value.
    ///
    /// # Errors
    /// When the record is poison, or its schema cannot be fetched just now:
    /// [`DecodeError::is_transient`] tells which.
    pub async fn decode(&self, record: &Record) -> Result<Recorded<C::Event>, DecodeError> {
        if record.topic != C::TOPIC {
            return Err(MalformedRecord::WrongTopic {
                expected: C::TOPIC,
                actual: record.topic.clone(),
            }
            .into());
        }
        let name = record.event_name()?;
        let meta = record.metadata()?;
        let value = record.value.as_deref().ok_or(MalformedRecord::NoValue)?;
        let (id, datum) = wire::unframe(value)?;
        let schema = self.schema(name, id).await?;
        let event = C::decode(name, &schema, datum)?;
        Ok(Recorded { meta, event })
    }

    async fn schema(&self, name: &str, id: u32) -> Result<Arc<C::WriterSchema>, DecodeError> {
        if let Some((first, schema)) = self.first.get()
            && *first == id
        {
            return Ok(Arc::clone(schema));
        }
        let known = self
            .schemas
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .cloned();
        if let Some(schema) = known {
            return Ok(schema);
        }
        let text = self
            .registry
            .schema_by_id(id)
            .await
            .map_err(|source| DecodeError::Schema { source })?;
        let schema = Arc::new(C::parse_schema(name, &text)?);
        // Another may have been met meanwhile: either will do.
        let _ = self.first.set((id, Arc::clone(&schema)));
        self.schemas
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, schema.clone());
        Ok(schema)
    }
}
