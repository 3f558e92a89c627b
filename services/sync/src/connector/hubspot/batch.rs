//! Upserts that wait at the same time travel in one request.
//!
//! There is no waiting for company: while one request is under way, what comes
//! in meanwhile makes the next one. A line is long enough to be stopped in (by
//! SIGSTOP, say), so that whoever waits is asked right before each request
//! whether the effect is still its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain_effect::EffectRequested;
use futures::future::join_all;
use platform_http::reqwest::Method;
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::Api;
use super::answer::Answer;
use super::record::{objects_path, properties_of, written};
use crate::connector::{CallError, Ownership, Written};

/// HubSpot's limit for one batch.
const MAX_INPUTS: usize = 100;
/// Upserts in line before callers have to wait.
const QUEUE: usize = 1_000;
/// Who was asked longer ago is asked again: the process may have been stopped since.
const FRESH: Duration = Duration::from_millis(500);

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
    /// Asks the caller whether the effect is still its own; it answers if so.
    asking: mpsc::Sender<oneshot::Sender<()>>,
    answer: oneshot::Sender<Result<Written, CallError>>,
}

impl Batcher {
    /// Works until the batcher is dropped.
    pub(super) fn start(api: Arc<Api>) -> Self {
        let (queue, line) = mpsc::channel(QUEUE);
        tokio::spawn(work(api, line));
        Self { queue }
    }

    pub(super) async fn upsert(
        &self,
        effect: &EffectRequested,
        ownership: &dyn Ownership,
    ) -> Result<Written, CallError> {
        let (answer, mut answered) = oneshot::channel();
        let (asking, mut asked) = mpsc::channel::<oneshot::Sender<()>>(1);
        let upsert = Upsert {
            object: effect.object.clone(),
            id_property: effect.id_property.clone(),
            external_id: effect.external_id.clone(),
            trace_id: effect.effect_id.to_string(),
            properties: properties_of(effect)?,
            asking,
            answer,
        };
        self.queue
            .send(upsert)
            .await
            .map_err(|_| CallError::NotDone {
                reason: "the connector is being replaced".to_owned(),
                retry_after: None,
            })?;
        loop {
            tokio::select! {
                biased;
                answer = &mut answered => return answer.unwrap_or_else(|_| {
                    Err(CallError::InDoubt {
                        reason: "the connector ended before its answer came".to_owned(),
                    })
                }),
                Some(reply) = asked.recv() => {
                    if !ownership.confirm().await {
                        return Err(CallError::NotOurs);
                    }
                    // Whoever asked has ended; the answer tells.
                    let _ = reply.send(());
                }
            }
        }
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

async fn send(api: &Api, object: &str, mut waiting: Vec<Upsert>) {
    while !waiting.is_empty() {
        let (batch, later) = still_ours(waiting).await;
        waiting = later;
        send_now(api, object, batch).await;
    }
}

/// Those whose effects are their own still, and of these the ones that said so too
/// long ago.
async fn still_ours(waiting: Vec<Upsert>) -> (Vec<Upsert>, Vec<Upsert>) {
    let said = join_all(waiting.iter().map(Upsert::is_ours)).await;
    let (mut batch, mut later) = (Vec::new(), Vec::new());
    for (upsert, at) in waiting.into_iter().zip(said) {
        match at {
            // Nobody waits for it any more, or it is another process's.
            None => {}
            Some(at) if at.elapsed() <= FRESH => batch.push(upsert),
            Some(_) => later.push(upsert),
        }
    }
    (batch, later)
}

async fn send_now(api: &Api, object: &str, batch: Vec<Upsert>) {
    let answer = match &batch[..] {
        [] => return,
        [upsert] => {
            let result = alone(api, object, upsert).await;
            return give_all(batch, &result);
        }
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
        Ok(refused) => give_all(batch, &Err(refused.into_error())),
        Err(error) => give_all(batch, &Err(error)),
    }
}

async fn one_by_one(api: &Api, object: &str, batch: Vec<Upsert>) {
    for upsert in batch {
        while let Some(at) = upsert.is_ours().await {
            if at.elapsed() <= FRESH {
                let result = alone(api, object, &upsert).await;
                upsert.give(result);
                break;
            }
        }
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

fn give_all(batch: Vec<Upsert>, result: &Result<Written, CallError>) {
    for upsert in batch {
        upsert.give(result.clone());
    }
}

impl Upsert {
    /// When its caller was asked, who then confirmed that the effect is its own; none
    /// when it is not, or nobody waits any more.
    async fn is_ours(&self) -> Option<Instant> {
        let asked = Instant::now();
        let (reply, confirmed) = oneshot::channel();
        self.asking.send(reply).await.ok()?;
        confirmed.await.ok().map(|()| asked)
    }

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
