//! A gateway that asks who calls for a certificate, over real sockets: who is
//! known by it, who is not, and what a source makes of it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;

use std::time::Duration;

use bench::users::{INVOKE, asked, call};
use bench::{Answer, Bench, PATIENCE, Running};
use domain_delivery::{AuthMethod, DeliveryEvent, RefusalReason};
use domain_registry::{Certificate, Resource};
use platform_certs::{Request, RoleNames, Store};
use platform_config::{ClientCertificates, ListenerTls, Tls, TlsVersion};
use platform_http::reqwest::{Client, Method, StatusCode};
use platform_http::{CertificateInfo, ClientOptions, peer_client};
use platform_testkit::eventually;

const DOMAIN: &str = "mesh.internal";
const HOUR: Duration = Duration::from_secs(3_600);
const BODY: &str = r#"{"event_type":"ticket.created","subject":"ada"}"#;

/// An authority under the bench's own directory, and what it has issued.
fn authority(bench: &Bench, name: &str, roles: &[&str]) -> Store {
    let store = Store::new(bench.settings.data_dir.join(name));
    store.init(HOUR).unwrap();
    for role in roles {
        let names = RoleNames::new(role, DOMAIN).unwrap();
        let request = Request::new(names, HOUR).on_this_machine();
        store.issue(&request).unwrap();
    }
    store
}

/// HTTPS, and a look at the certificate of whoever has one.
async fn start(bench: &Bench, store: &Store) -> Running {
    let tls = ListenerTls {
        certificate: Some(store.certificate("gateway")),
        key: Some(store.key("gateway")),
        client_certificates: ClientCertificates::Optional,
        client_authorities: Some(store.authorities()),
        client_names: Vec::new(),
        min_version: TlsVersion::V1_3,
    };
    let start = bench.start_with(|settings| {
        settings.gateway.tls = tls;
        settings.identity.required = true;
    });
    let mut gateway = start.await;
    gateway.base = gateway.base.replace("http://", "https://");
    gateway
}

/// A caller that believes `store` and shows, if any, the certificate of a role
/// that `shown` issued.
fn client(store: &Store, shown: Option<(&Store, &str)>) -> Client {
    let tls = Tls {
        reload_interval_ms: 60_000,
        client_certificate: shown.map(|(store, role)| store.certificate(role)),
        client_key: shown.map(|(store, role)| store.key(role)),
        peer_authorities: Some(store.authorities()),
        peer_domain: DOMAIN.to_owned(),
    };
    peer_client(ClientOptions::with_timeout(PATIENCE), &tls, "gateway").unwrap()
}

fn certificate(name: &str, subject: &str) -> Resource {
    Resource::Certificate(Certificate {
        name: name.to_owned(),
        subject: subject.to_owned(),
        scopes: vec!["invoke".to_owned()],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_known_by_its_certificate_and_a_stranger_is_not() {
    let bench = bench::users::bench("certificates_callers").await;
    let store = authority(&bench, "ours", &["gateway", "airflow", "etl", "stranger"]);
    let elsewhere = authority(&bench, "theirs", &["airflow"]);
    let by_name = certificate("CN=airflow.mesh.internal", "airflow");
    bench.register("acme", "flows", by_name).await;
    let pem = std::fs::read(store.certificate("etl")).unwrap();
    let digest = CertificateInfo::of_pem(&pem).unwrap().sha256;
    let by_digest = certificate(&format!("sha256:{}", hex::encode(digest)), "etl");
    bench.register("acme", "loads", by_digest).await;

    let mut gateway = start(&bench, &store).await;
    let headers = [("prefer", "respond-async")];
    let mut refused = Vec::new();
    for (shown, status) in [
        (Some("airflow"), StatusCode::ACCEPTED),
        (Some("etl"), StatusCode::ACCEPTED),
        (Some("stranger"), StatusCode::UNAUTHORIZED),
        (None, StatusCode::UNAUTHORIZED),
    ] {
        gateway.client = client(&store, shown.map(|role| (&store, role)));
        let answer = call(&gateway, Method::POST, INVOKE, &headers, "{}").await;
        assert_eq!(answer.status, status, "{shown:?}: {}", answer.text);
        if status == StatusCode::UNAUTHORIZED {
            refused.push(answer.text);
        }
    }
    assert_eq!(refused[0], refused[1], "unknown and none look alike");
    let mut actors: Vec<_> = asked(&bench, 2)
        .await
        .into_iter()
        .map(|request| request.meta.actor.unwrap().as_str().to_owned())
        .collect();
    actors.sort();
    assert_eq!(
        actors,
        ["certificate:flows/airflow", "certificate:loads/etl"]
    );

    // The name is right, the authority is another's: there is no connection.
    let forged = client(&store, Some((&elsewhere, "airflow")));
    let sent = forged.get(format!("{}/openapi.json", gateway.base)).send();
    assert!(sent.await.is_err());
    let honest = client(&store, None);
    let sent = honest.get(format!("{}/openapi.json", gateway.base)).send();
    assert_eq!(sent.await.unwrap().status(), StatusCode::OK);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_takes_its_certificate_and_no_other() {
    let bench = Bench::new("certificates_source").await;
    let store = authority(&bench, "ours", &["gateway", "sender", "other"]);
    let subject = [("by-name", "subject:CN=sender.mesh.internal", None)];
    let source = bench.source("nightly", "mtls", &subject);
    bench.register("acme", "nightly", source).await;

    let mut gateway = start(&bench, &store).await;
    let mut deliver = async |shown: Option<&str>, id: &str| -> Answer {
        gateway.client = client(&store, shown.map(|role| (&store, role)));
        let headers = [
            ("content-type", "application/json"),
            ("idempotency-key", id),
        ];
        gateway.post("nightly", &headers, BODY.as_bytes()).await
    };
    let answer = deliver(Some("sender"), "run-1").await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    let again = deliver(Some("sender"), "run-1").await;
    assert!(again.is_replayed() && again.text == answer.text);
    for shown in [Some("other"), None] {
        let answer = deliver(shown, "run-2").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{shown:?}");
        assert_eq!(answer.problem(), "not-authentic");
    }

    let recorded = eventually(PATIENCE, || async {
        let events = bench.deliveries().await;
        (events.len() == 3).then_some(events)
    });
    let mut refused = 0;
    for recorded in recorded.await.unwrap() {
        match recorded.event {
            DeliveryEvent::Accepted(accepted) => {
                assert_eq!(accepted.auth, AuthMethod::Mtls);
                assert_eq!(accepted.key_id.as_deref(), Some("by-name"));
                assert_eq!(accepted.delivery_id, "run-1");
            }
            DeliveryEvent::Refused(of) => {
                assert_eq!(of.reason, RefusalReason::BadSignature);
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 2);
    gateway.stop().await;
}
