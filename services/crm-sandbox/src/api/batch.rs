//! Up to 100 records in one request. Each input is done or refused on its own;
//! with a refusal among them the answer is 207 and lists what was wrong.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::Failure;
use super::object::{property_values, shown};
use crate::Store;
use crate::model::Refusal;
use crate::store::{Mode, Write, rfc3339};

const MAX_INPUTS: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Batch {
    inputs: Vec<Input>,
    #[serde(default)]
    properties: Option<Vec<String>>,
    /// Of a batch read; elsewhere it stands with each input.
    #[serde(default)]
    id_property: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    id_property: Option<String>,
    #[serde(default)]
    object_write_trace_id: Option<String>,
    #[serde(default)]
    properties: BTreeMap<String, Value>,
}

pub(super) async fn batch(
    State(store): State<Store>,
    Path((object, operation)): Path<(String, String)>,
    batch: Result<Json<Batch>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Failure> {
    let batch = batch?.0;
    if batch.inputs.len() > MAX_INPUTS {
        return Err(Refusal::TooMany {
            inputs: batch.inputs.len(),
        }
        .into());
    }
    let started = platform_telemetry::now();
    let mut results = Vec::new();
    let mut errors = Vec::new();
    for input in batch.inputs {
        let trace_id = input.object_write_trace_id.clone();
        let done = match operation.as_str() {
            "create" => write(&store, &object, Mode::Create, input),
            "update" => write(&store, &object, Mode::Update, input),
            "upsert" => write(&store, &object, Mode::Upsert, input),
            "read" => read(
                &store,
                &object,
                input,
                batch.id_property.as_deref(),
                batch.properties.as_deref(),
            ),
            "archive" => archive(&store, &object, input),
            other => Err(Failure::InvalidInput(format!(
                "There is no batch operation {other}."
            ))),
        };
        match done {
            Ok(result) => results.extend(result),
            Err(failure) => {
                let mut error = failure.body();
                if let Some(trace_id) = trace_id {
                    error["context"]["objectWriteTraceId"] = json!([trace_id]);
                }
                errors.push((failure, error));
            }
        }
    }
    // When every input was refused for one reason, the request was.
    if let (true, 1) = (results.is_empty(), errors.len())
        && let Some((failure, _)) = errors.pop()
    {
        return Err(failure);
    }
    if operation == "archive" && errors.is_empty() {
        return Ok((StatusCode::NO_CONTENT, Json(Value::Null)));
    }
    let mut answer = json!({
        "status": "COMPLETE",
        "results": results,
        "startedAt": rfc3339(started),
        "completedAt": rfc3339(platform_telemetry::now()),
    });
    let status = match (errors.is_empty(), operation.as_str()) {
        (true, "create") => StatusCode::CREATED,
        (true, _) => StatusCode::OK,
        (false, _) => StatusCode::MULTI_STATUS,
    };
    if !errors.is_empty() {
        answer["numErrors"] = json!(errors.len());
        answer["errors"] = errors.into_iter().map(|(_, error)| error).collect();
    }
    Ok((status, Json(answer)))
}

fn write(store: &Store, object: &str, mode: Mode, input: Input) -> Result<Option<Value>, Failure> {
    let trace_id = input.object_write_trace_id;
    let write = Write {
        id: input.id,
        id_property: input.id_property,
        properties: property_values(input.properties)?,
    };
    let (record, new) = store.write(object, mode, write, platform_telemetry::now())?;
    let mut answer = shown(&record, None);
    if mode == Mode::Upsert {
        answer["new"] = json!(new);
    }
    if let Some(trace_id) = trace_id {
        answer["objectWriteTraceId"] = json!(trace_id);
    }
    Ok(Some(answer))
}

fn read(
    store: &Store,
    object: &str,
    input: Input,
    id_property: Option<&str>,
    names: Option<&[String]>,
) -> Result<Option<Value>, Failure> {
    let id = input.id.ok_or(Refusal::MissingId)?;
    let record = store.read(object, &id, id_property, false)?;
    Ok(Some(shown(&record, names)))
}

fn archive(store: &Store, object: &str, input: Input) -> Result<Option<Value>, Failure> {
    let id = input.id.ok_or(Refusal::MissingId)?;
    store.archive(
        object,
        &id,
        input.id_property.as_deref(),
        platform_telemetry::now(),
    )?;
    Ok(None)
}
