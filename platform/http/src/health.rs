use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use tokio::sync::watch;
use tracing::{info, warn};

/// Whether the parts of this process can do their work. Cheap to clone; all
/// clones speak of the same parts.
#[derive(Clone)]
pub struct Readiness {
    components: Arc<RwLock<BTreeMap<String, ComponentState>>>,
    ready: Arc<watch::Sender<bool>>,
}

/// One part's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum ComponentState {
    Ready,
    NotReady { reason: String },
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness")
            .field("components", &self.components())
            .finish()
    }
}

impl Readiness {
    pub fn new() -> Self {
        Self {
            components: Arc::default(),
            ready: Arc::new(watch::Sender::new(false)),
        }
    }

    /// A handle for the part `name`, which is not ready until it says so.
    pub fn component(&self, name: impl Into<String>) -> Component {
        let component = Component {
            name: name.into(),
            readiness: self.clone(),
        };
        component.readiness.set(
            &component.name,
            ComponentState::NotReady {
                reason: "starting".to_owned(),
            },
        );
        component
    }

    /// Every part and its state, by name.
    pub fn components(&self) -> BTreeMap<String, ComponentState> {
        self.components
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// True when there is at least one part and all of them are ready.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Returns once every part is ready.
    pub async fn wait_ready(&self) {
        // The sender lives in self, so waiting cannot fail.
        let _ = self.ready.subscribe().wait_for(|ready| *ready).await;
    }

    /// `/healthz`, which answers as long as the process turns, and `/readyz`,
    /// which is 503 while any part is not ready and names it.
    pub fn router(&self) -> axum::Router {
        let readiness = self.clone();
        axum::Router::new()
            .route("/healthz", get(|| async { axum::Json(HEALTHY) }))
            .route("/readyz", get(move || async move { readiness.answer() }))
    }

    /// [`Readiness::router`] and `/metrics` in Prometheus' text format.
    pub fn metrics_router(&self) -> axum::Router {
        self.router().route("/metrics", get(crate::ops::metrics))
    }

    fn answer(&self) -> Response {
        let components = self.components();
        let (status, word) = if self.is_ready() {
            (StatusCode::OK, "ready")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "not_ready")
        };
        let body = serde_json::json!({ "status": word, "components": components });
        (status, axum::Json(body)).into_response()
    }

    fn set(&self, name: &str, state: ComponentState) {
        let mut components = self
            .components
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let before = components.insert(name.to_owned(), state.clone());
        let ready = components
            .values()
            .all(|state| *state == ComponentState::Ready);
        drop(components);
        self.ready
            .send_if_modified(|current| std::mem::replace(current, ready) != ready);
        if before.as_ref() == Some(&state) {
            return;
        }
        match state {
            ComponentState::Ready => info!(component.name = name, "component is ready"),
            ComponentState::NotReady { reason } if before == Some(ComponentState::Ready) => {
                warn!(component.name = name, component.reason = %reason, "component is not ready");
            }
            ComponentState::NotReady { reason } => {
                info!(component.name = name, component.reason = %reason, "component is not ready yet");
            }
        }
    }
}

/// One part's handle on its own readiness.
#[derive(Debug, Clone)]
pub struct Component {
    name: String,
    readiness: Readiness,
}

impl Component {
    pub fn ready(&self) {
        self.readiness.set(&self.name, ComponentState::Ready);
    }

    pub fn not_ready(&self, reason: impl Into<String>) {
        self.readiness.set(
            &self.name,
            ComponentState::NotReady {
                reason: reason.into(),
            },
        );
    }

    pub fn is_ready(&self) -> bool {
        self.readiness.components().get(&self.name) == Some(&ComponentState::Ready)
    }

    /// The handle as a plain function, for crates that know nothing of HTTP.
    pub fn sink(&self) -> Arc<dyn Fn(bool) + Send + Sync> {
        let component = self.clone();
        Arc::new(move |ready| {
            if ready {
                component.ready();
            } else {
                component.not_ready("not ready");
            }
        })
    }
}

#[derive(Serialize)]
struct Healthy {
    status: &'static str,
}

const HEALTHY: Healthy = Healthy { status: "ok" };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_ready_before_it_says_so() {
        let readiness = Readiness::new();
        assert!(!readiness.is_ready());
        let one = readiness.component("one");
        let two = readiness.component("two");
        one.ready();
        assert!(!readiness.is_ready());
        two.ready();
        assert!(readiness.is_ready());
        one.not_ready("lost the broker");
        assert!(!readiness.is_ready());
        assert!(two.is_ready());
    }

    #[tokio::test]
    async fn waiting_ends_when_the_last_part_is_ready() {
        let readiness = Readiness::new();
        let part = readiness.component("part");
        let waiting = tokio::spawn({
            let readiness = readiness.clone();
            async move { readiness.wait_ready().await }
        });
        part.ready();
        waiting.await.unwrap();
    }

    #[test]
    fn the_answer_names_who_is_not_ready() {
        let readiness = Readiness::new();
        readiness.component("gateway").not_ready("no broker");
        assert_eq!(readiness.answer().status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
