use crate::{documented, libraries, platforms};
use std::time::Duration;

use domain_delivery::{DeliveryAccepted, DeliveryEvent};
use platform_testkit::eventually;
use serde_json::{Value, json};
use tests_gateway::{Ground, Request, Response, exchange};

/// The secret of every source that may have one of its own choice.
pub(crate) const SECRET: &str = "senders-secret-0001";
pub(crate) const WHSEC: &str = "whsec_c2VuZGVycyBzaWduIHdpdGggdGhpcyBzZWNyZXQ=";
pub(crate) const PUBLIC: &str = "https://mesh.example";

/// One gateway for all of them; each source is somebody else's.
#[tokio::test(flavor = "multi_thread")]
async fn senders_are_taken_in_as_they_are() {
    let ground = Ground::with("senders", |settings| {
        settings.gateway.public_url = Some(PUBLIC.to_owned());
    })
    .await
    .unwrap();
    // Whatever is authentic, of whatever type: this is about who signed it.
    let policy = json!({
        "modules": {"ingest.rego": "package mesh.ingest\n\nallow if input.auth\n"},
    });
    put(&ground, "policies", "ingest", &policy).await;
    documented::register_all(&ground).await;
    documented::run_all(&ground).await;
    platforms::all(&ground).await;
    libraries::all(&ground).await;
}

pub(crate) async fn put(ground: &Ground, kind: &str, id: &str, resource: &Value) {
    let (status, answer) = ground.put("acme", kind, id, resource).await.unwrap();
    assert!(status.is_success(), "{status} to {kind}/{id}: {answer}");
}

/// Posts to a source and insists on 202.
pub(crate) async fn deliver(
    ground: &Ground,
    source: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> DeliveryAccepted {
    let request = headers.iter().fold(
        Request {
            method: "POST",
            target: format!("/hooks/{source}"),
            headers: Vec::new(),
            body: body.to_vec(),
            with_length: true,
        },
        |request, (name, value)| request.add(name, value),
    );
    let answer = eventually_known(ground, &request).await;
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, 202, "{source}: {text}");
    let said: Value = serde_json::from_slice(&answer.body).unwrap();
    recorded(ground, said["correlation_id"].as_str().unwrap()).await
}

/// The gateway learns of a source or a policy a moment after the registry said
/// yes; until then it refuses.
async fn eventually_known(ground: &Ground, request: &Request) -> Response {
    eventually(Duration::from_secs(30), || async {
        let answer = exchange(ground.address(), &request.bytes())
            .await
            .map_err(|e| e.to_string())?;
        let answer = answer.ok_or("closed without an answer")?;
        match answer.status {
            401 | 403 => Err(String::from_utf8_lossy(&answer.body).into_owned()),
            _ => Ok(answer),
        }
    })
    .await
    .unwrap_or_else(|error| panic!("{} is never taken in: {error:?}", request.target))
}

/// What stands on the log of it.
pub(crate) async fn recorded(ground: &Ground, correlation: &str) -> DeliveryAccepted {
    let deliveries = ground.deliveries().await.unwrap();
    let found = deliveries
        .into_iter()
        .find_map(|recorded| match recorded.event {
            DeliveryEvent::Accepted(accepted)
                if recorded.meta.correlation.to_string() == correlation =>
            {
                Some(accepted)
            }
            _ => None,
        });
    found.unwrap_or_else(|| panic!("{correlation} is not on the log"))
}
