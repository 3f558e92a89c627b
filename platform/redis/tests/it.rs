//! The client on a real Redis.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use platform_redis::{Batch, Redis, Script};
use platform_testkit::{TestBed, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_prefixed_and_writes_are_done_together() {
    let bed = TestBed::new("redis").await.unwrap();
    let redis = Redis::connect(&bed.settings.redis).await.unwrap();
    redis.ping().await.unwrap();

    // Of many that want a key at once, one gets it.
    let wanting = (0..20).map(|i| {
        let redis = redis.clone();
        tokio::spawn(async move { redis.set_nx("seen", i.to_string(), None).await.unwrap() })
    });
    let mut got = 0;
    for answer in wanting.collect::<Vec<_>>() {
        got += usize::from(answer.await.unwrap());
    }
    assert_eq!(got, 1);

    // Of several keys those are set that were not there, be it one or many.
    let minute = Duration::from_secs(60);
    for (names, expected) in [
        (vec!["m1"], vec![true]),
        (vec!["m1"], vec![false]),
        (vec!["m0", "m1", "m2"], vec![true, false, true]),
    ] {
        let names: Vec<String> = names.into_iter().map(ToOwned::to_owned).collect();
        let set = redis.set_nx_all(&names, b"mine", minute).await.unwrap();
        assert_eq!(set, expected, "{names:?}");
    }
    let marked = ["m0", "m1", "m2"].map(ToOwned::to_owned);
    assert_eq!(redis.delete(&marked).await.unwrap(), 3);

    let short = Some(Duration::from_millis(50));
    redis.set("short", b"\xff\x00", short).await.unwrap();
    let names = ["seen", "never"].map(ToOwned::to_owned);
    let values = redis.get_many(&names).await.unwrap();
    assert!(values[0].is_some() && values[1].is_none());
    eventually(Duration::from_secs(10), || async {
        redis.get("short").await.unwrap().is_none()
    })
    .await
    .unwrap();

    let mut batch = Batch::new();
    for i in 0..5 {
        batch.sorted_add("list", f64::from(i), i.to_string());
    }
    batch
        .sorted_keep_last("list", 3)
        .expire("list", Duration::from_secs(60))
        .set("*", "a star", None)
        .delete("seen");
    redis.run(batch).await.unwrap();
    let last = redis.sorted_last("list", 2).await.unwrap();
    assert_eq!(last, [b"3", b"4"]);
    assert_eq!(redis.sorted_last("list", 9).await.unwrap().len(), 3);
    assert_eq!(redis.scan("").await.unwrap(), ["*", "list"]);
    assert_eq!(redis.scan("*").await.unwrap(), ["*"]);

    let key = Script::new("return {KEYS[1], ARGV[1]}");
    let arguments = vec![b"argument".to_vec()];
    let answer: Vec<String> = redis
        .eval(&key, &["name".to_owned()], arguments)
        .await
        .unwrap();
    assert_eq!(answer, [redis.key("name"), "argument".to_owned()]);

    // Another type is an answer, and not one to wait for.
    assert!(!redis.get("list").await.unwrap_err().is_transient());
    let names = redis.scan("").await.unwrap();
    assert_eq!(redis.delete(&names).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_of_a_batch_may_be_done_each_by_itself() {
    let bed = TestBed::new("redis").await.unwrap();
    let redis = Redis::connect(&bed.settings.redis).await.unwrap();
    redis.run_each(Batch::new()).await.unwrap();

    // Be it one or many.
    let mut batch = Batch::new();
    batch.set("one", "1", None);
    redis.run_each(batch).await.unwrap();
    assert_eq!(redis.get("one").await.unwrap().unwrap(), b"1");
    let mut batch = Batch::new();
    for i in 0..300 {
        batch.set(format!("many{i}"), i.to_string(), None);
    }
    let short = Some(Duration::from_millis(50));
    batch
        .delete("many0")
        .set("many1", b"\xff\x00".to_vec(), None)
        .set("short", "s", short)
        .sorted_add("list", 1.0, "a")
        .sorted_add("list", 2.0, "b")
        .sorted_keep_last("list", 1)
        .expire("list", Duration::from_secs(60))
        .sorted_add("brief", 1.0, "a")
        .expire("brief", Duration::from_millis(50));
    redis.run_each(batch).await.unwrap();
    let names = ["many0", "many1", "many299"].map(ToOwned::to_owned);
    let values = redis.get_many(&names).await.unwrap();
    assert_eq!(
        values,
        [None, Some(b"\xff\x00".to_vec()), Some(b"299".to_vec())]
    );
    assert_eq!(redis.sorted_last("list", 9).await.unwrap(), [b"b"]);
    eventually(Duration::from_secs(10), || async {
        let brief = redis.sorted_last("brief", 9).await.unwrap();
        redis.get("short").await.unwrap().is_none() && brief.is_empty()
    })
    .await
    .unwrap();

    // One that is refused is told, and keeps none of the others from being done.
    let mut batch = Batch::new();
    batch
        .set("before", "b", None)
        .sorted_add("one", 1.0, "no list")
        .set("behind", "b", None);
    let refused = redis.run_each(batch).await.unwrap_err();
    assert!(!refused.is_transient(), "{refused:?}");
    for name in ["before", "behind"] {
        assert!(redis.get(name).await.unwrap().is_some(), "{name}");
    }
    let names = redis.scan("").await.unwrap();
    redis.delete(&names).await.unwrap();
}
