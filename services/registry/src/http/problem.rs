use axum::http::StatusCode;
use domain_registry::RegistryRejection;
use platform_http::Problem;
use serde_json::{Value, json};

use crate::form::Issues;
use crate::writer::WriteError;

/// The answer to a write that did not happen.
pub(super) fn of(failed: WriteError, retiring: bool) -> Problem {
    match failed {
        WriteError::Invalid(issues) => invalid(&issues),
        WriteError::Rejected(rejection) => rejected(&rejection, retiring),
        WriteError::Overtaken => Problem::new(
            StatusCode::CONFLICT,
            "overtaken",
            "Another change came first",
        )
        .detail("read the resource again and decide anew"),
        WriteError::NotLeading => Problem::unavailable("another registry writes, or none does yet"),
        WriteError::Log => Problem::unavailable(
            "the log did not confirm the change, which may have been made: repeat it",
        ),
        WriteError::Internal => Problem::internal(),
    }
}

/// All that is wrong with a resource, each with a pointer to its field.
pub(super) fn invalid(issues: &Issues) -> Problem {
    let errors: Vec<Value> = issues
        .iter()
        .map(|issue| json!({"pointer": issue.pointer, "detail": issue.detail}))
        .collect();
    let detail = issues
        .iter()
        .map(|issue| match issue.pointer.as_str() {
            "" => format!("the body {}", issue.detail),
            pointer => format!("{pointer} {}", issue.detail),
        })
        .collect::<Vec<_>>()
        .join("; ");
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "invalid-resource",
        "The resource is not valid",
    )
    .detail(detail)
    .with("errors", errors)
}

fn rejected(rejection: &RegistryRejection, retiring: bool) -> Problem {
    let detail = rejection.to_string();
    match rejection {
        // To one who may not see it, it is not there.
        RegistryRejection::OtherTenant { id } if retiring => {
            Problem::not_found(format!("there is no {id}"))
        }
        RegistryRejection::OtherTenant { .. } => {
            Problem::new(StatusCode::CONFLICT, "id-taken", "The id is taken").detail(detail)
        }
        RegistryRejection::NotDefined { .. } if retiring => Problem::not_found(detail),
        RegistryRejection::NotDefined { .. } => precondition_failed(detail),
        RegistryRejection::Exists { version, .. }
        | RegistryRejection::OtherVersion { version, .. }
        | RegistryRejection::Retired { version, .. } => {
            precondition_failed(detail).with("version", *version)
        }
    }
}

fn precondition_failed(detail: String) -> Problem {
    Problem::new(
        StatusCode::PRECONDITION_FAILED,
        "precondition-failed",
        "The resource is not as the request expects it",
    )
    .detail(detail)
}
