//! How much the gateway takes of whom, and what it says when it is too much.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;

use std::time::Duration;

use bench::drip::Drip;
use bench::users::{INVOKE, TENANT, asked, call, key};
use bench::{Answer, Bench, PATIENCE, Running, SECRET, now, sign};
use domain_delivery::DeliveryEvent;
use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use platform_http::reqwest::{Method, StatusCode};
use platform_postgres::Pool;
use platform_projector::migrate_projection;
use platform_redis::Redis;
use platform_testkit::eventually;
use projections_deliveries::DeliveriesProjection;
use sha2::{Digest as _, Sha256};

const BODY: &str = r#"{"event_type":"ticket.created","subject":"ada"}"#;

/// Delivers until something is refused; how many went in before.
async fn until_refused(gateway: &Running, prefix: &str, at_most: usize) -> (usize, Answer) {
    for number in 0..at_most {
        let answer = gateway.deliver(&format!("{prefix}_{number}"), BODY).await;
        if answer.status != StatusCode::ACCEPTED {
            return (number, answer);
        }
    }
    panic!("{at_most} deliveries were all accepted");
}

/// How many were taken, the others having been told to come again.
fn some_taken(answers: &[Answer]) -> usize {
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
    assert!((1..answers.len()).contains(&taken), "{taken} were taken");
    taken
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
async fn behind_a_trusted_proxy_each_sender_has_its_own_budget() {
    let bench = Bench::new("limits_proxy").await;
    let gateway = bench
        .start_with(|settings| {
            settings.gateway.rate_limits.address_per_s = 0.05;
            settings.gateway.rate_limits.address_burst = 1;
            settings.gateway.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        })
        .await;
    for (forwarded, status) in [
        ("203.0.113.7", StatusCode::OK),
        // What the sender wrote itself gives it no other budget.
        ("198.51.100.1, 203.0.113.7", StatusCode::TOO_MANY_REQUESTS),
        ("203.0.113.8, 127.0.0.2", StatusCode::OK),
    ] {
        let headers = [("x-forwarded-for", forwarded)];
        let answer = call(&gateway, Method::GET, "/openapi.json", &headers, "").await;
        assert_eq!(answer.status, status, "{forwarded}");
        assert_eq!(answer.headers["ratelimit-policy"], "\"address\";q=1;w=20");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_agents_too_often_is_told_when_to_come_back() {
    let bench = bench::users::bench("limits_invoke").await;
    let [ada, bob] = [
        key(&bench, "acme", "ada", &["invoke"]).await,
        key(&bench, "acme", "bob", &["invoke"]).await,
    ];
    let gateway = bench
        .start_with(|settings| {
            settings.identity.required = true;
            settings.gateway.rate_limits.address_per_s = 1_000.0;
            settings.gateway.rate_limits.tenant_per_s = 0.05;
            settings.gateway.rate_limits.tenant_burst = 3;
            settings.gateway.rate_limits.key_per_s = 0.05;
            settings.gateway.rate_limits.key_burst = 2;
        })
        .await;
    let ask = |credential: String| {
        let gateway = &gateway;
        async move {
            let authorization = format!("Bearer {credential}");
            let headers = [
                ("authorization", &*authorization),
                ("prefer", "respond-async"),
            ];
            call(gateway, Method::POST, INVOKE, &headers, "{}").await
        }
    };
    let first = ask(ada.text.clone()).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.text);
    assert_eq!(
        first.headers["ratelimit-policy"],
        "\"address\";q=1000;w=1, \"tenant\";q=3;w=60, \"key\";q=2;w=40"
    );
    // Who shows nothing is charged to nobody but its address.
    let stranger = ask("amk_ada_guessed".to_owned()).await;
    assert_eq!(stranger.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        stranger.headers["ratelimit-policy"],
        "\"address\";q=1000;w=1"
    );
    assert_eq!(ask(ada.text.clone()).await.status, StatusCode::ACCEPTED);
    for (credential, policy) in [(&ada, "key"), (&bob, "tenant")] {
        let refused = ask(credential.text.clone()).await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused.problem(), "rate-limited");
        assert_eq!(refused.json()["policy"], policy);
        let wait = refused.headers["retry-after"].to_str().unwrap();
        assert!((1..=20).contains(&wait.parse::<u64>().unwrap()), "{wait}");
    }
    assert_eq!(asked(&bench, 2).await.len(), 2);
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
    for circuit in [
        "idempotency-postgres",
        "answers-postgres",
        "read-models-postgres",
        "identity-issuers",
    ] {
        assert_eq!(told["circuits"][circuit], "closed");
    }
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
    some_taken(&answers);
    let again = gateway.deliver("msg_again", BODY).await;
    assert_eq!(again.status, StatusCode::ACCEPTED, "{}", again.text);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_are_turned_away_like_deliveries_and_keep_none_out_while_they_wait() {
    let bench = bench::users::bench("limits_invoke_admission").await;
    let gateway = bench
        .start_with(|settings| settings.gateway.max_concurrent_requests = 1)
        .await;
    let later = [TENANT, ("prefer", "respond-async")];
    let answers = join_all((0..20).map(|_| call(&gateway, Method::POST, INVOKE, &later, "{}")));
    let taken = some_taken(&answers.await);
    assert_eq!(asked(&bench, taken).await.len(), taken);

    // Nobody answers this one, and there is room for one request only.
    let headers = [TENANT, ("prefer", "wait=60")];
    let waiting = call(&gateway, Method::POST, INVOKE, &headers, "{}");
    let delivering = async {
        asked(&bench, taken + 1).await;
        let accepted = eventually(PATIENCE, || async {
            let answer = gateway.deliver("meanwhile", BODY).await;
            (answer.status == StatusCode::ACCEPTED).then_some(())
        });
        accepted.await.unwrap();
    };
    tokio::select! {
        answer = waiting => panic!("{} {}", answer.status, answer.text),
        () = delivering => {}
    }
    gateway.stop().await;
}

/// How many requests the gateway is at work at.
async fn at_work(gateway: &Running) -> u64 {
    let told = gateway.get("/v1/status").await.json();
    told["requests"]["present"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_drip_keep_no_delivery_out() {
    let bench = Bench::new("limits_drips").await;
    let gateway = bench
        .start_with(|settings| {
            settings.gateway.max_concurrent_requests = 4;
            settings.gateway.request_timeout_ms = 60_000;
            settings.http.min_body_bytes_per_s = 0;
        })
        .await;
    let mut drips = Vec::new();
    for number in 0..12 {
        let id = format!("drip_{number}");
        drips.push(Drip::begin(&gateway, &id, BODY, &sign(SECRET, &id, now(), BODY)).await);
    }
    // There is room for four. Of the others each is told to come again.
    let mut waiting: FuturesUnordered<_> = drips
        .into_iter()
        .map(|mut drip| {
            Box::pin(async move {
                tokio::select! {
                    told = drip.told() => (drip, Some(told)),
                    () = tokio::time::sleep(PATIENCE) => (drip, None),
                }
            })
        })
        .collect();
    for _ in 0..8 {
        let (_, told) = waiting.next().await.unwrap();
        let told = told.expect("turned away in time");
        assert_eq!(told.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(told.text.contains("problems/overloaded"), "{}", told.text);
        assert!(told.text.contains("retry-after: 1\r\n"), "{}", told.text);
    }
    assert_eq!(at_work(&gateway).await, 0, "who sends slowly has no place");
    for number in 0..8 {
        let answer = gateway.deliver(&format!("prompt_{number}"), BODY).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    }
    drop(waiting);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_body_that_is_in_nobody_s_way_is_taken() {
    let bench = Bench::new("limits_slow").await;
    let gateway = bench
        .start_with(|settings| settings.gateway.max_concurrent_requests = 4)
        .await;
    let mut slow = Drip::begin(&gateway, "slow", BODY, &sign(SECRET, "slow", now(), BODY)).await;
    for number in 0..8 {
        let answer = gateway.deliver(&format!("prompt_{number}"), BODY).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    }
    slow.finish().await;
    let told = slow.told().await;
    assert_eq!(told.status, StatusCode::ACCEPTED, "{}", told.text);
    gateway.stop().await;
}

/// What costs work comes after admission: a forger is told that there is too
/// much, and not that it forged, whether its body comes before or after.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_turned_away_was_not_checked() {
    let bench = bench::users::bench("limits_forged").await;
    let gateway = bench
        .start_with(|settings| settings.gateway.max_concurrent_requests = 1)
        .await;
    let pool = Pool::connect(&bench.settings.postgres).unwrap();
    let mut client = pool.get().await.unwrap();
    let there = eventually(PATIENCE, || async {
        client.execute("SELECT FROM gateway.answer", &[]).await
    });
    there.await.unwrap();
    let forged = (now(), "v1,AAAA".to_owned());
    let digest = |body: &str| hex::encode(Sha256::digest(body));
    let mut unchecked = Vec::new();
    for round in 0.. {
        assert!(round < 5, "the place was never held for long enough");
        let (whole, late) = (format!("[{round}, 1]"), format!("[{round}, 2]"));
        let mut drip = Drip::begin(&gateway, "late", &late, &forged).await;
        // A question keeps the one place for as long as nobody can tell whether
        // it was asked before, which is three seconds.
        let locked = client.transaction().await.unwrap();
        locked
            .batch_execute("LOCK TABLE gateway.answer IN ACCESS EXCLUSIVE MODE")
            .await
            .unwrap();
        let id = format!("k-{round}");
        let headers = [
            TENANT,
            ("idempotency-key", &*id),
            ("prefer", "respond-async"),
        ];
        let asking = call(&gateway, Method::POST, INVOKE, &headers, "{}");
        let forging = async {
            let held = eventually(PATIENCE, || async {
                (at_work(&gateway).await == 1).then_some(())
            });
            held.await.unwrap();
            let answer = gateway.deliver_to("zapier", "whole", &whole, &forged).await;
            drip.finish().await;
            let told = drip.told().await;
            let held = at_work(&gateway).await == 1;
            locked.rollback().await.unwrap();
            held.then_some((answer, told))
        };
        let (_, answers) = tokio::join!(asking, forging);
        let Some((answer, told)) = answers else {
            continue;
        };
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.problem(), "overloaded");
        assert_eq!(answer.headers["retry-after"], "1");
        assert_eq!(told.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(told.text.contains("problems/overloaded"), "{}", told.text);
        unchecked.extend([digest(&whole), digest(&late)]);
        break;
    }
    // The same is a forgery as soon as there is room, and that is recorded.
    let answer = gateway.deliver_to("zapier", "last", "[]", &forged).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let refused = || async {
        let mut refused = Vec::new();
        for recorded in bench.deliveries().await {
            if let DeliveryEvent::Refused(of) = recorded.event {
                refused.push(of.body_sha256);
            }
        }
        refused.contains(&digest("[]")).then_some(refused)
    };
    let refused = eventually(PATIENCE, refused).await.unwrap();
    for body in unchecked {
        assert!(!refused.contains(&body), "it was looked at");
    }
    gateway.stop().await;
}
