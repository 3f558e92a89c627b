//! HubSpot CRM objects, API version 3 (`/crm/v3/objects`).
//!
//! Records are addressed by a unique property that carries our external id, so
//! a repeated write lands on the same record. Upserts that wait at the same
//! time travel together in one batch request.

mod answer;
mod batch;
mod record;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain_effect::{EffectRequested, Operation};
use futures::future::BoxFuture;
use platform_http::reqwest::{Client, Method, RequestBuilder, Url};
use platform_http::{ClientOptions, Outbound, client};
use platform_resilience::{BreakerSettings, Circuit, Permit};
use platform_vault::Zeroizing;
use serde_json::{Value, json};
use tokio::time::Instant;

use self::answer::{Answer, Reached, in_doubt_or_not_done, judge};
use self::batch::Batcher;
use self::record::{check_address, objects_path, properties_of, same_properties, written};
use crate::Error;
use crate::connector::{CallError, Connector, Ownership, Written};

pub(crate) struct HubSpot {
    api: Arc<Api>,
    batcher: Batcher,
}

/// One portal: where it is, who we are there, and how it has been doing.
pub(super) struct Api {
    http: Client,
    base_url: String,
    token: Zeroizing<String>,
    circuit: Circuit,
    /// Until when the portal asked to be left alone.
    paused_until: Mutex<Option<Instant>>,
}

/// The pause after a 429 that names none.
const RATE_LIMIT_PAUSE: Duration = Duration::from_secs(1);

impl HubSpot {
    /// # Errors
    /// When no HTTP client can be made.
    pub(crate) fn new(
        connector_id: &str,
        base_url: &str,
        token: Zeroizing<String>,
        timeout: Duration,
        outbound: Outbound,
    ) -> Result<Self, Error> {
        let base = Url::parse(base_url).map_err(|_| Error::NoAddress {
            connector: connector_id.to_owned(),
        })?;
        // A name is judged when it is looked up, by the client.
        outbound
            .check(&base)
            .map_err(|source| Error::NotPermitted {
                connector: connector_id.to_owned(),
                source,
            })?;
        let api = Arc::new(Api {
            http: client(ClientOptions {
                outbound: Some(outbound),
                ..ClientOptions::with_timeout(timeout)
            })?,
            base_url: base_url.trim_end_matches('/').to_owned(),
            token,
            circuit: Circuit::new(
                &format!("connector/{connector_id}"),
                BreakerSettings::default(),
            ),
            paused_until: Mutex::default(),
        });
        Ok(Self {
            batcher: Batcher::start(Arc::clone(&api)),
            api,
        })
    }

    async fn create(
        &self,
        effect: &EffectRequested,
        ownership: &dyn Ownership,
    ) -> Result<Written, CallError> {
        let mut properties = properties_of(effect)?;
        properties.insert(
            effect.id_property.clone(),
            Value::String(effect.external_id.clone()),
        );
        let path = objects_path(&effect.object, None);
        let sent = self
            .api
            .request(Method::POST, &path)
            .json(&json!({ "properties": properties }));
        confirmed(ownership).await?;
        match self.api.send(sent).await? {
            Answer::Done(body) => written(&body),
            // The record may be ours, from an attempt whose answer was lost.
            Answer::Conflict(reason) => match self.find_record(effect).await? {
                Some(ours) => Ok(ours),
                None => Err(CallError::Refused {
                    code: "conflict",
                    reason,
                }),
            },
            other => Err(other.into_error()),
        }
    }

    async fn update(
        &self,
        effect: &EffectRequested,
        ownership: &dyn Ownership,
    ) -> Result<Written, CallError> {
        let properties = properties_of(effect)?;
        let sent = self
            .api
            .request(Method::PATCH, &record::path(effect, &[]))
            .json(&json!({ "properties": properties }));
        confirmed(ownership).await?;
        match self.api.send(sent).await? {
            Answer::Done(body) => written(&body),
            other => Err(other.into_error()),
        }
    }

    async fn archive(
        &self,
        effect: &EffectRequested,
        ownership: &dyn Ownership,
    ) -> Result<Written, CallError> {
        let Some(record) = self.read(effect, &[]).await? else {
            return Ok(gone(effect));
        };
        let remote = written(&record)?;
        let path = objects_path(&effect.object, Some(&remote.remote_id));
        confirmed(ownership).await?;
        match self
            .api
            .send(self.api.request(Method::DELETE, &path))
            .await?
        {
            Answer::Done(_) | Answer::NotFound(_) => Ok(Written {
                remote_version: "archived".to_owned(),
                ..remote
            }),
            other => Err(other.into_error()),
        }
    }

