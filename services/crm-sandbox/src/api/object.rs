//! Single records.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::answer::Failure;
use crate::Store;
use crate::model::{CrmRecord, Properties};
use crate::store::{Mode, Write};

#[derive(Debug, Deserialize)]
pub(super) struct Input {
    #[serde(default)]
    properties: BTreeMap<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Selection {
    /// Comma-separated names.
    properties: Option<String>,
    id_property: Option<String>,
    #[serde(deserialize_with = "boolean")]
    archived: bool,
    limit: Option<usize>,
    after: Option<u64>,
}

type Answer = Result<(StatusCode, Json<Value>), Failure>;

pub(super) async fn create(
    State(store): State<Store>,
    Path(object): Path<String>,
    input: Result<Json<Input>, JsonRejection>,
) -> Answer {
    let write = Write {
        id: None,
        id_property: None,
        properties: property_values(input?.0.properties)?,
    };
    let (record, _) = store.write(&object, Mode::Create, write, platform_telemetry::now())?;
    Ok((StatusCode::CREATED, Json(shown(&record, None))))
}

pub(super) async fn update(
    State(store): State<Store>,
    Path((object, id)): Path<(String, String)>,
    Query(selection): Query<Selection>,
    input: Result<Json<Input>, JsonRejection>,
) -> Answer {
    let write = Write {
        id: Some(id),
        id_property: selection.id_property,
        properties: property_values(input?.0.properties)?,
    };
    let (record, _) = store.write(&object, Mode::Update, write, platform_telemetry::now())?;
    Ok((StatusCode::OK, Json(shown(&record, None))))
}

pub(super) async fn read(
    State(store): State<Store>,
    Path((object, id)): Path<(String, String)>,
    Query(selection): Query<Selection>,
) -> Answer {
    let record = store.read(
        &object,
        &id,
        selection.id_property.as_deref(),
        selection.archived,
    )?;
    Ok((
        StatusCode::OK,
        Json(shown(&record, selection.names().as_deref())),
    ))
}

pub(super) async fn archive(
    State(store): State<Store>,
    Path((object, id)): Path<(String, String)>,
    Query(selection): Query<Selection>,
) -> Result<StatusCode, Failure> {
    store.archive(
        &object,
        &id,
        selection.id_property.as_deref(),
        platform_telemetry::now(),
    )?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn list(
    State(store): State<Store>,
    Path(object): Path<String>,
    Query(selection): Query<Selection>,
) -> Answer {
    let limit = selection.limit.unwrap_or(10).clamp(1, 100);
    let mut records = store.page(&object, selection.after.unwrap_or(0), limit + 1, |record| {
        record.archived == selection.archived
    })?;
    let more = records.len() > limit;
    records.truncate(limit);
    let names = selection.names();
    let results: Vec<_> = records
        .iter()
        .map(|record| shown(record, names.as_deref()))
        .collect();
    let mut answer = json!({ "results": results });
    if let Some(last) = records.last().filter(|_| more) {
        answer["paging"] = json!({ "next": { "after": last.id } });
    }
    Ok((StatusCode::OK, Json(answer)))
}

/// HubSpot takes `True` as well as `true`; its Python client sends the former.
fn boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match String::deserialize(deserializer)?
        .to_ascii_lowercase()
        .as_str()
    {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(D::Error::custom(format!("not a boolean: {other}"))),
    }
}

impl Selection {
    fn names(&self) -> Option<Vec<String>> {
        self.properties.as_ref().map(|names| {
            names
                .split(',')
                .map(|name| name.trim().to_owned())
                .collect()
        })
    }
}

/// What a caller is shown of a record: the properties it asked for, and the
/// ones HubSpot always returns.
pub(super) fn shown(record: &CrmRecord, names: Option<&[String]>) -> Value {
    let mut properties = record.properties.clone();
    if let Some(names) = names {
        let always = ["hs_object_id", "createdate", "hs_lastmodifieddate"];
        properties.retain(|name, _| always.contains(&name.as_str()) || names.contains(name));
    }
    json!({
        "id": record.id,
        "properties": properties,
        "createdAt": record.created_at,
        "updatedAt": record.updated_at,
        "archived": record.archived,
    })
}

/// Property values as HubSpot keeps them: text, or null to clear.
pub(super) fn property_values(input: BTreeMap<String, Value>) -> Result<Properties, Failure> {
    input
        .into_iter()
        .map(|(name, value)| {
            let value = match value {
                Value::Null => None,
                Value::String(text) => Some(text),
                Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
                Value::Array(_) | Value::Object(_) => {
                    return Err(Failure::InvalidInput(format!(
                        "Property \"{name}\" must be text, a number or a boolean."
                    )));
                }
            };
            Ok((name, value))
        })
        .collect()
}
