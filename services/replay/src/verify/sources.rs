use std::collections::HashMap;

use domain_kernel::{Codec, TenantId};
use domain_registry::{RegistryEvent, Resource, Source};
use platform_config::Kafka;
use platform_log::{Decoder, PartitionReader, SchemaRegistry};
use schemas::Registry;

use crate::Error;

/// Every version of every source there ever was.
#[derive(Debug, Default)]
pub(crate) struct SourceHistory {
    versions: HashMap<String, Vec<SourceVersion>>,
}

#[derive(Debug)]
pub(crate) struct SourceVersion {
    pub(crate) version: u64,
    pub(crate) tenant: TenantId,
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
}
