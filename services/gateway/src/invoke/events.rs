//! Progress as server-sent events: `accepted`, `started`, and at last `result`
//! or `failed`, or `pending` when the answer takes longer than is waited.

use std::convert::Infallible;
use std::time::Duration;

use domain_kernel::{ContextId, ExecutionId};
use futures::Stream;
use platform_http::Problem;
use platform_http::axum::response::sse::{Event, KeepAlive, Sse};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::answers::Given;

const KEEP_ALIVE: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Progress {
    name: &'static str,
    data: Value,
}

impl Progress {
    pub(super) fn accepted(id: ExecutionId, status_url: &str) -> Self {
        Self {
            name: "accepted",
            data: json!({"execution_id": id, "status_url": status_url}),
        }
    }

    pub(super) fn started(attempt: u32, shown: &[ContextId]) -> Self {
        Self {
            name: "started",
            data: json!({"attempt": attempt, "shown": shown}),
        }
    }

    /// The last word, as the answer would have been.
    pub(super) fn of(given: &Given) -> Self {
        let data = serde_json::from_str(&given.body).unwrap_or_default();
        let name = match given.status {
            200 => "result",
            202 => "pending",
            _ => "failed",
        };
        Self { name, data }
    }

    pub(super) fn of_problem(problem: &Problem) -> Self {
        Self {
            name: "failed",
            data: problem.to_json(),
        }
    }
}

/// The events as they come, each with its number as its id.
pub(super) fn stream(
    receiver: mpsc::Receiver<Progress>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let events = futures::stream::unfold((receiver, 1_u32), |(mut receiver, number)| async move {
        let progress = receiver.recv().await?;
        let event = Event::default()
            .id(number.to_string())
            .event(progress.name)
            .data(progress.data.to_string());
        Some((Ok(event), (receiver, number + 1)))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}
