//! A gateway of its own with all that it stands on, for the rows that put it
//! under load.

use std::cell::Cell;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;
use domain_delivery::DeliveryEvent;
use platform_log::{Decoder, PartitionReader};
use platform_projector::migrate_projection;
use projections_deliveries::DeliveriesProjection;
use schemas::Deliveries;

use crate::Bench;
use crate::bare::Bare;
use crate::bed::Bed;
use crate::child::Server;
use crate::load::{Answers, closed};
use crate::sender::{batches, register, requests};

pub(super) const CONNECTIONS: usize = 64;
const TOPIC: &str = "mesh.deliveries";
/// What was answered without waiting for the log may take so long to get there.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

/// A gateway with all that it stands on, and what it is compared with.
pub(super) struct Ground<'a> {
    pub(super) bench: &'a Bench,
    pub(super) bed: Bed,
    pub(super) gateway: Server,
    sent: Cell<usize>,
    pub(super) accepted: Cell<usize>,
}

impl<'a> Ground<'a> {
    pub(super) async fn new(bench: &'a Bench, name: &str) -> anyhow::Result<Self> {
        let bed = bench.servers.bed(name).await?;
        register(&bed).await?;
        let deliveries = DeliveriesProjection::new(bed.registry.clone());
        migrate_projection(&deliveries, &bed.pool).await?;
        let gateway = Server::start(&bed, &["gateway"]).await?;
        Ok(Self {
            bench,
            bed,
            gateway,
            sent: 0.into(),
            accepted: 0.into(),
        })
    }

    /// As many requests as are asked for, none of which was sent before.
    pub(super) fn fresh(&self, count: usize) -> anyhow::Result<Arc<Vec<Bytes>>> {
        let from = self.sent.get();
        self.sent.set(from + count);
        Ok(Arc::new(requests(from..from + count)?))
    }

    /// The same in bodies of so many each.
    pub(super) fn fresh_batches(
        &self,
        count: usize,
        in_each: usize,
    ) -> anyhow::Result<Arc<Vec<Bytes>>> {
        let from = self.sent.get();
        self.sent.set(from + count);
        Ok(Arc::new(batches(from..from + count, in_each)?))
    }

    pub(super) fn count(&self) -> usize {
        self.bench.size.pick(2_000, 15_000, 60_000)
    }

    pub(super) async fn deliver(&self, to: SocketAddr) -> anyhow::Result<Answers> {
        let answers = closed(to, self.fresh(self.count())?, CONNECTIONS).await?;
        self.all_accepted(&answers, self.count())?;
        Ok(answers)
    }

    pub(super) fn all_accepted(&self, answers: &Answers, count: usize) -> anyhow::Result<()> {
        ensure!(
            answers.accepted == count,
            "of {count} requests {} were accepted, {} shed, {} answered otherwise",
            answers.accepted,
            answers.shed,
            answers.others
        );
        self.accepted.set(self.accepted.get() + count);
        Ok(())
    }

    /// Every accepted delivery stands on the log, once, and nothing else does.
    pub(super) async fn twin(&self) -> anyhow::Result<String> {
        let accepted = self.accepted.get();
        let expected = i64::try_from(accepted)?;
        let begun = Instant::now();
        while self.bed.records_on(TOPIC).await? < expected && begun.elapsed() < PATIENCE {
            tokio::time::sleep(LOOK).await;
        }
        let ids = self.delivered().await?;
        let different: HashSet<&String> = ids.iter().collect();
        ensure!(
            ids.len() == accepted && different.len() == accepted,
            "{accepted} were accepted; {} stand on the log, {} different ones",
            ids.len(),
            different.len()
        );
        Ok(format!(
            "{accepted} answered with 202, each of them on the log once, nothing else there"
        ))
    }

    /// The numbers that the next fresh requests begin with.
    pub(super) fn next(&self) -> usize {
        self.sent.get()
    }

    /// The ids of the deliveries on the log.
    pub(super) async fn delivered(&self) -> anyhow::Result<Vec<String>> {
        let there = usize::try_from(self.bed.records_on(TOPIC).await?)?;
        let kafka = &self.bed.settings.kafka;
        let from = (0..i32::try_from(kafka.partitions)?).map(|partition| (partition, -1));
        let mut reader = PartitionReader::open(kafka, TOPIC, from)?;
        let decoder = Decoder::<Deliveries>::new(self.bed.registry.clone());
        let mut ids = Vec::with_capacity(there);
        while ids.len() < there {
            let records = reader.next(5_000, PATIENCE).await?;
            ensure!(!records.is_empty(), "{} of {there} were read", ids.len());
            for record in &records {
                if let DeliveryEvent::Accepted(event) = decoder.decode(record).await?.event {
                    ids.push(event.delivery_id);
                }
            }
        }
        Ok(ids)
    }

    /// The records that one delivery leaves, as many as are asked for.
    pub(super) async fn bare(&self) -> anyhow::Result<Bare> {
        if self.accepted.get() == 0 {
            self.deliver(self.gateway.address).await?;
        }
        Bare::of(&self.bed).await
    }
}
