//! Errors in HubSpot's form: `status`, `message`, `category`, `correlationId`.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::model::Refusal;

#[derive(Debug)]
pub(super) enum Failure {
    Unauthenticated,
    InvalidJson(String),
    InvalidInput(String),
    Refused(Refusal),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<JsonRejection> for Failure {
    fn from(rejection: JsonRejection) -> Self {
        Self::InvalidJson(rejection.body_text())
    }
}

impl Failure {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::InvalidJson(_) | Self::InvalidInput(_) => StatusCode::BAD_REQUEST,
            Self::Refused(refusal) => match refusal {
                Refusal::NotFound { .. } | Refusal::InvalidObject { .. } => StatusCode::NOT_FOUND,
                Refusal::Duplicate { .. } | Refusal::PropertyExists { .. } => StatusCode::CONFLICT,
                Refusal::UnknownProperty { .. }
                | Refusal::NotUnique { .. }
                | Refusal::MissingId
                | Refusal::TooMany { .. } => StatusCode::BAD_REQUEST,
                Refusal::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            },
        }
    }

    pub(super) fn body(&self) -> Value {
        let (category, message, context) = match self {
            Self::Unauthenticated => (
                "INVALID_AUTHENTICATION",
                "Authentication credentials not found or not valid.".to_owned(),
                json!({}),
            ),
            Self::InvalidJson(reason) => (
                "VALIDATION_ERROR",
                format!("Invalid input JSON: {reason}"),
                json!({}),
            ),
            Self::InvalidInput(reason) => ("VALIDATION_ERROR", reason.clone(), json!({})),
            Self::Refused(refusal) => explain(refusal),
        };
        json!({
            "status": "error",
            "message": message,
            "category": category,
            "context": context,
            "correlationId": "00000000-0000-0000-0000-000000000000",
        })
    }
}

fn explain(refusal: &Refusal) -> (&'static str, String, Value) {
    match refusal {
        Refusal::NotFound { object, id } => (
            "OBJECT_NOT_FOUND",
            format!("No record of {object} has the id {id}."),
            json!({ "id": [id] }),
        ),
        Refusal::InvalidObject { object } => (
            "OBJECT_NOT_FOUND",
            format!("There is no object type {object}."),
            json!({ "objectType": [object] }),
        ),
        Refusal::UnknownProperty { name } => (
            "VALIDATION_ERROR",
            format!("Property \"{name}\" does not exist."),
            json!({ "propertyName": [name] }),
        ),
        Refusal::NotUnique { name } => (
            "VALIDATION_ERROR",
            format!("Property \"{name}\" is not unique and cannot identify a record."),
            json!({ "propertyName": [name] }),
        ),
        Refusal::Duplicate {
            property,
            value,
            existing,
        } => (
            "CONFLICT",
            format!("A record with {property} {value} already exists. Existing ID: {existing}"),
            json!({ "propertyName": [property], "existingId": [existing] }),
        ),
        Refusal::PropertyExists { name } => (
            "OBJECT_ALREADY_EXISTS",
            format!("A property named {name} already exists."),
            json!({ "propertyName": [name] }),
        ),
        Refusal::MissingId => (
            "VALIDATION_ERROR",
            "An id is required to say which record is meant.".to_owned(),
            json!({}),
        ),
        Refusal::TooMany { inputs } => (
            "VALIDATION_ERROR",
            format!("A batch has at most 100 inputs, this one has {inputs}."),
            json!({}),
        ),
        Refusal::Unavailable => (
            "SERVICE_UNAVAILABLE",
            "The change could not be stored.".to_owned(),
            json!({}),
        ),
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status(), Json(self.body())).into_response()
    }
}
