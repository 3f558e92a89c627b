//! Consumer groups: who owns what, and where reading starts.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::Duration;

use common::{Bed, Notes, OTHER, PATIENCE, TOPIC, bed, noted};
use platform_log::{
    Error, GroupConsumer, GroupEvent, GroupOptions, Outgoing, Producer, Record, TopicSpec,
};
use platform_testkit::eventually;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::time::Instant;

const TICK: Duration = Duration::from_millis(50);
const TOPICS: [&str; 2] = [TOPIC, OTHER];

async fn append(bed: &Bed, numbers: std::ops::Range<u64>) {
    let producer = Producer::new(&bed.bed.settings.kafka).unwrap();
    let outgoing: Vec<Outgoing> = numbers
        .flat_map(|number| (0..bed.partitions()).map(move |partition| (number, partition)))
        .map(|(number, partition)| {
            let outgoing = bed.encoder.encode::<Notes>(&noted("a", number)).unwrap();
            outgoing.to_partition(partition)
        })
        .collect();
    producer.append_all(outgoing).await.unwrap();
}

fn join(bed: &Bed, instance: Option<&str>) -> GroupConsumer {
    let options = GroupOptions {
        group_instance_id: instance.map(str::to_owned),
    };
    GroupConsumer::new(&bed.bed.settings.kafka, "notes", &TOPICS, options).unwrap()
}

async fn assigned(member: &mut GroupConsumer) -> Vec<i32> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        match member.next(100, TICK).await {
            Ok(GroupEvent::Assigned(partitions)) => return partitions,
            Ok(GroupEvent::Records(records)) => assert!(records.is_empty()),
            Ok(GroupEvent::Revoked(_) | GroupEvent::Lost(_)) => {}
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
    }
    panic!("no assignment");
}

async fn lost(member: &mut GroupConsumer) -> Vec<i32> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        match member.next(100, TICK).await {
            Ok(GroupEvent::Lost(partitions)) => return partitions,
            Ok(GroupEvent::Records(records)) => assert!(records.is_empty()),
            Ok(change) => panic!("{change:?}"),
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
    }
    panic!("nothing was lost");
}

/// Goes on until each of two members has its share of the partitions, and returns
/// what the first of them was told on the way.
async fn shared(one: &mut GroupConsumer, other: &mut GroupConsumer) -> Vec<GroupEvent> {
    let deadline = Instant::now() + PATIENCE;
    let mut told = Vec::new();
    while Instant::now() < deadline {
        let (of_one, of_other) = tokio::join!(one.next(100, TICK), other.next(100, TICK));
        for error in [of_one.as_ref().err(), of_other.as_ref().err()] {
            assert!(error.is_none_or(Error::is_transient), "{error:?}");
        }
        if let Ok(event) = of_one
            && !matches!(&event, GroupEvent::Records(records) if records.is_empty())
        {
            told.push(event);
        }
        let all = [one.owned(), other.owned()].concat();
        if !one.owned().is_empty() && !other.owned().is_empty() && all.len() == 3 {
            return told;
        }
    }
    panic!("{:?} and {:?} after {told:?}", one.owned(), other.owned());
}

async fn records(member: &mut GroupConsumer, count: usize) -> Vec<Record> {
    let deadline = Instant::now() + PATIENCE;
    let mut found = Vec::new();
    while found.len() < count && Instant::now() < deadline {
        match member.next(100, TICK).await.unwrap() {
            GroupEvent::Records(records) => found.extend(records),
            change => panic!("{change:?}"),
        }
    }
    assert_eq!(found.len(), count);
    found
}

fn offsets(records: &[Record], partition: i32) -> Vec<i64> {
    let of_partition = records
        .iter()
        .filter(|record| record.partition == partition);
    of_partition.map(|record| record.offset).collect()
}

#[tokio::test]
async fn nothing_is_read_before_it_is_started() {
    let bed = bed("group start").await;
    append(&bed, 0..10).await;
    let mut member = join(&bed, None);
    assert_eq!(assigned(&mut member).await, [0, 1, 2]);
    for _ in 0..20 {
        match member.next(100, TICK).await.unwrap() {
            GroupEvent::Records(records) => assert!(records.is_empty()),
            change => panic!("{change:?}"),
        }
    }
    member.start(&[(TOPIC, 0, 4), (TOPIC, 1, -1)]).unwrap();
    let found = records(&mut member, 6 + 10).await;
    assert_eq!(offsets(&found, 0), [4, 5, 6, 7, 8, 9]);
    assert_eq!(offsets(&found, 1), (0..10).collect::<Vec<_>>());

    // The others go on from where they are.
    member.start(&[(TOPIC, 2, 8), (TOPIC, 9, 0)]).unwrap();
    let found = records(&mut member, 2).await;
    assert_eq!(offsets(&found, 2), [8, 9]);
    append(&bed, 10..11).await;
    let found = records(&mut member, 3).await;
    assert_eq!(offsets(&found, 0), [10]);
    assert_eq!(offsets(&found, 1), [10]);
    assert_eq!(offsets(&found, 2), [10]);

    // A started one can be taken back, to fold its records again.
    member.start(&[(TOPIC, 0, 9)]).unwrap();
    let found = records(&mut member, 2).await;
    assert_eq!(offsets(&found, 0), [9, 10]);
    member.close().await;
}

