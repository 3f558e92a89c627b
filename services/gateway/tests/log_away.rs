//! A gateway whose broker does not answer.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;

use std::sync::Arc;

use bench::{Bench, PATIENCE};
use platform_config::Settings;
use platform_http::reqwest::StatusCode;
use platform_http::{Limits, bind, serve};
use platform_identity::Identity;
use platform_log::{Encoder, Producer};
use platform_postgres::Pool;
use platform_redis::Redis;
use platform_vault::Vault;
use projections_registry_view::RegistryView;
use services_gateway::{Gateway, Parts, Results, router};
use tokio_util::sync::CancellationToken;

/// Serves a gateway that reads the registry from the real broker and appends to
/// `brokers`; says where.
async fn serve_with_brokers(
    bench: &Bench,
    settings: &Settings,
    brokers: &str,
    stop: &CancellationToken,
) -> String {
    let (view, _) = RegistryView::follow(settings, bench.schemas.clone(), stop.clone());
    tokio::time::timeout(PATIENCE, view.caught_up())
        .await
        .unwrap();
    let mut kafka = settings.kafka.clone();
    kafka.brokers = brokers.to_owned();
    let entries = schemas::catalogue()
        .iter()
        .map(|entry| (entry.topic, entry.name, entry.text));
    let parts = Parts {
        identity: Identity::new(&settings.identity, view.clone()).unwrap(),
        results: Results::default(),
        view,
        vault: Vault::from_settings(&settings.secrets, &settings.data_dir).unwrap(),
        redis: Redis::connect(&settings.redis).await.unwrap(),
        pool: Pool::connect(&settings.postgres).unwrap(),
        producer: Producer::new(&kafka).unwrap(),
        encoder: Encoder::resolve(&bench.schemas, entries).await.unwrap(),
    };
    let (gateway, background) = Gateway::new(settings, parts);
    tokio::spawn(background.run(stop.clone()));
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let router = router(Arc::new(gateway));
    tokio::spawn(serve(
        "gateway",
        listener,
        router,
        Limits::default(),
        stop.clone(),
    ));
    base
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_remembered_of_what_the_log_did_not_take() {
    let bench = Bench::new("gateway_log_away").await;
    let stop = CancellationToken::new();
    let mut settings = bench.settings.clone();
    settings.gateway.request_timeout_ms = 500;
    let base = serve_with_brokers(&bench, &settings, "127.0.0.1:1", &stop).await;

    let mut gateway = bench.start().await;
    let alive = std::mem::replace(&mut gateway.base, base);
    for _ in 0..2 {
        let answer = gateway.deliver("msg_1", "{}").await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.problem(), "log-unavailable");
        assert!(answer.headers.contains_key("retry-after"));
    }

    // The marker goes from Redis behind the answer.
    gateway.base = alive;
    let answer = platform_testkit::eventually(PATIENCE, || async {
        let answer = gateway.deliver("msg_1", "{}").await;
        (answer.status != StatusCode::CONFLICT).then_some(answer)
    })
    .await
    .unwrap();
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    assert!(!answer.is_replayed());
    assert_eq!(bench.deliveries().await.len(), 1);
    stop.cancel();
    gateway.stop().await;
}
