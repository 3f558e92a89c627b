//! What a delivery costs the processor alone: C of the limit, and the parts of
//! which S1 asks whether two cores do twice as much.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use domain_delivery::DeliveryEvent;
use domain_kernel::{Codec as _, Recorded};
use domain_policy::PolicyEvent;
use hmac::{Hmac, KeyInit as _, Mac as _};
use platform_log::Encoder;
use platform_rego::{Bundle, Engine};
use schemas::{Decisions, Deliveries, WriterSchema, catalogue};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::bed::Bed;
use crate::fixtures;
use crate::harness::rate;
use crate::sender::{POLICY, SECRET};

const PATH: &str = "mesh/ingest";
const DELIVERIES: usize = 500;

/// A part of the work of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// From the body and its signature to the encoded records.
    Ingest,
    /// A verdict, its input included.
    Policy,
    /// From the bytes of a record to the event.
    Decode,
}

/// Everything a delivery needs but sockets and servers.
pub(crate) struct Pipeline {
    encoder: Encoder,
    mac: Hmac<Sha256>,
    bundle: Bundle,
    /// What is signed before the body, the signature, the body.
    deliveries: Vec<(String, Vec<u8>, String)>,
    /// What becomes of each, but for the input that policy is asked with.
    events: Vec<(Recorded<PolicyEvent>, Recorded<DeliveryEvent>)>,
    data: Vec<Vec<u8>>,
    writer: WriterSchema,
}

impl Pipeline {
    pub(crate) fn new(bed: &Bed) -> anyhow::Result<Self> {
        Self::with(bed.encoder.clone())
    }

    pub(crate) fn with(encoder: Encoder) -> anyhow::Result<Self> {
        let key = STANDARD.decode(&SECRET["whsec_".len()..])?;
        let mac = Hmac::<Sha256>::new_from_slice(&key).context("no key")?;
        let deliveries = (0..DELIVERIES)
            .map(|n| {
                let signed = format!("msg_{n}.1790000000.");
                let body = fixtures::ticket(n);
                let signature = mac
                    .clone()
                    .chain_update(signed.as_bytes())
                    .chain_update(body.as_bytes())
                    .finalize()
                    .into_bytes()
                    .to_vec();
                (signed, signature, body)
            })
            .collect();
        let text = catalogue()
            .iter()
            .rev()
            .find(|entry| entry.name == "DeliveryAccepted")
            .context("no such schema")?
            .text;
        let data = (0..DELIVERIES)
            .map(|n| Deliveries::encode(&fixtures::delivery(n).event))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            encoder,
            mac,
            bundle: Bundle::new(
                vec![("ingest.rego".to_owned(), POLICY.to_owned())],
                json!({}),
            )?,
            deliveries,
            events: (0..DELIVERIES)
                .map(|n| (fixtures::decision(n), fixtures::delivery(n)))
                .collect(),
            data,
            writer: Deliveries::parse_schema("DeliveryAccepted", text)?,
        })
    }

    fn run(&self, part: Part, n: usize) -> anyhow::Result<()> {
        let n = n % DELIVERIES;
        match part {
            Part::Ingest => self.ingest(n),
            Part::Policy => {
                let body = serde_json::from_str(&self.deliveries[n].2)?;
                self.decide(body, n).map(drop)
            }
            Part::Decode => {
                let event = Deliveries::decode("DeliveryAccepted", &self.writer, &self.data[n])?;
                let DeliveryEvent::Accepted(event) = event else {
                    bail!("another event");
                };
                ensure!(event.delivery_id.ends_with(&n.to_string()), "another event");
                Ok(())
            }
        }
    }

    /// The stages of the gateway in their order, without its answers.
    fn ingest(&self, n: usize) -> anyhow::Result<()> {
        let (signed, signature, body) = &self.deliveries[n];
        // Of the body alone too: it goes into the event, and tells bodies apart.
        let body_sha256 = hex::encode(Sha256::digest(body));
        let mut mac = self.mac.clone();
        mac.update(signed.as_bytes());
        mac.update(body.as_bytes());
        ensure!(
            mac.verify_slice(signature).is_ok(),
            "a signature of our own was refused"
        );
        ensure!(body_sha256.len() == 64, "no digest");
        let body: Value = serde_json::from_str(body)?;
        let input = self.decide(body, n)?;
        // Copied, as the gateway fills them in: what it does beyond that is its own cost.
        let (mut decision, delivery) = self.events[n].clone();
        let PolicyEvent::Decided(event) = &mut decision.event;
        event.input = domain_kernel::Json::from_text(input);
        self.encoder.encode::<Decisions>(&decision)?;
        self.encoder.encode::<Deliveries>(&delivery)?;
        Ok(())
    }

    /// The input's text.
    fn decide(&self, body: Value, n: usize) -> anyhow::Result<String> {
        let input = json!({
            "tenant": "acme",
            "space": "support",
            "source": "zapier",
            "scheme": "standard-webhooks",
            "auth": "hmac-sha256",
            "event_type": "support.ticket.created",
            "subject": format!("customer-{n}@example.com"),
            "body_bytes": 500,
            "body": body,
        });
        let verdict = Engine::evaluate(&self.bundle, PATH, &input)?.result;
        let allow = verdict.as_ref().and_then(|verdict| verdict.get("allow"));
        ensure!(allow == Some(&Value::Bool(true)), "not allowed");
        Ok(input.to_string())
    }
}

/// C: deliveries a second on that many threads.
pub(crate) async fn events_per_second(
    pipeline: &Arc<Pipeline>,
    threads: usize,
    count: usize,
) -> anyhow::Result<f64> {
    let pipeline = pipeline.clone();
    tokio::task::spawn_blocking(move || on_threads(&pipeline, Part::Ingest, threads, count)).await?
}

/// `count` times the part on each of the threads, which begin together.
pub(crate) fn on_threads(
    pipeline: &Pipeline,
    part: Part,
    threads: usize,
    count: usize,
) -> anyhow::Result<f64> {
    let go = AtomicBool::new(false);
    let (seconds, failures): (Vec<f64>, Vec<anyhow::Error>) = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    // What is compiled once a thread is compiled before it counts.
                    for n in 0..100 {
                        pipeline.run(part, n)?;
                    }
                    while !go.load(Ordering::Acquire) {
                        std::hint::spin_loop();
                    }
                    let started = Instant::now();
                    for n in 0..count {
                        pipeline.run(part, n)?;
                    }
                    anyhow::Ok(started.elapsed().as_secs_f64())
                })
            })
            .collect();
        std::thread::sleep(std::time::Duration::from_millis(100));
        go.store(true, Ordering::Release);
        let mut seconds = Vec::new();
        let mut failures = Vec::new();
        for thread in running {
            match thread.join() {
                Ok(Ok(took)) => seconds.push(took),
                Ok(Err(error)) => failures.push(error),
                Err(_) => failures.push(anyhow::anyhow!("a thread panicked")),
            }
        }
        (seconds, failures)
    });
    if let Some(error) = failures.into_iter().next() {
        return Err(error);
    }
    let slowest = seconds.into_iter().fold(0.0, f64::max);
    Ok(rate(
        threads * count,
        std::time::Duration::from_secs_f64(slowest),
    ))
}
