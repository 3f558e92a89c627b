//! Reading the log again: how fast, how fast with ten times the data, and how
//! much memory a projector takes that is far behind.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use domain_policy::PolicyEvent;
use platform_log::{Decoder, Outgoing, PartitionReader, Record};
use platform_projector::PgProjection as _;
use projections_decisions::DecisionsProjection;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use schemas::Decisions;

use crate::Bench;
use crate::bed::Bed;
use crate::child;
use crate::fixtures;
use crate::harness::{Goal, Pairs, Row, in_turns, rate};

const TOPIC: &str = "mesh.decisions";
/// As many as a runner takes at once when it is behind.
const BATCH: usize = 5_000;
/// A broker that delivers nothing for so long has nothing more.
const STALLED: Duration = Duration::from_secs(20);

/// G6a, S3-replay and S3-memory, over one long topic.
pub(crate) async fn replay(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let many = bench.size.pick(20_000, 1_000_000, 10_000_000);
    let few = many / 10;
    let bed = bench.servers.bed("replay").await?;
    fill(&bed, many).await?;
    let mut found = Vec::new();
    if bench.wants("G6a") {
        let pairs = in_turns(
            "records/s",
            bench.rounds,
            async || bare(&bed, few),
            async || decoded(&bed, few).await,
        )
        .await?;
        found.push(Row::new(
            "G6a",
            "replay: read, decode, project ÷ bare rdkafka consume of the same topic",
            Goal::AtLeast(0.8),
            &pairs,
            format!("{few} records each way; every record decodes to the event it was made of"),
        )?);
    }
    if bench.wants("S3-replay") {
        let rounds = bench.rounds.min(3);
        let pairs = in_turns(
            "records/s",
            rounds,
            async || decoded(&bed, few).await,
            async || decoded(&bed, many).await,
        )
        .await?;
        found.push(Row::new(
            "S3-replay",
            &format!("replay of {many} records ÷ of {few}"),
            Goal::AtLeast(0.9),
            &pairs,
            "as G6a",
        )?);
    }
    if bench.wants("S3-memory") {
        found.push(memory(bench, &bed, few, many).await?);
    }
    Ok(found)
}

/// Puts so many decisions on the log.
pub(super) async fn fill(bed: &Bed, count: usize) -> anyhow::Result<()> {
    let mut next = 0;
    while next < count {
        let end = (next + 20_000).min(count);
        let records: Vec<Outgoing> = (next..end)
            .map(|n| bed.encoder.encode::<Decisions>(&fixtures::decision(n)))
            .collect::<Result<_, _>>()?;
        bed.producer.append_all(records).await?;
        next = end;
    }
    let there = bed.records_on(TOPIC).await?;
    ensure!(there == i64::try_from(count)?, "{there} records of {count}");
    Ok(())
}

/// Records a second, from the first to the last.
fn bare(bed: &Bed, count: usize) -> anyhow::Result<f64> {
    let kafka = &bed.settings.kafka;
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &kafka.brokers)
        .set("group.id", "bench-bare")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("fetch.wait.max.ms", "250")
        .set("fetch.queue.backoff.ms", "20")
        .set("queued.min.messages", "20000")
        .set("queued.max.messages.kbytes", "32768")
        .create()?;
    let topic = format!("{}{TOPIC}", kafka.topic_prefix);
    let mut list = TopicPartitionList::new();
    for partition in 0..i32::try_from(kafka.partitions)? {
        list.add_partition_offset(&topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    let (mut read, mut bytes) = (0, 0);
    let mut started = None;
    while read < count {
        let message = consumer.poll(STALLED).context("no more records")??;
        started.get_or_insert_with(Instant::now);
        bytes += message.payload().map_or(0, <[u8]>::len);
        read += 1;
    }
    black_box(bytes);
    let started = started.context("nothing was read")?;
    Ok(rate(count - 1, started.elapsed()))
}

/// The same by our own reader, decoder and projection.
async fn decoded(bed: &Bed, count: usize) -> anyhow::Result<f64> {
    let kafka = &bed.settings.kafka;
    let from = (0..i32::try_from(kafka.partitions)?).map(|partition| (partition, -1));
    let mut reader = PartitionReader::open(kafka, TOPIC, from)?;
    let decoder = Decoder::<Decisions>::new(bed.registry.clone());
    let projection = DecisionsProjection::new(bed.registry.clone());
    let (mut read, mut first, mut rows) = (0, 0, 0);
    let mut started = None;
    while read < count {
        // The first batch does not count, so it must not be all there is.
        let records = reader.next(BATCH.min(count / 4), STALLED).await?;
        ensure!(!records.is_empty(), "no more records after {read}");
        if started.is_none() {
            started = Some(Instant::now());
            first = records.len();
        }
        read += records.len();
        for record in &records {
            rows += project(&decoder, &projection, record).await?;
        }
    }
    ensure!(rows == read, "{rows} rows of {read} records");
    let started = started.context("nothing was read")?;
    Ok(rate(read - first, started.elapsed()))
}

async fn project(
    decoder: &Decoder<Decisions>,
    projection: &DecisionsProjection,
    record: &Record,
) -> anyhow::Result<usize> {
    let recorded = decoder.decode(record).await?;
    let PolicyEvent::Decided(event) = &recorded.event;
    ensure!(event.duration_us == 42, "another event");
    let position = record.position();
    Ok(black_box(projection.project_owned(recorded, &position)).len())
}

/// The peak memory of a projector process, with a backlog and with ten times as much.
async fn memory(bench: &Bench, many_bed: &Bed, few: usize, many: usize) -> anyhow::Result<Row> {
    let few_bed = bench.servers.bed("backlog").await?;
    fill(&few_bed, few).await?;
    let small = child::projector(&few_bed, few).await?;
    let large = child::projector(many_bed, many).await?;
    let mib = |kib: u64| kib as f64 / 1_024.0;
    let mut pairs = Pairs::new("MiB peak RSS");
    pairs.push(mib(large.peak_kib), mib(small.peak_kib));
    Row::new(
        "S3-memory",
        &format!("peak memory of a projector with a backlog of {many} records ÷ of {few}"),
        Goal::AtMost(1.25),
        &pairs,
        format!(
            "{} and {} rows in Postgres, at {:.0} and {:.0} records/s",
            large.rows, small.rows, large.rate, small.rate
        ),
    )
}
