//! Parts of batches. The signature was over the whole body, which is not kept;
//! but its digest is, with every part. Where all parts are there, the body can
//! mostly be put together again: the digest says whether it is the right one,
//! and then the signature is checked over it. Else a part is proven by its own
//! digest only, and counted apart.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use domain_delivery::{DeliveryAccepted, cloud_event_id};
use domain_kernel::{CorrelationId, TenantId};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::prove::{Proof, Prover, Signed, Unproven};

/// The header the gateway puts beside those of the sender: the digest of the
/// whole body.
const HEADER: &str = "mesh-batch-sha256";
/// Bytes of bodies that wait for the other parts of their batch. The parts of
/// one were appended together, so what is far apart has mostly lost some.
const WAITING: usize = 128 * 1024 * 1024;
/// A line's number comes from the record, and would be so many line feeds.
const MOST_LINES: usize = 1_000_000;

/// What senders write around the one line of a batch.
const BEFORE_ONE: [&str; 2] = ["", "\n"];
const AFTER_ONE: [&str; 6] = ["", "\n", "\r\n", "\n\n", "\r\n\r\n", " \n"];
/// What senders write before, between and after the events of an array.
const ARRAYS: [[&str; 3]; 4] = [
    ["[", ",", "]"],
    ["[", ", ", "]"],
    ["[\n", ",\n", "\n]"],
    ["[\n  ", ",\n  ", "\n]"],
];

/// One delivery of a batch, and where it stands.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) tenant: TenantId,
    pub(crate) correlation: CorrelationId,
    pub(crate) delivery: DeliveryAccepted,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Batch {
    tenant: TenantId,
    source_id: String,
    sha256: String,
    form: Form,
}

/// How the deliveries lay in the body, as far as their ids tell.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Form {
    /// One line alone, under the batch's own id.
    Only(String),
    /// Lines, under the batch's id and their number.
    Lines(String),
    CloudEvents,
}

/// A body put together again.
struct Whole {
    body: Vec<u8>,
    /// None where the parts do not have it in their ids.
    batch_id: Option<String>,
}

/// The parts that were read so far, the oldest batch first.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    parts: HashMap<Batch, Vec<Part>>,
    order: VecDeque<Batch>,
    bytes: usize,
}

/// Whether it says of itself that it is one.
pub(crate) fn is_part(delivery: &DeliveryAccepted) -> bool {
    delivery
        .signed_headers
        .iter()
        .any(|(name, _)| name == HEADER)
}

impl Batches {
    /// Keeps a part until the others are there.
    ///
    /// # Errors
    /// When no gateway would have recorded it so, gives it back and says why.
    pub(crate) fn add(&mut self, part: Part) -> Result<(), (Box<Part>, Unproven)> {
        let batch = match batch_of(&part) {
            Ok(batch) => batch,
            Err(why) => return Err((Box::new(part), why)),
        };
        self.bytes += part.delivery.body.len();
        if !self.parts.contains_key(&batch) {
            self.order.push_back(batch.clone());
        }
        self.parts.entry(batch).or_default().push(part);
        Ok(())
    }

    /// The oldest batch, when more is waiting than should.
    pub(crate) fn overdue(&mut self) -> Option<(Batch, Vec<Part>)> {
        (self.bytes > WAITING).then(|| self.next()).flatten()
    }

    /// The oldest batch, whatever is waiting.
    pub(crate) fn next(&mut self) -> Option<(Batch, Vec<Part>)> {
        let batch = self.order.pop_front()?;
        let parts = self.parts.remove(&batch)?;
        let bytes: usize = parts.iter().map(|part| part.delivery.body.len()).sum();
        self.bytes -= bytes;
        Some((batch, parts))
    }
}