#[tokio::test]
async fn a_paused_partition_waits() {
    let bed = bed("group pause").await;
    append(&bed, 0..3).await;
    let mut member = join(&bed, None);
    assigned(&mut member).await;
    let starts = [(TOPIC, 0, 0), (TOPIC, 1, 0), (TOPIC, 2, 0)];
    member.start(&starts).unwrap();
    records(&mut member, 9).await;
    member.pause(&[1]).unwrap();
    append(&bed, 3..4).await;
    let found = records(&mut member, 2).await;
    assert_eq!(offsets(&found, 1), Vec::<i64>::new());
    member.start(&[(TOPIC, 0, 3)]).unwrap();
    let found = records(&mut member, 1).await;
    assert_eq!(offsets(&found, 0), [3], "still paused after another start");
    member.resume(&[1]).unwrap();
    let found = records(&mut member, 1).await;
    assert_eq!(offsets(&found, 1), [3]);
    member.close().await;
}

#[tokio::test]
async fn partitions_move_when_a_member_comes_and_goes() {
    let bed = bed("group move").await;
    append(&bed, 0..5).await;
    let mut first = join(&bed, None);
    assert_eq!(assigned(&mut first).await.len(), 3);
    first
        .start(&[(TOPIC, 0, 0), (TOPIC, 1, 0), (TOPIC, 2, 0)])
        .unwrap();
    records(&mut first, 15).await;

    let mut second = join(&bed, None);
    let deadline = Instant::now() + PATIENCE;
    let revoked = loop {
        assert!(Instant::now() < deadline);
        let (event, _) = tokio::join!(first.next(100, TICK), second.next(100, TICK));
        if let GroupEvent::Revoked(partitions) = event.unwrap() {
            break partitions;
        }
    };
    assert_eq!(revoked, [0, 1, 2]);
    // The owner may still finish what it has at hand.
    first.commit_to_group(&[(TOPIC, 0, 5), (TOPIC, 1, 5), (TOPIC, 2, 5)]);
    assert_eq!(first.owned(), [0, 1, 2]);
    first.release().unwrap();
    assert!(first.owned().is_empty());

    let (of_first, of_second) = tokio::join!(assigned(&mut first), assigned(&mut second));
    let mut all = [of_first.clone(), of_second.clone()].concat();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2], "each partition has one owner");
    assert!(!of_first.is_empty() && !of_second.is_empty());

    // What is not owned is passed over.
    let foreign = of_second[0];
    first.start(&[(TOPIC, foreign, 0)]).unwrap();
    second.close().await;
    let deadline = Instant::now() + PATIENCE;
    let back = loop {
        assert!(Instant::now() < deadline);
        match first.next(100, TICK).await.unwrap() {
            GroupEvent::Assigned(partitions) => break partitions,
            GroupEvent::Records(records) => assert!(records.is_empty()),
            GroupEvent::Revoked(_) | GroupEvent::Lost(_) => {}
        }
    };
    assert_eq!(back, [0, 1, 2]);
    first.close().await;
}

#[tokio::test]
async fn a_static_member_comes_back_to_its_partitions() {
    let bed = bed("group static").await;
    append(&bed, 0..1).await;
    let mut member = join(&bed, Some("one"));
    assert_eq!(assigned(&mut member).await, [0, 1, 2]);
    member.close().await;
    let started = Instant::now();
    let mut again = join(&bed, Some("one"));
    assert_eq!(assigned(&mut again).await, [0, 1, 2]);
    let session = Duration::from_millis(bed.bed.settings.kafka.session_timeout_ms.into());
    assert!(
        started.elapsed() < session,
        "it need not wait for its own session to end"
    );
    again.close().await;
}

#[tokio::test]
async fn a_static_member_that_restarts_disturbs_no_other() {
    let bed = bed("group restart").await;
    let session = Duration::from_millis(bed.bed.settings.kafka.static_session_timeout_ms.into());
    let mut names = ["one", "two"];
    let mut stays = join(&bed, Some(names[0]));
    let mut goes = join(&bed, Some(names[1]));
    shared(&mut stays, &mut goes).await;

    // Each in turn, because one of them leads the group.
    for round in 0..2 {
        let (kept, left) = (stays.owned(), goes.owned());
        let starts: Vec<_> = kept.iter().map(|number| (TOPIC, *number, round)).collect();
        stays.start(&starts).unwrap();

        goes.close().await;
        let gone = Instant::now();
        append(&bed, 0..1).await;
        let found = records(&mut stays, kept.len()).await;
        assert!(found.iter().all(|record| kept.contains(&record.partition)));

        let mut back = join(&bed, Some(names[1]));
        let told = shared(&mut stays, &mut back).await;
        assert!(gone.elapsed() < session, "its session has ended");
        assert!(told.is_empty(), "the other was told {told:?}");
        assert_eq!(stays.owned(), kept, "the other keeps its partitions");
        assert_eq!(back.owned(), left, "it gets its own partitions again");

        (stays, goes) = (back, stays);
        names.reverse();
    }
    stays.close().await;
    goes.close().await;
}

