//! What the platforms and tools send of themselves, header by header, signed as
//! their documentation says.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain_delivery::AuthMethod;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tests_gateway::{Ground, Request, TOKEN, exchange, now};

use crate::{PUBLIC, SECRET, deliver};

const JSON: (&str, &str) = ("content-type", "application/json");

fn mac(parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

pub(crate) async fn all(ground: &Ground) {
    make_and_n8n(ground).await;
    by_token(ground).await;
    custom(ground).await;
    github(ground).await;
    stripe(ground).await;
    slack(ground).await;
    shopify(ground).await;
    hubspot(ground).await;
    marketing_cloud(ground).await;
}

async fn make_and_n8n(ground: &Ground) {
    let body = br#"{"event_type":"support.ticket.created","payload":{"customer":{"email":"m@example.com"}}}"#;
    let seconds = now().to_string();
    let signature = hex::encode(mac(&[seconds.as_bytes(), b".", body]));
    let headers = [
        JSON,
        ("x-mesh-timestamp", &seconds),
        ("x-mesh-signature", &signature),
    ];
    let made = deliver(ground, "make", &headers, body).await;
    assert_eq!(made.subject.as_deref(), Some("m@example.com"));
    let millis = (now() * 1_000).to_string();
    let signature = STANDARD.encode(mac(&[millis.as_bytes(), b".", body]));
    let headers = [
        JSON,
        ("x-mesh-timestamp", &millis),
        ("x-mesh-signature", &signature),
    ];
    deliver(ground, "n8n", &headers, body).await;
}

/// As Make and n8n send without signing. What was sent is a repeat by its body.
async fn by_token(ground: &Ground) {
    let token = format!("Bearer {TOKEN}");
    let headers = [JSON, ("authorization", &*token)];
    for source in ["make-bearer", "n8n-bearer"] {
        let body = format!(
            r#"{{"event_type":"support.ticket.created","payload":{{"from":"{source}","customer":{{"email":"t@example.com"}}}}}}"#
        );
        let first = deliver(ground, source, &headers, body.as_bytes()).await;
        assert_eq!(first.auth, AuthMethod::Bearer);
        assert_eq!(first.event_type, "support.ticket.created");
        assert_eq!(first.subject.as_deref(), Some("t@example.com"));
        assert_eq!(first.quarantine, None);
        let again = deliver(ground, source, &headers, body.as_bytes()).await;
        assert_eq!(again.delivery_id, first.delivery_id);
    }
}

async fn custom(ground: &Ground) {
    let body = br#"{"id":"acme-1"}"#;
    let at = now().to_string();
    let signature = format!("sha256={}", hex::encode(mac(&[at.as_bytes(), b".", body])));
    let headers = [
        JSON,
        ("x-acme-signature", &*signature),
        ("x-acme-timestamp", &at),
        ("x-acme-event", "order.shipped"),
    ];
    let delivery = deliver(ground, "custom", &headers, body).await;
    assert_eq!(delivery.delivery_id, "acme-1");
    assert_eq!(delivery.event_type, "order.shipped");
}

/// The header set of a delivery as GitHub documents it.
async fn github(ground: &Ground) {
    let body = br#"{"zen":"Keep it logically awesome.","hook_id":1,"sender":{"login":"octocat"}}"#;
    let signature = format!("sha256={}", hex::encode(mac(&[body])));
    let headers = [
        JSON,
        ("accept", "*/*"),
        ("user-agent", "GitHub-Hookshot/044aadd"),
        ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        ("x-github-event", "ping"),
        ("x-github-hook-id", "292430182"),
        ("x-github-hook-installation-target-id", "79929171"),
        ("x-github-hook-installation-target-type", "repository"),
        (
            "x-hub-signature",
            "sha1=7d38cdd689735b008b3c702edd92eea23791c5f6",
        ),
        ("x-hub-signature-256", &*signature),
    ];
    let delivery = deliver(ground, "github", &headers, body).await;
    assert_eq!(delivery.event_type, "ping");
    assert_eq!(delivery.subject.as_deref(), Some("octocat"));
}

async fn stripe(ground: &Ground) {
    let body = br#"{"id":"evt_1","type":"invoice.paid","data":{"object":{"customer":"cus_1"}}}"#;
    let at = now().to_string();
    let signature = hex::encode(mac(&[at.as_bytes(), b".", body]));
    let header = format!("t={at},v1={},v1={signature},v0=00", "0".repeat(64));
    let delivery = deliver(
        ground,
        "stripe",
        &[JSON, ("stripe-signature", &header)],
        body,
    )
    .await;
    assert_eq!(delivery.delivery_id, "evt_1");
    assert_eq!(delivery.event_type, "invoice.paid");
}

async fn slack(ground: &Ground) {
    let sign = |body: &[u8]| {
        let at = now().to_string();
        let signature = format!(
            "v0={}",
            hex::encode(mac(&[b"v0:", at.as_bytes(), b":", body]))
        );
        (at, signature)
    };
    let event =
        br#"{"type":"event_callback","event_id":"Ev1","event":{"type":"message","user":"U1"}}"#;
    let (at, signature) = sign(event);
    let headers = [
        JSON,
        ("x-slack-request-timestamp", &at),
        ("x-slack-signature", &signature),
    ];
    let delivery = deliver(ground, "slack", &headers, event).await;
    assert_eq!(delivery.delivery_id, "Ev1");
    assert_eq!(delivery.event_type, "message");
    // A button, as a form with JSON in it.
    let button = b"payload=%7B%22type%22%3A%22block_actions%22%2C%22event%22%3A%7B%7D%7D";
    let (at, signature) = sign(button);
    let headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("x-slack-request-timestamp", &*at),
        ("x-slack-signature", &signature),
    ];
    let delivery = deliver(ground, "slack", &headers, button).await;
    assert_eq!(delivery.body, button);
}