/// Proves the parts of one batch, as many as there are.
pub(crate) fn prove(
    prover: &mut Prover,
    batch: &Batch,
    parts: Vec<Part>,
) -> Vec<(Part, Result<Proof, Unproven>)> {
    let mut digests: HashMap<String, String> = HashMap::new();
    let (mut first, mut others) = (Vec::new(), Vec::new());
    for part in parts {
        // The first record of a stream is the one that readers go by.
        let delivery = &part.delivery;
        let digest = digests
            .entry(delivery.delivery_id.clone())
            .or_insert_with(|| delivery.body_sha256.clone());
        if *digest == delivery.body_sha256 {
            first.push(part);
        } else {
            others.push(part);
        }
    }
    let whole = put_together(batch, &first);
    let mut proven: Vec<(Part, Result<Proof, Unproven>)> = Vec::new();
    for part in first {
        // Mostly all of a batch have the same headers: it is checked once.
        let same = proven.last().filter(|(before, _)| {
            let (before, this) = (&before.delivery, &part.delivery);
            before.signed_headers == this.signed_headers
                && before.key_id == this.key_id
                && before.auth == this.auth
                && before.scheme == this.scheme
        });
        let proof = match same {
            Some((_, proof)) => proof.clone(),
            None => judge(prover, batch, whole.as_ref(), &part),
        };
        proven.push((part, proof));
    }
    let others = others.into_iter();
    proven.extend(others.map(|part| (part, Err(Unproven::OtherPart))));
    proven
}

fn judge(
    prover: &mut Prover,
    batch: &Batch,
    whole: Option<&Whole>,
    part: &Part,
) -> Result<Proof, Unproven> {
    let Some(whole) = whole else {
        return match batch.form {
            Form::Only(_) => Err(Unproven::NotTheWhole),
            Form::Lines(_) | Form::CloudEvents => Ok(Proof::BatchDigest),
        };
    };
    let signed = Signed {
        body: &whole.body,
        body_sha256: &batch.sha256,
        delivery_id: whole.batch_id.as_deref(),
    };
    match prover.signature(&part.tenant, &part.delivery, signed) {
        Ok(()) => Ok(Proof::Signature),
        // Of a batch the gateway keeps no URI.
        Err(Unproven::NoUri) => Ok(Proof::BatchDigest),
        Err(why) => Err(why),
    }
}

/// What the gateway records of a part, and of nothing else.
fn batch_of(part: &Part) -> Result<Batch, Unproven> {
    let delivery = &part.delivery;
    let mut digests = delivery
        .signed_headers
        .iter()
        .filter(|(name, _)| name == HEADER);
    let (Some((_, sha256)), None) = (digests.next(), digests.next()) else {
        return Err(Unproven::NoPart("it has several batch digests"));
    };
    if sha256.len() != 64
        || !sha256
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    {
        return Err(Unproven::NoPart("the batch digest is none"));
    }
    if delivery.request.is_some() || delivery.source_version.is_some() {
        return Err(Unproven::NoPart(
            "it has a URI or a source version, which are recorded of single deliveries only",
        ));
    }
    let form = match delivery.content_type.as_str() {
        "application/json" => line(delivery)?,
        "application/cloudevents+json" => {
            cloud_event(delivery)?;
            Form::CloudEvents
        }
        _ => return Err(Unproven::NoPart("no batch has its content type")),
    };
    Ok(Batch {
        tenant: part.tenant.clone(),
        source_id: delivery.source_id.clone(),
        sha256: sha256.clone(),
        form,
    })
}

fn line(delivery: &DeliveryAccepted) -> Result<Form, Unproven> {
    let body = delivery.body.as_slice();
    if body.is_empty() || body.trim_ascii() != body || body.contains(&b'\n') {
        return Err(Unproven::NoPart("its body is not one line"));
    }
    Ok(match numbered(&delivery.delivery_id) {
        Some((batch_id, _)) => Form::Lines(batch_id.to_owned()),
        None => Form::Only(delivery.delivery_id.clone()),
    })
}

/// `batch/7`, as the gateway writes it.
fn numbered(delivery_id: &str) -> Option<(&str, usize)> {
    let (batch_id, digits) = delivery_id.rsplit_once('/')?;
    let number: usize = digits.parse().ok()?;
    (number > 0 && number.to_string() == digits).then_some((batch_id, number))
}

