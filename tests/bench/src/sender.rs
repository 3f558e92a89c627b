//! A registered source with its policy, and what it sends.

use std::ops::Range;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use domain_kernel::{CorrelationId, EventId, Json, Metadata, Recorded, Space, TenantId, Timestamp};
use domain_registry::{
    Policy, RegistryEvent, Resource, ResourceDefined, ResourceKind, Secret, Source,
};
use hmac::{Hmac, KeyInit, Mac};
use platform_vault::Vault;
use projections_registry_view::secret_context;
use schemas::Registry;
use sha2::Sha256;

use crate::bed::Bed;
use crate::fixtures;
use crate::load::post;

pub(crate) const SOURCE: &str = "zapier";
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A rule or two, as a tenant would have them.
pub(crate) const POLICY: &str = r#"package mesh.ingest

allow if {
    input.subject != "evil"
    input.body_bytes < 100000
}

reasons contains "nothing evil" if input.subject == "evil"
"#;

/// Registers the source and the policy of its tenant.
pub(crate) async fn register(bed: &Bed) -> anyhow::Result<()> {
    let settings = &bed.settings;
    let vault = Vault::from_settings(&settings.secrets, &settings.data_dir)?;
    let sealed = vault.seal(SECRET, &secret_context(ResourceKind::Source, SOURCE, "key"))?;
    let source = Resource::Source(Source {
        space: Space::new("support"),
        scheme: "standard-webhooks".to_owned(),
        signing: None,
        secrets: vec![Secret {
            id: "key".to_owned(),
            sealed,
            valid_from: None,
            valid_until: None,
        }],
        event_type_pointer: Some("/event_type".to_owned()),
        event_type: None,
        subject_pointer: Some("/subject".to_owned()),
        text_pointers: Vec::new(),
        content_pointer: None,
        event_types: Vec::new(),
    });
    let policy = Resource::Policy(Policy {
        modules: vec![("ingest.rego".to_owned(), POLICY.to_owned())],
        data: Json::from_text("{}"),
    });
    for (id, resource) in [(SOURCE, source), ("ingest", policy)] {
        let stream = format!("{}/{id}", resource.kind().as_str());
        let event = Recorded {
            meta: Metadata {
                id: EventId::derive(&[&stream]),
                tenant: TenantId::new("acme"),
                correlation: CorrelationId::derive(&[&stream]),
                causation: None,
                stream,
                version: 1,
                at: Timestamp::from_millis(0),
                source: "/agentmesh/registry".to_owned(),
                traceparent: None,
                actor: None,
            },
            event: RegistryEvent::Defined(ResourceDefined {
                id: id.to_owned(),
                tenant: TenantId::new("acme"),
                resource,
            }),
        };
        let record = bed.encoder.encode::<Registry>(&event)?;
        bed.producer.append(record).await?;
    }
    Ok(())
}

/// The headers of a body under that id, signed now.
fn signed(
    id: String,
    content_type: &str,
    body: &str,
) -> anyhow::Result<[(&'static str, String); 4]> {
    let timestamp = platform_telemetry::now().as_millis() / 1_000;
    let key = STANDARD.decode(&SECRET["whsec_".len()..])?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).context("no key")?;
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    Ok([
        ("content-type", content_type.to_owned()),
        ("webhook-id", id),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", signature),
    ])
}

fn ready(path: &str, headers: &[(&'static str, String)], body: &str) -> Bytes {
    let headers: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    post(path, &headers, body.as_bytes())
}

pub(crate) fn delivery_id(number: usize) -> String {
    format!("msg_{number}")
}

/// Deliveries ready to be sent.
pub(crate) fn requests(numbers: Range<usize>) -> anyhow::Result<Vec<Bytes>> {
    let path = format!("/hooks/{SOURCE}");
    numbers
        .map(|n| {
            let body = fixtures::ticket(n);
            let headers = signed(delivery_id(n), "application/json", &body)?;
            Ok(ready(&path, &headers, &body))
        })
        .collect()
}

/// The same deliveries, so many in each body.
pub(crate) fn batches(numbers: Range<usize>, in_each: usize) -> anyhow::Result<Vec<Bytes>> {
    let path = format!("/hooks/{SOURCE}/batch");
    numbers
        .clone()
        .step_by(in_each)
        .map(|from| {
            let tickets: Vec<String> = (from..(from + in_each).min(numbers.end))
                .map(fixtures::ticket)
                .collect();
            let body = tickets.join("\n");
            let headers = signed(format!("batch_{from}"), "application/x-ndjson", &body)?;
            Ok(ready(&path, &headers, &body))
        })
        .collect()
}
