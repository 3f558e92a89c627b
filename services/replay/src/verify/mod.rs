//! Stored deliveries, proven again. Body, signed headers and key id are on the
//! log, and so is every version of every source with its secrets, sealed; a
//! secret that was retired is still in the version that had it.

mod prove;
mod sources;

use std::time::Duration;

use domain_delivery::DeliveryEvent;
use domain_kernel::{Codec, Timestamp};
use platform_config::Settings;
use platform_log::{Admin, Decoder, PartitionReader, Record, SchemaRegistry};
use platform_vault::Vault;
use schemas::Deliveries;
use serde::Serialize;

pub use prove::Unproven;
use prove::{Proof, Prover};
use sources::SourceHistory;

use crate::Error;

const BATCH: usize = 1_000;
const WAIT: Duration = Duration::from_secs(1);

/// Which deliveries are to be proven; what is not set excludes nothing.
#[derive(Debug, Clone, Default)]
pub struct Which {
    pub tenant: Option<String>,
    pub source: Option<String>,
    /// Recorded at this moment or later.
    pub from: Option<Timestamp>,
    /// Recorded before this moment.
    pub to: Option<Timestamp>,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Deliveries looked at.
    pub deliveries: u64,
    /// A secret of the source explains the signature over what is stored.
    pub proven: u64,
    /// Taken in by token or certificate, which vouch for no byte of the body:
    /// only its digest and the ids were compared.
    pub unsigned: u64,
    pub failed: u64,
}

/// A delivery that could not be proven, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    pub topic: &'static str,
    pub partition: i32,
    pub offset: i64,
    /// Absent of what cannot be read at all.
    pub correlation_id: Option<String>,
    pub source_id: Option<String>,
    pub key_id: Option<String>,
    pub reason: String,
}

/// Proves every delivery that `which` names, up to where the log ended at the
/// start. `each` is told of every failure as it is found.
///
/// # Errors
/// When the log cannot be read, or the vault has no key.
pub async fn verify_deliveries(
    settings: &Settings,
    which: &Which,
    mut each: impl FnMut(&Failure),
) -> Result<Verified, Error> {
    let registry = SchemaRegistry::new(&settings.schema_registry)?;
    let vault = Vault::from_settings(&settings.secrets, &settings.data_dir)?;
    let sources = SourceHistory::read(&settings.kafka, registry.clone()).await?;
    let mut prover = Prover::new(sources, vault);
    let partitions = Admin::new(&settings.kafka)?
        .partition_count(Deliveries::TOPIC)
        .await?;
    let from = (0..i32::try_from(partitions).unwrap_or(i32::MAX)).map(|partition| (partition, 0));
    let mut reader = PartitionReader::open(&settings.kafka, Deliveries::TOPIC, from)?;
    let decoder = Decoder::<Deliveries>::new(registry);
    let ends = reader.high_watermarks().await?;
    let mut found = Verified::default();
    while !reader.has_reached(&ends) {
        for record in reader.next(BATCH, WAIT).await? {
            if let Some(failure) = one(&decoder, &mut prover, which, &record, &mut found).await? {
                found.failed += 1;
                each(&failure);
            }
        }
    }
    Ok(found)
}

async fn one(
    decoder: &Decoder<Deliveries>,
    prover: &mut Prover,
    which: &Which,
    record: &Record,
    found: &mut Verified,
) -> Result<Option<Failure>, Error> {
    let failure = |reason: String| Failure {
        topic: Deliveries::TOPIC,
        partition: record.partition,
        offset: record.offset,
        correlation_id: None,
        source_id: None,
        key_id: None,
        reason,
    };
    let recorded = match decoder.decode(record).await {
        Ok(recorded) => recorded,
        Err(error) if error.is_transient() => return Err(error.into()),
        Err(error) => {
            found.deliveries += 1;
            return Ok(Some(failure(format!("the record cannot be read: {error}"))));
        }
    };
    let DeliveryEvent::Accepted(delivery) = &recorded.event else {
        return Ok(None);
    };
    if !which.includes(&recorded.meta, &delivery.source_id) {
        return Ok(None);
    }
    found.deliveries += 1;
    match prover.prove(&recorded.meta, delivery) {
        Ok(Proof::Signature) => found.proven += 1,
        Ok(Proof::Digest) => found.unsigned += 1,
        Err(why) => {
            return Ok(Some(Failure {
                correlation_id: Some(recorded.meta.correlation.to_string()),
                source_id: Some(delivery.source_id.clone()),
                key_id: delivery.key_id.clone(),
                ..failure(why.to_string())
            }));
        }
    }
    Ok(None)
}

impl Which {
    fn includes(&self, meta: &domain_kernel::Metadata, source_id: &str) -> bool {
        self.tenant
            .as_ref()
            .is_none_or(|tenant| meta.tenant.as_str() == tenant)
            && self
                .source
                .as_ref()
                .is_none_or(|source| source_id == source)
            && self.from.is_none_or(|from| from <= meta.at)
            && self.to.is_none_or(|to| meta.at < to)
    }
}
