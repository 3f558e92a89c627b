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
use super::record::{properties_of, written};
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
            metrics::histogram!("mesh_connector_batch_size").record(batch.len() as f64);
            send(&api, &object, batch).await;
        }
    }
}

async fn send(api: &Api, object: &str, batch: Vec<Upsert>) {
    let answer = request(api, object, &batch).await;
    match answer {
        Ok(Answer::Done(body)) => {
            for upsert in batch {
                let result = outcome(&body, &upsert);
                // Whoever asked may have given up; the effect is then resumed and read back.
                let _ = upsert.answer.send(result);
            }
        }
        // One bad input can refuse a whole batch: ask one by one which it was.
        Ok(refused) if batch.len() > 1 && !matches!(refused, Answer::TooMany(_)) => {
            for upsert in batch {
                let alone = std::slice::from_ref(&upsert);
                let result = match request(api, object, alone).await {
                    Ok(Answer::Done(body)) => outcome(&body, &upsert),
                    Ok(other) => Err(other.into_error()),
                    Err(error) => Err(error),
                };
                let _ = upsert.answer.send(result);
            }
        }
        Ok(refused) => answer_all(batch, &refused.into_error()),
        Err(error) => answer_all(batch, &error),
    }
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
    let path = format!("/crm/v3/objects/{object}/batch/upsert");
    let sent = api
        .request(Method::POST, &path)
        .json(&json!({ "inputs": inputs }));
    api.send(sent).await
}

fn answer_all(batch: Vec<Upsert>, error: &CallError) {
    for upsert in batch {
        let _ = upsert.answer.send(Err(error.clone()));
    }
}

/// What a batch's answer says of one of its inputs.
fn outcome(body: &Value, upsert: &Upsert) -> Result<Written, CallError> {
    let empty = Vec::new();
    let results = body["results"].as_array().unwrap_or(&empty);
    let is_ours = |record: &&Value| {
        record["objectWriteTraceId"] == upsert.trace_id.as_str()
            || record["properties"][&upsert.id_property] == upsert.external_id.as_str()
    };
    if let Some(record) = results.iter().find(is_ours) {
        return written(record);
    }
    let errors = body["errors"].as_array().unwrap_or(&empty);
    let refusal = errors.iter().find(|error| {
        error["context"]["objectWriteTraceId"]
            .as_array()
            .is_some_and(|ids| ids.iter().any(|id| id == upsert.trace_id.as_str()))
    });
    match refusal {
        Some(error) => Err(CallError::Refused {
            code: "rejected",
            reason: error["message"].as_str().unwrap_or("no message").to_owned(),
        }),
        // Neither done nor refused: HubSpot's answer leaves it open.
        None => Err(CallError::InDoubt {
            reason: "the batch's answer does not mention this record".to_owned(),
        }),
    }
}
