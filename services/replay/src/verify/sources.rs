use std::collections::HashMap;

use domain_kernel::{Codec, TenantId, Timestamp};
use domain_registry::{RegistryEvent, Resource, Source};
use platform_config::Kafka;
use platform_log::{Decoder, PartitionReader, SchemaRegistry};
use platform_webhooks::Scheme;
use schemas::Registry;

use crate::Error;

/// How long after a source was changed a gateway may still go by the version
/// before, and how far the clocks of two machines may be apart. Milliseconds.
const LAG: i64 = 10 * 60 * 1_000;

/// Every version of every source there ever was.
#[derive(Debug, Default)]
pub(crate) struct SourceHistory {
    versions: HashMap<String, Vec<SourceVersion>>,
}

#[derive(Debug)]
pub(crate) struct SourceVersion {
    pub(crate) version: u64,
    pub(crate) tenant: TenantId,
    /// When it was registered.
    pub(crate) at: Timestamp,
    pub(crate) source: Source,
}

impl SourceHistory {
    /// Reads `mesh.registry` from its start. What cannot be read there is left
    /// out, as every reader of the registry does; a delivery that needs it then
    /// cannot be proven, and says so.
    pub(crate) async fn read(kafka: &Kafka, registry: SchemaRegistry) -> Result<Self, Error> {
        let mut reader = PartitionReader::open(kafka, Registry::TOPIC, [(0, 0)])?;
        let decoder = Decoder::<Registry>::new(registry);
        let mut history = Self::default();
        for record in reader.read_to_end().await? {
            let recorded = match decoder.decode(&record).await {
                Ok(recorded) => recorded,
                Err(error) if error.is_transient() => return Err(error.into()),
                Err(_) => continue,
            };
            let RegistryEvent::Defined(defined) = recorded.event else {
                continue;
            };
            let Resource::Source(source) = defined.resource else {
                continue;
            };
            history.add(
                defined.id,
                SourceVersion {
                    version: recorded.meta.version,
                    tenant: defined.tenant,
                    at: recorded.meta.at,
                    source,
                },
            );
        }
        Ok(history)
    }

    /// The first one wins, as for every reader of a stream.
    fn add(&mut self, id: String, version: SourceVersion) {
        let versions = self.versions.entry(id).or_default();
        if versions
            .iter()
            .all(|known| known.version != version.version)
        {
            versions.push(version);
        }
    }

    pub(crate) fn of(&self, source_id: &str) -> &[SourceVersion] {
        self.versions.get(source_id).map_or(&[], Vec::as_slice)
    }

    /// Whether `version`, which signs nothing, can have let something in at `at`:
    /// nobody may go back to it after the source began to sign.
    pub(crate) fn unsigned_at(
        &self,
        source_id: &str,
        version: &SourceVersion,
        at: Timestamp,
    ) -> bool {
        let signed_since = self.of(source_id).iter().any(|later| {
            later.version > version.version
                && signs(&later.source.scheme)
                && later.at.plus_millis(LAG) < at
        });
        version.at <= at.plus_millis(LAG) && !signed_since
    }
}

impl SourceVersion {
    pub(crate) fn has_key(&self, key_id: &str) -> bool {
        self.source.secrets.iter().any(|secret| secret.id == key_id)
    }
}

/// Whether a delivery under this scheme has a signature. What this version does
/// not know is held to one.
pub(crate) fn signs(scheme: &str) -> bool {
    !matches!(scheme.parse(), Ok(Scheme::Bearer | Scheme::Mtls))
}