async fn shopify(ground: &Ground) {
    let body = br#"{"id":820982911946154508,"email":"jon@example.com"}"#;
    let signature = STANDARD.encode(mac(&[body]));
    let headers = [
        JSON,
        ("x-shopify-topic", "orders/create"),
        ("x-shopify-hmac-sha256", &*signature),
        ("x-shopify-shop-domain", "acme.myshopify.com"),
        ("x-shopify-api-version", "2026-07"),
        (
            "x-shopify-webhook-id",
            "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
        ),
        ("x-shopify-event-id", "98880550-7158-44d4-b7cd-2c97c8a091b5"),
    ];
    let delivery = deliver(ground, "shopify", &headers, body).await;
    assert_eq!(delivery.event_type, "orders/create");
}

/// A hundred events, and an escape of the URI that is decoded before signing.
async fn hubspot(ground: &Ground) {
    let events: Vec<_> = (0..100)
        .map(|n| {
            format!(r#"{{"eventId":{n},"subscriptionType":"ticket.creation","objectId":{n}}}"#)
        })
        .collect();
    let body = format!("[{}]", events.join(",")).into_bytes();
    let at = (now() * 1_000).to_string();
    let signed = format!("POST{PUBLIC}/hooks/hubspot?portal=a@b%20c");
    let signature = STANDARD.encode(mac(&[signed.as_bytes(), &body, at.as_bytes()]));
    let request = Request {
        method: "POST",
        target: "/hooks/hubspot?portal=a%40b%20c".to_owned(),
        headers: Vec::new(),
        body,
        with_length: true,
    }
    .add("content-type", "application/json")
    .add("x-hubspot-request-timestamp", &at)
    .add("x-hubspot-signature-v3", &signature);
    let answer = exchange(ground.address(), &request.bytes())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        answer.status,
        202,
        "{}",
        String::from_utf8_lossy(&answer.body)
    );
    let said: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let delivery = crate::recorded(ground, said["correlation_id"].as_str().unwrap()).await;
    assert_eq!(delivery.event_type, "ticket.creation");
    let line = delivery.request.unwrap();
    assert_eq!(line.uri, format!("{PUBLIC}/hooks/hubspot?portal=a%40b%20c"));
    assert_eq!(line.method, "POST");
}

async fn marketing_cloud(ground: &Ground) {
    let source = "salesforce-marketing-cloud";
    let body = br#"[{"eventCategoryType":"TransactionalSendEvents.EmailSent","info":{"to":"a@example.com"}}]"#;
    let signature = STANDARD.encode(mac(&[body]));
    let headers = [JSON, ("x-sfmc-ens-signature", &*signature)];
    let delivery = deliver(ground, source, &headers, body).await;
    assert_eq!(delivery.auth, AuthMethod::HmacSha256);
    // The handshake is unsigned, answered, and no delivery.
    let handshake = Request {
        method: "POST",
        target: format!("/hooks/{source}"),
        headers: Vec::new(),
        body: br#"{"callbackId":"cb-1","verificationKey":"vk-1"}"#.to_vec(),
        with_length: true,
    }
    .add("content-type", "application/json");
    let answer = exchange(ground.address(), &handshake.bytes())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer.status, 200);
    platform_testkit::eventually(std::time::Duration::from_secs(60), || async {
        let deliveries = ground.deliveries().await.ok()?;
        deliveries
            .into_iter()
            .find_map(|recorded| match recorded.event {
                domain_delivery::DeliveryEvent::Refused(refused) => refused
                    .detail
                    .contains("callback cb-1 with key vk-1")
                    .then_some(()),
                domain_delivery::DeliveryEvent::Accepted(_) => None,
            })
    })
    .await
    .unwrap();
}
