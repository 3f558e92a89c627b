//! What properties an object has.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::answer::Failure;
use crate::Store;
use crate::model::{PropertyDefinition, Refusal};

pub(super) async fn create(
    State(store): State<Store>,
    Path(object): Path<String>,
    definition: Result<Json<PropertyDefinition>, JsonRejection>,
) -> Result<(StatusCode, Json<PropertyDefinition>), Failure> {
    let definition = store.define(&object, definition?.0)?;
    Ok((StatusCode::CREATED, Json(definition)))
}

pub(super) async fn list(
    State(store): State<Store>,
    Path(object): Path<String>,
) -> Result<Json<Value>, Failure> {
    Ok(Json(json!({ "results": store.definitions(&object)? })))
}

pub(super) async fn read(
    State(store): State<Store>,
    Path((object, name)): Path<(String, String)>,
) -> Result<Json<PropertyDefinition>, Failure> {
    store
        .definitions(&object)?
        .into_iter()
        .find(|definition| definition.name == name)
        .map(Json)
        .ok_or_else(|| Refusal::NotFound { object, id: name }.into())
}
