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
async fn of_several_keys_those_are_claimed_that_are_free() {
    let bed = TestBed::new("redis").await.unwrap();
    let redis = Redis::connect(&bed.settings.redis).await.unwrap();
    let minute = Duration::from_secs(60);
    redis.set("held", b"\xff\x00", None).await.unwrap();
    let (held, mine) = (Some(b"\xff\x00".to_vec()), Some(b"mine".to_vec()));
    for (names, expected) in [
        (vec![], vec![]),
        (vec!["m1"], vec![None]),
        (vec!["m1"], vec![mine.clone()]),
        (vec!["held"], vec![held.clone()]),
        // One that is named twice is free once.
        (
            vec!["m0", "held", "m1", "m2", "m2"],
            vec![None, held.clone(), mine.clone(), None, mine.clone()],
        ),
    ] {
        let names: Vec<String> = names.into_iter().map(ToOwned::to_owned).collect();
        let before = redis.claim_all(&names, b"mine", minute).await.unwrap();
        assert_eq!(before, expected, "{names:?}");
    }
    let names = ["held", "m0", "m1", "m2"].map(ToOwned::to_owned);
    let values = redis.get_many(&names).await.unwrap();
    assert_eq!(values, [held, mine.clone(), mine.clone(), mine]);

    // What is claimed is held, and free again in time, be it one or many.
    let names: Vec<String> = (0..300).map(|i| format!("s{i}")).collect();
    let brief = Duration::from_secs(1);
    for names in [&names[..1], &names[1..]] {
        let before = redis.claim_all(names, b"s", brief).await.unwrap();
        assert!(before.iter().all(Option::is_none), "{before:?}");
        let before = redis.claim_all(names, b"t", minute).await.unwrap();
        assert!(before.iter().all(Option::is_some), "{before:?}");
    }
    all_are_gone(&redis, &names).await;

    redis
        .run(Batch::new().sorted_add("list", 1.0, "a").clone())
        .await
        .unwrap();
    for names in [vec!["list"], vec!["free", "list"]] {
        let names: Vec<String> = names.into_iter().map(ToOwned::to_owned).collect();
        let refused = redis.claim_all(&names, b"mine", minute).await.unwrap_err();
        assert!(!refused.is_transient(), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_keys_are_set_at_once() {
    let bed = TestBed::new("redis").await.unwrap();
    let redis = Redis::connect(&bed.settings.redis).await.unwrap();
    let minute = Duration::from_secs(60);
    for (count, value) in [(0, "none"), (1, "one"), (300, "many")] {
        let values = (0..count).map(|i| (format!("k{i}"), format!("{value}{i}").into_bytes()));
        redis.set_all(values.collect(), minute).await.unwrap();
        let names: Vec<String> = (0..count).map(|i| format!("k{i}")).collect();
        let stored = redis.get_many(&names).await.unwrap();
        for (i, stored) in stored.into_iter().enumerate() {
            assert_eq!(stored.unwrap(), format!("{value}{i}").into_bytes());
        }
    }
    for names in [vec!["b0"], vec!["b1", "b2"]] {
        let names: Vec<String> = names.into_iter().map(ToOwned::to_owned).collect();
        let values = names.iter().map(|name| (name.clone(), b"b".to_vec()));
        let brief = Duration::from_secs(1);
        redis.set_all(values.collect(), brief).await.unwrap();
        let stored = redis.get_many(&names).await.unwrap();
        assert!(stored.iter().all(Option::is_some), "{stored:?}");
        all_are_gone(&redis, &names).await;
    }
}

async fn all_are_gone(redis: &Redis, names: &[String]) {
    eventually(Duration::from_secs(10), || async {
        let values = redis.get_many(names).await.unwrap();
        values.iter().all(Option::is_none)
    })
    .await
    .unwrap();
}
