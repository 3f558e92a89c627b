//! Upserts that wait at the same time travel in one request.
//!
//! There is no waiting for company: while one request is under way, what comes
//! in meanwhile makes the next one.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain_effect::EffectRequested;
use platform_http::reqwest::Method;
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};

use super::Api;
use super::answer::Answer;
use super::record::{objects_path, properties_of, written};
use crate::connector::{CallError, Written};

/// HubSpot's limit for one batch.
const MAX_INPUTS: usize = 100;
/// Upserts in line before callers have to wait.
const QUEUE: usize = 1_000;

#[derive(Debug)]
pub(super) struct Batcher {
    queue: mpsc::Sender<Upsert>,
}

#[derive(Debug)]
struct Upsert {
    object: String,
    id_property: String,
    external_id: String,
    /// Tells the inputs of a batch apart in its answer.
    trace_id: String,
    properties: Map<String, Value>,
    answer: oneshot::Sender<Result<Written, CallError>>,
}

impl Batcher {
    /// Works until the batcher is dropped.
    pub(super) fn start(api: Arc<Api>) -> Self {
        let (queue, line) = mpsc::channel(QUEUE);
        tokio::spawn(work(api, line));
        Self { queue }
    }

    pub(super) async fn upsert(&self, effect: &EffectRequested) -> Result<Written, CallError> {
        let (answer, answered) = oneshot::channel();
        let upsert = Upsert {
            object: effect.object.clone(),
            id_property: effect.id_property.clone(),
            external_id: effect.external_id.clone(),
            trace_id: effect.effect_id.to_string(),
            properties: properties_of(effect)?,
            answer,
        };
        self.queue
            .send(upsert)
            .await
            .map_err(|_| CallError::NotDone {
                reason: "the connector is being replaced".to_owned(),
                retry_after: None,
            })?;
        answered.await.unwrap_or_else(|_| {
            Err(CallError::InDoubt {
                reason: "the connector ended before its answer came".to_owned(),
            })
        })
    }
}

async fn work(api: Arc<Api>, mut line: mpsc::Receiver<Upsert>) {
    let mut waiting = Vec::new();
    while line.recv_many(&mut waiting, MAX_INPUTS).await > 0 {
        let mut batches: BTreeMap<(String, String), Vec<Upsert>> = BTreeMap::new();
        for upsert in waiting.drain(..) {
            let group = (upsert.object.clone(), upsert.id_property.clone());
            batches.entry(group).or_default().push(upsert);
        }
        for ((object, _), batch) in batches {
            metrics::histogram!("agentmesh_connector_batch_records").record(batch.len() as f64);
            send(&api, &object, batch).await;
        }
    }
}

async fn send(api: &Api, object: &str, mut batch: Vec<Upsert>) {
    // Whoever does not wait any more has lost the effect to another process,
    // where a later write to the same record may have begun.
    batch.retain(|upsert| !upsert.answer.is_closed());
    let answer = match batch.len() {
        0 => return,
        1 => return one_by_one(api, object, batch).await,
        _ => request(api, object, &batch).await,
    };
    match answer {
        Ok(Answer::Done(body)) => {
            let mut open = Vec::new();
            for upsert in batch {
                match outcome(&body, &upsert) {
                    Some(result) => upsert.give(result),
                    None => open.push(upsert),
                }
            }
            one_by_one(api, object, open).await;
        }
        // One bad input can refuse a whole batch: ask one by one which it was.
        Ok(Answer::Rejected(_) | Answer::Conflict(_) | Answer::NotFound(_)) => {
            one_by_one(api, object, batch).await;
        }
        Ok(refused) => give_all(batch, &refused.into_error()),
        Err(error) => give_all(batch, &error),
    }
}

async fn one_by_one(api: &Api, object: &str, batch: Vec<Upsert>) {
    for upsert in batch {
        let result = alone(api, object, &upsert).await;
        upsert.give(result);
    }
}

async fn alone(api: &Api, object: &str, upsert: &Upsert) -> Result<Written, CallError> {
    let body = match request(api, object, std::slice::from_ref(upsert)).await? {
        Answer::Done(body) => body,
        refused => return Err(refused.into_error()),
    };
    if let Some(result) = outcome(&body, upsert) {
        return result;
    }
    Err(match body["errors"].get(0) {
        // It can be about no other.
        Some(error) => refusal(error),
        // Neither done nor refused: HubSpot's answer leaves it open.
        None => CallError::InDoubt {
            reason: "the batch's answer does not mention this record".to_owned(),
        },
    })
}

async fn request(api: &Api, object: &str, batch: &[Upsert]) -> Result<Answer, CallError> {
    let inputs: Vec<_> = batch
        .iter()
        .map(|upsert| {
            json!({
                "id": upsert.external_id,
                "idProperty": upsert.id_property,
                "objectWriteTraceId": upsert.trace_id,
                "properties": upsert.properties,
            })
        })
        .collect();
    let path = format!("{}/batch/upsert", objects_path(object, None));
    let sent = api
        .request(Method::POST, &path)
        .json(&json!({ "inputs": inputs }));
    api.send(sent).await
}

fn give_all(batch: Vec<Upsert>, error: &CallError) {
    for upsert in batch {
        upsert.give(Err(error.clone()));
    }
}

impl Upsert {
    fn give(self, result: Result<Written, CallError>) {
        // Whoever asked may have given up; the effect is then resumed and read back.
        let _ = self.answer.send(result);
    }
}

/// What a batch's answer says of one of its inputs; none when it says nothing.
fn outcome(body: &Value, upsert: &Upsert) -> Option<Result<Written, CallError>> {
    let empty = Vec::new();
    let results = body["results"].as_array().unwrap_or(&empty);
    let is_ours = |record: &&Value| {
        record["objectWriteTraceId"] == upsert.trace_id.as_str()
            || record["properties"][&upsert.id_property] == upsert.external_id.as_str()
    };
    if let Some(record) = results.iter().find(is_ours) {
        return Some(written(record));
    }
    let errors = body["errors"].as_array().unwrap_or(&empty);
    let ours = errors.iter().find(|error| {
        error["context"]["objectWriteTraceId"]
            .as_array()
            .is_some_and(|ids| ids.iter().any(|id| id == upsert.trace_id.as_str()))
    });
    ours.map(|error| Err(refusal(error)))
}

/// Why an input was not written, as an item of `errors` puts it.
fn refusal(error: &Value) -> CallError {
    let reason: String = error["message"]
        .as_str()
        .unwrap_or("no message")
        .chars()
        .take(500)
        .collect();
    let code = match error["category"].as_str() {
        Some("RATE_LIMITS") => {
            return CallError::NotDone {
                reason,
                retry_after: None,
            };
        }
        Some("CONFLICT") => "conflict",
        Some("OBJECT_NOT_FOUND") => "not-found",
        _ => "rejected",
    };
    CallError::Refused { code, reason }
}
