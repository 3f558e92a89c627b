//! What those see who watch a group from outside: its committed offsets, and
//! the lag that each member reports.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::Duration;

use common::{Notes, PATIENCE, TOPIC, bed, noted};
use platform_log::{GroupConsumer, GroupEvent, GroupOptions, Outgoing, Producer};
use platform_testkit::eventually;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::time::Instant;

#[tokio::test]
async fn progress_and_lag_can_be_watched() {
    platform_telemetry::render_prometheus();
    let bed = bed("watch").await;
    let kafka = &bed.bed.settings.kafka;
    let producer = Producer::new(kafka).unwrap();
    let outgoing: Vec<Outgoing> = (0..10)
        .map(|number| {
            let outgoing = bed.encoder.encode::<Notes>(&noted("a", number)).unwrap();
            outgoing.to_partition(1)
        })
        .collect();
    producer.append_all(outgoing).await.unwrap();

    let mut member =
        GroupConsumer::new(kafka, "watched", &[TOPIC], GroupOptions::default()).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut read = 0;
    let (mut lag, mut committed) = (None, None);
    // Ten are on the log and seven are done, whatever was fetched ahead.
    while (lag.as_deref(), committed) != (Some("3"), Some(Offset::Offset(7))) {
        assert!(Instant::now() < deadline, "{read} {lag:?} {committed:?}");
        match member.next(100, Duration::from_millis(200)).await {
            Ok(GroupEvent::Assigned(_)) => member.start(&[(TOPIC, 1, 0)]).unwrap(),
            Ok(GroupEvent::Records(records)) => read += records.len(),
            Ok(GroupEvent::Revoked(_) | GroupEvent::Lost(_)) => {}
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
        if read == 10 {
            member.commit_to_group(&[(TOPIC, 1, 7)]);
            lag = lag_of_partition_1();
            committed = Some(committed_of_partition_1(kafka).await);
        }
    }
    member.close().await;

    // The producer has told by then, or will soon, how it sent them.
    for metric in [
        "agentmesh_log_requests_total ",
        "agentmesh_log_sent_records_total ",
        "agentmesh_log_batches_total{topic=\"mesh.notes\"} ",
        "agentmesh_log_batch_records_total{topic=\"mesh.notes\"} ",
        "agentmesh_log_batch_bytes_total{topic=\"mesh.notes\"} ",
    ] {
        let least = if metric.contains("records") { 10 } else { 1 };
        eventually(PATIENCE, || async { figure(metric) >= least })
            .await
            .unwrap();
    }
}

fn figure(metric: &str) -> u64 {
    let metrics = platform_telemetry::render_prometheus();
    let line = metrics.lines().find_map(|line| line.strip_prefix(metric));
    line.and_then(|figure| figure.parse().ok()).unwrap_or(0)
}

fn lag_of_partition_1() -> Option<String> {
    let metrics = platform_telemetry::render_prometheus();
    let line = metrics.lines().find(|line| {
        line.starts_with("agentmesh_log_consumer_lag_records{")
            && line.contains("group=\"watched\"")
            && line.contains("topic=\"mesh.notes\"")
            && line.contains("partition=\"1\"")
    })?;
    line.rsplit(' ').next().map(str::to_owned)
}

async fn committed_of_partition_1(kafka: &platform_config::Kafka) -> Offset {
    let group = format!("{}watched", kafka.topic_prefix);
    let topic = format!("{}{TOPIC}", kafka.topic_prefix);
    let brokers = kafka.brokers.clone();
    let asked = tokio::task::spawn_blocking(move || {
        let watcher: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", group)
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition(&topic, 1);
        let list = watcher
            .committed_offsets(list, Duration::from_secs(20))
            .unwrap();
        list.elements()[0].offset()
    });
    asked.await.unwrap()
}