    async fn find_record(&self, effect: &EffectRequested) -> Result<Option<Written>, CallError> {
        let properties = properties_of(effect)?;
        let names: Vec<&str> = properties.keys().map(String::as_str).collect();
        let record = self.read(effect, &names).await?;
        if effect.operation == Operation::Archive {
            return Ok(record.is_none().then(|| gone(effect)));
        }
        match record {
            Some(record) if same_properties(&record, &properties) => written(&record).map(Some),
            Some(_) | None => Ok(None),
        }
    }

    /// The record with the effect's external id; none when there is none.
    async fn read(
        &self,
        effect: &EffectRequested,
        names: &[&str],
    ) -> Result<Option<Value>, CallError> {
        let sent = self.api.request(Method::GET, &record::path(effect, names));
        match self.api.send(sent).await? {
            Answer::Done(body) => Ok(Some(body)),
            Answer::NotFound(_) => Ok(None),
            other => Err(other.into_error()),
        }
    }
}

impl Connector for HubSpot {
    fn write<'a>(
        &'a self,
        effect: &'a EffectRequested,
        ownership: &'a dyn Ownership,
    ) -> BoxFuture<'a, Result<Written, CallError>> {
        Box::pin(async move {
            check_address(effect)?;
            match effect.operation {
                Operation::Create => self.create(effect, ownership).await,
                Operation::Update => self.update(effect, ownership).await,
                Operation::Upsert => self.batcher.upsert(effect, ownership).await,
                Operation::Archive => self.archive(effect, ownership).await,
            }
        })
    }

    fn find<'a>(
        &'a self,
        effect: &'a EffectRequested,
    ) -> BoxFuture<'a, Result<Option<Written>, CallError>> {
        Box::pin(async move {
            let found = match check_address(effect) {
                Ok(()) => self.find_record(effect).await,
                Err(error) => Err(error),
            };
            match found {
                // What HubSpot refuses to look up this way, it refused to write
                // this way: nothing can be there. Writing it again tells why.
                Err(CallError::Refused { code, .. }) if code != "unauthorised" => Ok(None),
                found => found,
            }
        })
    }
}

impl Api {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.base_url))
            .bearer_auth(self.token.as_str());
        if let Some(traceparent) = platform_telemetry::current_traceparent() {
            request = request.header("traceparent", traceparent);
        }
        request
    }

    /// Leave to make a call; none while the circuit is open or a pause was asked for.
    fn admit(&self) -> Result<Permit, CallError> {
        let paused_until = *self.lock_pause();
        if let Some(left) =
            paused_until.and_then(|until| until.checked_duration_since(Instant::now()))
            && !left.is_zero()
        {
            return Err(CallError::Held {
                reason: "the portal asked for a pause".to_owned(),
                retry_after: left,
            });
        }
        self.circuit.admit().map_err(|refused| CallError::Held {
            reason: refused.to_string(),
            retry_after: refused.retry_after,
        })
    }

    /// Leaves the portal alone, for all effects: it counts calls, not effects.
    fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut paused_until = self.lock_pause();
        *paused_until = Some(paused_until.map_or(until, |known| known.max(until)));
    }

    fn lock_pause(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        // An instant is never half written, so a poisoned lock still holds a good value.
        self.paused_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends, unless calls are held back, and sorts the answer.
    async fn send(&self, request: RequestBuilder) -> Result<Answer, CallError> {
        let permit = self.admit()?;
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                permit.failure();
                return Err(in_doubt_or_not_done(&error));
            }
        };
        let answer = match judge(response).await {
            Ok(Reached::Answered(answer)) => {
                permit.success();
                if let Answer::TooMany(retry_after) = &answer {
                    self.pause(retry_after.unwrap_or(RATE_LIMIT_PAUSE));
                }
                answer
            }
            // It answered, but to say that it cannot: no better than no answer.
            Ok(Reached::Unwell(error)) => {
                permit.failure();
                if let CallError::NotDone {
                    retry_after: Some(pause),
                    ..
                } = &error
                {
                    self.pause(*pause);
                }
                return Err(error);
            }
            Err(error) => {
                permit.failure();
                return Err(in_doubt_or_not_done(&error));
            }
        };
        Ok(answer)
    }
}

async fn confirmed(ownership: &dyn Ownership) -> Result<(), CallError> {
    if ownership.confirm().await {
        Ok(())
    } else {
        Err(CallError::NotOurs)
    }
}

/// What there is to say of a record that is not there any more.
fn gone(effect: &EffectRequested) -> Written {
    Written {
        remote_id: effect.external_id.clone(),
        remote_version: "archived".to_owned(),
    }
}