fn cloud_event(delivery: &DeliveryAccepted) -> Result<(), Unproven> {
    #[derive(Deserialize)]
    struct Named {
        id: String,
        source: String,
    }
    let named: Named = serde_json::from_slice(&delivery.body)
        .map_err(|_| Unproven::NoPart("its body is no CloudEvent"))?;
    if cloud_event_id(&named.source, &named.id) != delivery.delivery_id {
        return Err(Unproven::NoPart("the CloudEvent in it has another id"));
    }
    Ok(())
}

/// The body whose digest was recorded, if the parts make it up.
fn put_together(batch: &Batch, parts: &[Part]) -> Option<Whole> {
    let is_it = |body: &Vec<u8>| hex::encode(Sha256::digest(body)) == batch.sha256;
    match &batch.form {
        Form::Only(batch_id) => Some(Whole {
            body: wholes_of_one(&parts.first()?.delivery.body)
                .into_iter()
                .find(is_it)?,
            batch_id: Some(batch_id.clone()),
        }),
        Form::Lines(batch_id) => {
            let lines: BTreeMap<_, _> = parts
                .iter()
                .filter_map(|part| {
                    let (_, number) = numbered(&part.delivery.delivery_id)?;
                    Some((number, part.delivery.body.as_slice()))
                })
                .collect();
            // A batch's own id may end in a number too.
            if let (1, Some((number, line))) = (lines.len(), lines.first_key_value())
                && let Some(body) = wholes_of_one(line).into_iter().find(is_it)
            {
                return Some(Whole {
                    body,
                    batch_id: Some(format!("{batch_id}/{number}")),
                });
            }
            Some(Whole {
                body: wholes_of_lines(&lines).into_iter().find(is_it)?,
                batch_id: Some(batch_id.clone()),
            })
        }
        Form::CloudEvents => Some(Whole {
            body: wholes_of_events(parts).into_iter().find(is_it)?,
            batch_id: None,
        }),
    }
}

/// The one line with what may stand around it.
fn wholes_of_one(line: &[u8]) -> Vec<Vec<u8>> {
    let mut wholes = Vec::new();
    for before in BEFORE_ONE {
        for after in AFTER_ONE {
            wholes.push([before.as_bytes(), line, after.as_bytes()].concat());
        }
    }
    wholes
}

/// The lines by their numbers, with empty ones in place of those that are
/// missing: those were not taken in.
fn wholes_of_lines(lines: &BTreeMap<usize, &[u8]>) -> Vec<Vec<u8>> {
    let Some(last) = lines.keys().last().copied().filter(|n| *n <= MOST_LINES) else {
        return Vec::new();
    };
    let mut wholes = Vec::new();
    for end in ["\n", "\r\n"] {
        let mut body = Vec::new();
        for number in 1..=last {
            body.extend_from_slice(lines.get(&number).copied().unwrap_or_default());
            if number < last {
                body.extend_from_slice(end.as_bytes());
            }
        }
        wholes.push(body.clone());
        body.extend_from_slice(end.as_bytes());
        wholes.push(body);
    }
    wholes
}

/// The events in the order in which they were appended.
fn wholes_of_events(parts: &[Part]) -> Vec<Vec<u8>> {
    let mut seen = HashSet::new();
    let mut parts: Vec<_> = parts.iter().collect();
    parts.sort_by_key(|part| (part.partition, part.offset));
    parts.retain(|part| seen.insert(&part.delivery.delivery_id));
    let mut wholes = Vec::new();
    for [open, between, close] in ARRAYS {
        let mut body = open.as_bytes().to_vec();
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                body.extend_from_slice(between.as_bytes());
            }
            body.extend_from_slice(&part.delivery.body);
        }
        body.extend_from_slice(close.as_bytes());
        wholes.push(body.clone());
        body.push(b'\n');
        wholes.push(body);
    }
    wholes
}
