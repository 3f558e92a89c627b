//! Stored deliveries, proven again. Body, signed headers and key id are on the
//! log, and so is every version of every source with its secrets, sealed; a
//! secret that was retired is still in the version that had it. What proof a
//! delivery needs is said there too, and not by its own record.

mod batch;
mod prove;
mod sources;

use std::time::Duration;

use batch::{Batch, Batches, Part};
use domain_delivery::{DeliveryAccepted, DeliveryEvent};
use domain_kernel::{Codec, CorrelationId, Timestamp};
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

/// What was found. Each delivery counts once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Deliveries looked at.
    pub deliveries: u64,
    /// A secret of the source explains the signature over what is stored.
    pub proven: u64,
    /// Parts of batches that cannot be put together again, so that nothing is
    /// known of the signature: proven by their digest only, and whoever can write
    /// the log can write a digest.
    pub batch_parts: u64,
    /// Of a source that takes in by token or certificate, which vouch for no byte
    /// of the body: only its digest and the ids were compared.
    pub unsigned: u64,
    pub failed: u64,
}

impl std::fmt::Display for Verified {
    /// One line, for people.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} deliveries: {} of {} proven by their signature, {} by digest only (parts of batches), \
             {} unsigned with the right digest, {} failed",
            self.deliveries,
            self.proven,
            self.deliveries - self.unsigned,
            self.batch_parts,
            self.unsigned,
            self.failed
        )
    }
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
    each: impl FnMut(&Failure),
) -> Result<Verified, Error> {
    let registry = SchemaRegistry::new(&settings.schema_registry)?;
    let vault = Vault::from_settings(&settings.secrets, &settings.data_dir)?;
    let sources = SourceHistory::read(&settings.kafka, registry.clone()).await?;
    let partitions = Admin::new(&settings.kafka)?
        .partition_count(Deliveries::TOPIC)
        .await?;
    let from = (0..i32::try_from(partitions).unwrap_or(i32::MAX)).map(|partition| (partition, 0));
    let mut reader = PartitionReader::open(&settings.kafka, Deliveries::TOPIC, from)?;
    let decoder = Decoder::<Deliveries>::new(registry);
    let ends = reader.high_watermarks().await?;
    let mut run = Run {
        prover: Prover::new(sources, vault),
        batches: Batches::default(),
        found: Verified::default(),
        each,
    };
    while !reader.has_reached(&ends) {
        for record in reader.next(BATCH, WAIT).await? {
            run.record(&decoder, which, &record).await?;
            while let Some((batch, parts)) = run.batches.overdue() {
                run.batch(&batch, parts);
            }
        }
    }
    while let Some((batch, parts)) = run.batches.next() {
        run.batch(&batch, parts);
    }
    Ok(run.found)
}

/// Where a record stands.
#[derive(Debug, Clone, Copy)]
struct Place {
    partition: i32,
    offset: i64,
}

struct Run<F> {
    prover: Prover,
    batches: Batches,
    found: Verified,
    each: F,
}

impl<F: FnMut(&Failure)> Run<F> {
    async fn record(
        &mut self,
        decoder: &Decoder<Deliveries>,
        which: &Which,
        record: &Record,
    ) -> Result<(), Error> {
        let place = Place {
            partition: record.partition,
            offset: record.offset,
        };
        let recorded = match decoder.decode(record).await {
            Ok(recorded) => recorded,
            Err(error) if error.is_transient() => return Err(error.into()),
            Err(error) => {
                self.found.deliveries += 1;
                self.failed(&failure(
                    place,
                    format!("the record cannot be read: {error}"),
                ));
                return Ok(());
            }
        };
        let meta = recorded.meta;
        let DeliveryEvent::Accepted(delivery) = recorded.event else {
            return Ok(());
        };
        if !which.includes(&meta, &delivery.source_id) {
            return Ok(());
        }
        self.found.deliveries += 1;
        let proof = match self.prover.prove(&meta, &delivery) {
            Ok(Some(proof)) => Ok(proof),
            Ok(None) => {
                let part = Part {
                    partition: place.partition,
                    offset: place.offset,
                    tenant: meta.tenant,
                    correlation: meta.correlation,
                    delivery,
                };
                if let Err((part, why)) = self.batches.add(part) {
                    self.judged(place, part.correlation, &part.delivery, Err(why));
                }
                return Ok(());
            }
            Err(why) => Err(why),
        };
        self.judged(place, meta.correlation, &delivery, proof);
        Ok(())
    }

    fn batch(&mut self, batch: &Batch, parts: Vec<Part>) {
        for (part, proof) in batch::prove(&mut self.prover, batch, parts) {
            let place = Place {
                partition: part.partition,
                offset: part.offset,
            };
            self.judged(place, part.correlation, &part.delivery, proof);
        }
    }

    fn judged(
        &mut self,
        place: Place,
        correlation: CorrelationId,
        delivery: &DeliveryAccepted,
        proof: Result<Proof, Unproven>,
    ) {
        match proof {
            Ok(Proof::Signature) => self.found.proven += 1,
            Ok(Proof::BatchDigest) => self.found.batch_parts += 1,
            Ok(Proof::Unsigned) => self.found.unsigned += 1,
            Err(why) => self.failed(&Failure {
                correlation_id: Some(correlation.to_string()),
                source_id: Some(delivery.source_id.clone()),
                key_id: delivery.key_id.clone(),
                ..failure(place, why.to_string())
            }),
        }
    }

    fn failed(&mut self, failure: &Failure) {
        self.found.failed += 1;
        (self.each)(failure);
    }
}

fn failure(place: Place, reason: String) -> Failure {
    Failure {
        topic: Deliveries::TOPIC,
        partition: place.partition,
        offset: place.offset,
        correlation_id: None,
        source_id: None,
        key_id: None,
        reason,
    }
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
