//! How much the gateway takes of whom, and what it says when it is too much.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;

use std::time::Duration;

use bench::{Bench, Running};
use futures::future::join_all;
use platform_http::reqwest::StatusCode;
use platform_postgres::Pool;
use platform_projector::migrate_projection;
use platform_redis::Redis;
use projections_deliveries::DeliveriesProjection;

const BODY: &str = r#"{"event_type":"ticket.created","subject":"ada"}"#;

/// Delivers until something is refused; how many went in before.
async fn until_refused(gateway: &Running, prefix: &str, at_most: usize) -> (usize, bench::Answer) {
    for number in 0..at_most {
        let answer = gateway.deliver(&format!("{prefix}_{number}"), BODY).await;
        if answer.status != StatusCode::ACCEPTED {
            return (number, answer);
        }
    }
    panic!("{at_most} deliveries were all accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_sends_too_much_is_told_when_to_come_back() {
    let bench = Bench::new("limits_source").await;
    let gateway = bench
        .start_with(|settings| {
            settings.gateway.rate_limits.source_per_s = 0.05;
            settings.gateway.rate_limits.source_burst = 1;
            settings.gateway.rate_limits.sources = vec![("zapier".to_owned(), 0.05, 5)];
            settings.gateway.rate_limits.shared = false;
        })
        .await;
    let first = gateway.deliver("first", BODY).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.text);
    assert_eq!(first.headers["ratelimit-policy"], "\"source\";q=5;w=100");
    assert_eq!(first.headers["ratelimit"], "\"source\";r=4;t=20");

    let (accepted, refused) = until_refused(&gateway, "more", 10).await;
    assert_eq!(accepted, 4);
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.problem(), "rate-limited");
    assert_eq!(refused.json()["policy"], "source");
    let wait: u64 = refused.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
    assert!(
        refused.headers["ratelimit"]
            .to_str()
            .unwrap()
            .starts_with("\"source\";r=0;t=")
    );
    // A forger neither learns of the limit nor uses it up.
    let forged = gateway
        .deliver_to(
            "zapier",
            "forged",
            BODY,
            &(bench::now(), "v1,AAAA".to_owned()),
        )
        .await;
    assert_eq!(forged.status, StatusCode::UNAUTHORIZED);
    assert!(!forged.headers.contains_key("ratelimit"));
    // Another source has a budget of its own.
    let signature = bench::sign_github(BODY);
    let other = gateway
        .post(
            "github",
            &[
                ("content-type", "application/json"),
                ("x-hub-signature-256", &signature),
                ("x-github-event", "push"),
            ],
            BODY.as_bytes(),
        )
        .await;
    assert_eq!(other.status, StatusCode::ACCEPTED, "{}", other.text);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_stopped_before_anything_is_read() {
    let bench = Bench::new("limits_address").await;
    let gateway = bench
        .start_with(|settings| {
            settings.gateway.rate_limits.address_per_s = 0.05;
            settings.gateway.rate_limits.address_burst = 2;
        })
        .await;
    for _ in 0..2 {
        let forged = (bench::now(), "v1,AAAA".to_owned());
        let answer = gateway.deliver_to("zapier", "forged", BODY, &forged).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    let answer = gateway.deliver("honest", BODY).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer.json()["policy"], "address");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_share_a_budget_and_keep_it_alone_while_redis_is_away() {
    let bench = Bench::new("limits_shared").await;
    let limited = |settings: &mut platform_config::Settings| {
        settings.gateway.rate_limits.tenant_per_s = 0.05;
        settings.gateway.rate_limits.tenant_burst = 6;
    };
    let one = bench.start_with(limited).await;
    let two = bench.start_with(limited).await;
    let deliveries = (0..12).map(|number| {
        let gateway = if number % 2 == 0 { &one } else { &two };
        let id = format!("msg_{number}");
        async move { gateway.deliver(&id, BODY).await.status }
    });
    let statuses = join_all(deliveries).await;
    let accepted = statuses
        .iter()
        .filter(|status| **status == StatusCode::ACCEPTED)
        .count();
    assert_eq!(accepted, 6, "{statuses:?}");

    // Flushed, the budget is full again; nothing else changes.
    let redis = Redis::connect(&bench.settings.redis).await.unwrap();
    let keys = redis.scan("rate:").await.unwrap();
    assert!(!keys.is_empty());
    redis.delete(&keys).await.unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    one.stop().await;
    two.stop().await;

    // Without Redis it is Postgres that knows what was seen.
    let pool = Pool::connect(&bench.settings.postgres).unwrap();
    let deliveries = DeliveriesProjection::new(bench.schemas.clone());
    migrate_projection(&deliveries, &pool).await.unwrap();
    let alone = bench
        .start_with(|settings| {
            limited(settings);
            settings.redis.url = "redis://127.0.0.1:1".to_owned();
        })
        .await;
    let (accepted, refused) = until_refused(&alone, "alone", 10).await;
    assert_eq!(accepted, 6, "{} {}", refused.status, refused.text);
    assert_eq!(refused.json()["policy"], "tenant");
    // What is away is told, in a word and without an address.
    let status = alone.get("/v1/status").await;
    assert_eq!(status.status, StatusCode::OK);
    let told = status.json();
    assert_eq!(told["circuits"]["rate-limits-redis"], "open");
    assert_eq!(told["circuits"]["idempotency-postgres"], "closed");
    assert_eq!(told["rate_limits"]["kept"], "shared");
    assert!(told["queue"]["limit"].as_u64().unwrap() > 0);
    assert!(!status.text.contains("127.0.0.1"));
    alone.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_more_than_can_be_taken_is_turned_away_unread() {
    let bench = Bench::new("limits_admission").await;
    let gateway = bench
        .start_with(|settings| settings.gateway.max_concurrent_requests = 1)
        .await;
    // Twenty at once: whoever comes while another is handled is turned away,
    // and is taken when it comes again.
    let answers = join_all((0..20).map(|number| {
        let gateway = &gateway;
        async move { gateway.deliver(&format!("msg_{number}"), BODY).await }
    }))
    .await;
    let mut taken = 0;
    for answer in answers {
        if answer.status == StatusCode::ACCEPTED {
            taken += 1;
            continue;
        }
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.problem(), "overloaded");
        assert_eq!(answer.headers["retry-after"], "1");
    }
    assert!((1..20).contains(&taken), "{taken} were taken");
    let again = gateway.deliver("msg_again", BODY).await;
    assert_eq!(again.status, StatusCode::ACCEPTED, "{}", again.text);
    gateway.stop().await;
}
