//! What comes in more than once is one delivery, whoever is asked and whatever
//! is away.

use domain_kernel::CorrelationId;
use futures::future::join_all;
use platform_http::reqwest::StatusCode;
use platform_postgres::Pool;
use platform_redis::Redis;
use platform_testkit::eventually;
use projections_deliveries::DeliveriesProjection;

use crate::bench::{Answer, Bench, PATIENCE, SECRET, now, sign};
use crate::{BODY, accepted};

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_gets_the_same_answer_from_whoever_remembers() {
    let bench = Bench::new("gateway_repeats").await;
    let first = bench.start().await;
    let answer = first.deliver("msg_1", BODY).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    let other = BODY.replace("ada", "eve");
    let is_repeat = |repeat: &Answer| {
        repeat.status == StatusCode::ACCEPTED && repeat.is_replayed() && repeat.text == answer.text
    };

    // The gateway itself; a retry has the same id and a new timestamp.
    let later = sign(SECRET, "msg_1", now() + 2, BODY);
    assert!(is_repeat(
        &first.deliver_to("zapier", "msg_1", BODY, &later).await
    ));
    assert_eq!(first.deliver("msg_1", &other).await.problem(), "id-reused");

    // Another gateway, through Redis.
    let second = bench.start().await;
    let repeat = eventually(PATIENCE, || async {
        let repeat = second.deliver("msg_1", BODY).await;
        (repeat.status != StatusCode::CONFLICT).then_some(repeat)
    })
    .await
    .unwrap();
    assert!(is_repeat(&repeat), "{}", repeat.text);
    assert_eq!(second.deliver("msg_1", &other).await.problem(), "id-reused");

    // A third, with Redis emptied, and a fourth, with Redis away, from the read model.
    let projection = bench.follow(DeliveriesProjection::new(bench.schemas.clone()));
    let pool = Pool::connect(&bench.settings.postgres).unwrap();
    let correlation = CorrelationId::of_delivery("zapier", "msg_1");
    eventually(PATIENCE, || async {
        matches!(
            projections_deliveries::accepted(&pool, correlation).await,
            Ok(Some(_))
        )
    })
    .await
    .unwrap();
    let redis = Redis::connect(&bench.settings.redis).await.unwrap();
    let names = redis.scan("").await.unwrap();
    assert!(redis.delete(&names).await.unwrap() > 0);
    let third = bench.start().await;
    assert_eq!(third.deliver("msg_1", &other).await.problem(), "id-reused");
    assert!(is_repeat(&third.deliver("msg_1", BODY).await));
    let fourth = bench
        .start_with(|settings| settings.redis.url = "redis://127.0.0.1:1".to_owned())
        .await;
    let repeat = fourth.deliver("msg_1", BODY).await;
    assert!(is_repeat(&repeat), "{} {}", repeat.status, repeat.text);
    let fresh = fourth.deliver("msg_2", BODY).await;
    assert_eq!(
        (fresh.status, fresh.is_replayed()),
        (StatusCode::ACCEPTED, false)
    );

    assert_eq!(accepted(bench.deliveries().await).len(), 2);
    projection.cancel();
    for gateway in [first, second, third, fourth] {
        gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_at_once_one_is_first() {
    let bench = Bench::new("gateway_hundred").await;
    let gateways = [bench.start().await, bench.start().await];
    let signed = sign(SECRET, "msg_1", now(), BODY);
    let answers =
        join_all((0..100).map(|n| gateways[n % 2].deliver_to("zapier", "msg_1", BODY, &signed)))
            .await;
    let mut first = 0;
    for answer in &answers {
        match (answer.status, answer.is_replayed()) {
            (StatusCode::ACCEPTED, replayed) => first += usize::from(!replayed),
            (StatusCode::CONFLICT, _) => {
                assert_eq!(answer.problem(), "in-flight");
                assert!(answer.headers.contains_key("retry-after"));
            }
            other => panic!("{other:?}: {}", answer.text),
        }
    }
    assert_eq!(first, 1);
    assert_eq!(accepted(bench.deliveries().await).len(), 1);
    for gateway in gateways {
        gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_of_last_week_is_a_repeat_though_redis_was_flushed() {
    const AGE: &str =
        "UPDATE deliveries.accepted SET recorded_at = recorded_at - interval '8 days'";
    const FORGET: &str = "DELETE FROM deliveries.accepted";
    let bench = Bench::new("gateway_old_repeat").await;
    let first = bench.start().await;
    let answer = first.deliver("msg_1", BODY).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    first.stop().await;
    let projection = bench.follow(DeliveriesProjection::new(bench.schemas.clone()));
    let pool = Pool::connect(&bench.settings.postgres).unwrap();
    let client = pool.get().await.unwrap();
    eventually(PATIENCE, || async {
        matches!(client.execute(AGE, &[]).await, Ok(1)).then_some(())
    })
    .await
    .unwrap();
    let redis = Redis::connect(&bench.settings.redis).await.unwrap();
    let flush = || async {
        let names = redis.scan("").await.unwrap();
        redis.delete(&names).await.unwrap();
    };
    flush().await;
    let second = bench.start().await;
    let repeat = second.deliver("msg_1", BODY).await;
    assert!(repeat.is_replayed(), "{} {}", repeat.status, repeat.text);
    assert_eq!(repeat.text, answer.text);
    let other = BODY.replace("ada", "eve");
    assert_eq!(second.deliver("msg_1", &other).await.problem(), "id-reused");
    assert_eq!(accepted(bench.deliveries().await).len(), 1);
    second.stop().await;

    // It was that row, and nothing else, that knew.
    assert_eq!(client.execute(FORGET, &[]).await.unwrap(), 1);
    flush().await;
    let third = bench.start().await;
    assert!(!third.deliver("msg_1", BODY).await.is_replayed());
    projection.cancel();
    third.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_can_tell_a_repeat_nothing_is_taken() {
    let bench = Bench::new("gateway_stores_away").await;
    let gateway = bench
        .start_with(|settings| {
            settings.redis.url = "redis://127.0.0.1:1".to_owned();
            settings.postgres.url = "postgres://nobody@127.0.0.1:1/nothing".to_owned();
        })
        .await;
    // More than it takes to open the circuits: what is not asked is not known either.
    for number in 0..12 {
        let answer = gateway.deliver(&format!("msg_{number}"), BODY).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers["retry-after"], "1", "{}", answer.text);
    }
    let told = gateway.get("/v1/status").await.json();
    for circuit in ["idempotency-redis", "idempotency-postgres"] {
        assert_eq!(told["circuits"][circuit], "open");
    }
    assert_eq!(bench.deliveries().await, []);
    gateway.stop().await;
}