/// Shows that the test above would notice.
#[tokio::test]
async fn a_member_without_a_name_that_restarts_disturbs_the_other() {
    let bed = bed("group dynamic").await;
    let mut stays = join(&bed, None);
    let mut goes = join(&bed, None);
    shared(&mut stays, &mut goes).await;
    goes.close().await;
    let mut back = join(&bed, None);
    let told = shared(&mut stays, &mut back).await;
    assert!(
        matches!(told.first(), Some(GroupEvent::Revoked(_))),
        "the other was told {told:?}"
    );
    stays.close().await;
    back.close().await;
}

#[tokio::test]
async fn a_silent_member_loses_its_partitions() {
    let bed = bed("group silent").await;
    let mut kafka = bed.bed.settings.kafka.clone();
    // The least that the broker takes; a member may be silent for as long.
    kafka.session_timeout_ms = 6_000;
    kafka.max_poll_interval_ms = 6_000;
    let options = GroupOptions::default();
    let mut silent = GroupConsumer::new(&kafka, "notes", &TOPICS, options).unwrap();
    assert_eq!(assigned(&mut silent).await, [0, 1, 2]);

    let watcher: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &kafka.brokers)
        .create()
        .unwrap();
    let group = format!("{}notes", kafka.topic_prefix);
    eventually(PATIENCE, || async {
        let listed = watcher
            .fetch_group_list(Some(&group), Duration::from_secs(10))
            .map_err(|error| error.to_string())?;
        let members: usize = listed.groups().iter().map(|one| one.members().len()).sum();
        (members == 0)
            .then_some(())
            .ok_or(format!("{members} members"))
    })
    .await
    .unwrap();
    let mut other = join(&bed, None);
    assert_eq!(assigned(&mut other).await, [0, 1, 2]);

    // They have gone to another, and only now does the silent one hear of it.
    assert_eq!(silent.owned(), [0, 1, 2]);
    assert_eq!(lost(&mut silent).await, [0, 1, 2]);
    silent.release().unwrap();
    assert!(silent.owned().is_empty());

    // It takes part again.
    shared(&mut silent, &mut other).await;
    silent.close().await;
    other.close().await;
}

#[tokio::test]
async fn topics_must_have_the_same_number_of_partitions() {
    let bed = bed("group uneven").await;
    bed.admin
        .ensure_topics(&[TopicSpec::new("mesh.uneven", 1)])
        .await
        .unwrap();
    let topics = [TOPIC, "mesh.uneven"];
    let kafka = &bed.bed.settings.kafka;
    let mut member = GroupConsumer::new(kafka, "uneven", &topics, GroupOptions::default()).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let error = loop {
        assert!(Instant::now() < deadline);
        if let Err(error) = member.next(100, TICK).await {
            break error;
        }
    };
    assert!(
        matches!(error, Error::NotCoPartitioned { partition: 1, .. }),
        "{error:?}"
    );
    member.close().await;
}

#[tokio::test]
async fn a_member_that_is_dropped_leaves() {
    let bed = bed("group drop").await;
    let mut first = join(&bed, None);
    assert_eq!(assigned(&mut first).await.len(), 3);
    drop(first);
    let started = Instant::now();
    let mut second = join(&bed, None);
    assert_eq!(assigned(&mut second).await.len(), 3);
    assert!(
        started.elapsed() < Duration::from_millis(bed.bed.settings.kafka.session_timeout_ms.into())
    );
    second.close().await;
}

#[tokio::test]
async fn a_broker_that_is_away_is_noticed() {
    let bed = bed("group away").await;
    let mut settings = bed.bed.settings.kafka.clone();
    settings.brokers = format!("127.0.0.1:{}", platform_testkit::free_port().unwrap());
    let mut member =
        GroupConsumer::new(&settings, "away", &TOPICS, GroupOptions::default()).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while member.connected() {
        assert!(Instant::now() < deadline);
        if let Err(error) = member.next(100, TICK).await {
            assert!(error.is_transient(), "{error}");
        }
    }
    member.close().await;
}

/// It hears of it by an error, after which it is of no use: the driver tells of no change
/// any more.
#[tokio::test]
async fn a_static_member_gives_way_to_another_of_its_name() {
    let bed = bed("group fenced").await;
    let mut older = join(&bed, Some("one"));
    assert_eq!(assigned(&mut older).await, [0, 1, 2]);
    let mut newer = join(&bed, Some("one"));
    assert_eq!(assigned(&mut newer).await, [0, 1, 2]);
    let deadline = Instant::now() + PATIENCE;
    let error = loop {
        assert!(Instant::now() < deadline);
        match older.next(100, TICK).await {
            Ok(GroupEvent::Records(records)) => assert!(records.is_empty()),
            Ok(change) => panic!("{change:?}"),
            Err(error) => break error,
        }
    };
    assert!(
        error.is_replaced() && !error.is_transient(),
        "waiting does not bring it back: {error:?}"
    );
    older.close().await;
    newer.close().await;
}
