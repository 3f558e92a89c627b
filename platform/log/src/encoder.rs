use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain_kernel::{Codec, Recorded};
use tracing::warn;

use crate::{Error, Outgoing, SchemaRegistry, headers, wire};

/// Between two tries to resolve the schemas.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What stands before an event's name in `ce_type`; also the Avro namespace.
pub const CE_TYPE_PREFIX: &str = "cloud.agentmesh.";

/// The subject of an event's schema (TopicRecordNameStrategy).
pub fn subject(topic: &str, name: &str) -> String {
    format!("{topic}-{CE_TYPE_PREFIX}{name}")
}

/// Makes records of events. Holds the ids under which the schemas of the
/// catalogue are registered, so that encoding never waits.
#[derive(Debug, Clone)]
pub struct Encoder {
    ids: Arc<HashMap<(&'static str, &'static str), u32>>,
}

impl Encoder {
    /// Looks up the ids of all schemas of `catalogue`: topic, event name and
    /// schema text. Of several texts for one event the last one is written, so
    /// versions come in rising order.
    ///
    /// # Errors
    /// When the registry cannot be asked, or does not have one of them:
    /// registering them is a deploy step.
    pub async fn resolve(
        registry: &SchemaRegistry,
        catalogue: impl IntoIterator<Item = (&'static str, &'static str, &'static str)>,
    ) -> Result<Self, Error> {
        let newest: HashMap<_, _> = catalogue
            .into_iter()
            .map(|(topic, name, text)| ((topic, name), text))
            .collect();
        let mut ids = HashMap::with_capacity(newest.len());
        for ((topic, name), text) in newest {
            let id = registry.lookup(&subject(topic, name), text).await?;
            ids.insert((topic, name), id);
        }
        Ok(Self { ids: Arc::new(ids) })
    }

    /// Like [`resolve`](Self::resolve), but waits until the registry answers and
    /// has all the schemas: registering them is a deploy step, and it may come
    /// after the start of whoever writes events.
    pub async fn wait_for(
        registry: &SchemaRegistry,
        catalogue: impl IntoIterator<Item = (&'static str, &'static str, &'static str)> + Clone,
    ) -> Self {
        let mut pause = FIRST_PAUSE;
        loop {
            match Self::resolve(registry, catalogue.clone()).await {
                Ok(encoder) => return encoder,
                Err(error) => {
                    warn!(error = %error, cause = ?error, "schemas cannot be resolved yet");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// The record of one event: headers, partition key, and the datum in the
    /// Confluent wire format.
    ///
    /// # Errors
    /// When the event does not fit its schema or is not in the catalogue.
    pub fn encode<C: Codec>(&self, recorded: &Recorded<C::Event>) -> Result<Outgoing, Error> {
        let name = C::name(&recorded.event);
        let id = self
            .ids
            .get(&(C::TOPIC, name))
            .ok_or(Error::NotInCatalogue {
                topic: C::TOPIC,
                name,
            })?;
        let datum = C::encode(&recorded.event).map_err(|source| Error::Encode { source })?;
        Ok(Outgoing {
            topic: C::TOPIC,
            partition: None,
            key: Some(Bytes::from(C::key(recorded))),
            headers: headers::write(name, &recorded.meta),
            value: Some(wire::frame(*id, &datum)),
        })
    }
}
