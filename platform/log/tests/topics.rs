//! Creating topics, and refusing those that are not as they should be.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use platform_log::{Admin, Error, TopicSpec};
use platform_testkit::TestBed;

#[tokio::test]
async fn topics_are_created_once() {
    let bed = TestBed::new("topics").await.unwrap();
    let admin = Admin::new(&bed.settings.kafka).unwrap();
    let specs = [
        TopicSpec::new("mesh.notes", 3),
        TopicSpec::new("mesh.registry", 1),
    ];
    let created = admin.ensure_topics(&specs).await.unwrap();
    assert_eq!(created, ["mesh.notes", "mesh.registry"]);
    assert!(admin.ensure_topics(&specs).await.unwrap().is_empty());
    assert_eq!(admin.partition_count("mesh.notes").await.unwrap(), 3);
    assert_eq!(admin.partition_count("mesh.registry").await.unwrap(), 1);
    assert_eq!(
        admin.topics().await.unwrap(),
        [
            ("mesh.notes".to_owned(), 3),
            ("mesh.registry".to_owned(), 1)
        ]
    );

    let deleted = admin.delete_topics(&bed.settings.kafka.topic_prefix);
    assert_eq!(deleted.await.unwrap(), 2);
    assert_eq!(admin.delete_topics("").await.unwrap(), 0);
}

#[tokio::test]
async fn two_at_once_both_succeed() {
    let bed = TestBed::new("topics race").await.unwrap();
    let specs = [
        TopicSpec::new("mesh.notes", 3),
        TopicSpec::new("mesh.others", 3),
    ];
    let (one, two) = (
        Admin::new(&bed.settings.kafka).unwrap(),
        Admin::new(&bed.settings.kafka).unwrap(),
    );
    let (one, two) = tokio::join!(one.ensure_topics(&specs), two.ensure_topics(&specs));
    one.unwrap();
    two.unwrap();
}

#[tokio::test]
async fn another_number_of_partitions_is_refused() {
    let bed = TestBed::new("topics partitions").await.unwrap();
    let admin = Admin::new(&bed.settings.kafka).unwrap();
    admin
        .ensure_topics(&[TopicSpec::new("mesh.notes", 3)])
        .await
        .unwrap();
    let wanted = [
        TopicSpec::new("mesh.others", 4),
        TopicSpec::new("mesh.notes", 4),
    ];
    let error = admin.ensure_topics(&wanted).await.unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("topic mesh.notes has 3 partitions where 4 are set"),
        "{error}"
    );
    assert!(!error.is_transient());
    let unknown = admin.partition_count("mesh.others").await.unwrap_err();
    assert!(
        matches!(unknown, Error::UnknownTopic { .. }),
        "nothing was created"
    );
}

#[tokio::test]
async fn a_topic_that_forgets_is_refused() {
    let bed = TestBed::new("topics forget").await.unwrap();
    let admin = Admin::new(&bed.settings.kafka).unwrap();
    let mut forgetful = TopicSpec::new("mesh.notes", 3);
    forgetful.config = vec![("retention.ms".to_owned(), "60000".to_owned())];
    admin.ensure_topics(&[forgetful.clone()]).await.unwrap();
    let error = admin
        .ensure_topics(&[TopicSpec::new("mesh.notes", 3)])
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "topic mesh.notes has retention.ms=60000 where -1 is needed"
    );
    assert!(admin.ensure_topics(&[forgetful]).await.unwrap().is_empty());
}

#[tokio::test]
async fn more_copies_than_brokers_are_refused() {
    let bed = TestBed::new("topics copies").await.unwrap();
    let mut settings = bed.settings.kafka.clone();
    settings.replication = 3;
    let admin = Admin::new(&settings).unwrap();
    let error = admin
        .ensure_topics(&[TopicSpec::new("mesh.notes", 3)])
        .await
        .unwrap_err();
    assert!(!error.is_transient(), "waiting does not help: {error}");
}
