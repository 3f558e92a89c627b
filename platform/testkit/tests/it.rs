//! A bed is what it says: real servers, and nothing shared but them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use platform_localstack::execute_sql;
use platform_testkit::TestBed;

#[tokio::test]
async fn two_beds_share_servers_and_nothing_else() {
    let (one, two) = tokio::join!(TestBed::new("one"), TestBed::new("two"));
    let (one, two) = (one.unwrap(), two.unwrap());
    let (a, b) = (&one.settings, &two.settings);
    assert_eq!(a.kafka.brokers, b.kafka.brokers);
    assert_eq!(a.schema_registry.url, b.schema_registry.url);
    assert_ne!(a.kafka.topic_prefix, b.kafka.topic_prefix);
    assert_ne!(a.redis.key_prefix, b.redis.key_prefix);
    assert_ne!(a.gateway.listen, b.gateway.listen);
    assert_ne!(a.data_dir, b.data_dir);

    execute_sql(&a.postgres.url, "CREATE TABLE mine (n int)").unwrap();
    let seen = execute_sql(&b.postgres.url, "SELECT to_regclass('mine') IS NULL").unwrap();
    assert_eq!(seen, "t");
}

#[tokio::test]
async fn the_database_goes_with_the_bed() {
    let keeper = TestBed::new("keeper").await.unwrap();
    let bed = TestBed::new("gone").await.unwrap();
    let url = bed.settings.postgres.url.clone();
    let database = url.rsplit_once('/').unwrap().1.to_owned();
    assert_eq!(execute_sql(&url, "SELECT 1").unwrap(), "1");
    drop(bed);
    let left = execute_sql(
        &keeper.settings.postgres.url,
        &format!("SELECT count(*) FROM pg_database WHERE datname = '{database}'"),
    );
    assert_eq!(left.unwrap(), "0");
}
