//! How much who may send. An address is asked before anything is read of a
//! request, whatever it is for; source, tenant and key once it is known whose
//! request it is, so that nobody can use up the budget of another by forging.

mod admission;
mod arrivals;
mod shared;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use domain_kernel::{Actor, TenantId};

use platform_config::RateLimits as Settings;
use platform_http::axum::extract::{Request, State};
use platform_http::axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use platform_http::axum::middleware::Next;
use platform_http::axum::response::{IntoResponse as _, Response};
use platform_http::{ClientAddress, Problem};
use platform_redis::Redis;
use platform_resilience::{Buckets, Circuit, Quota, Standing};

#[cfg(test)]
pub(crate) use admission::overloaded;
pub(crate) use admission::{Admission, Admitted};
pub(crate) use arrivals::Arrivals;
use shared::Shared;

use crate::gateway::Gateway;
use crate::metrics;
use crate::sources::KnownSource;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Buckets this process remembers at least.
const KEYS: usize = 65_536;

/// The limits of one gateway.
#[derive(Debug)]
pub(crate) struct RateLimits {
    source: Option<Quota>,
    /// Of sources that have their own, which may be none.
    sources: HashMap<String, Option<Quota>>,
    tenant: Option<Quota>,
    key: Option<Quota>,
    address: Option<Quota>,
    buckets: Buckets<Whose>,
    shared: Option<Shared>,
}

/// Whose bucket it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Whose {
    Address(IpAddr),
    Tenant(String),
    Source(String),
    /// One of a source's.
    Key(String, String),
    /// Whoever asks agents, as events name them.
    Caller(String),
}

impl Whose {
    const fn policy(&self) -> &'static str {
        match self {
            Self::Address(_) => "address",
            Self::Tenant(_) => "tenant",
            Self::Source(_) => "source",
            Self::Key(..) | Self::Caller(_) => "key",
        }
    }
}

/// How a sender stands with each policy that was asked, as its answer says. It
/// goes into the extensions of the response, from where [`guard`] takes it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    policies: Vec<(&'static str, Quota, Standing)>,
}

impl Told {
    /// `RateLimit-Policy` and `RateLimit` as in the IETF's draft
    /// (httpapi-ratelimit-headers): every policy, and how it stands.
    fn headers(&self, headers: &mut HeaderMap) {
        let mut policies = String::new();
        let mut standings = String::new();
        for (name, quota, standing) in &self.policies {
            let separator = if policies.is_empty() { "" } else { ", " };
            policies.push_str(&format!(
                "{separator}\"{name}\";q={};w={}",
                quota.burst,
                seconds(quota.window())
            ));
            standings.push_str(&format!(
                "{separator}\"{name}\";r={};t={}",
                standing.remaining,
                seconds(standing.reset)
            ));
        }
        for (name, value) in [(POLICY, policies), (LIMIT, standings)] {
            if let (false, Ok(value)) = (value.is_empty(), HeaderValue::try_from(value)) {
                headers.insert(name, value);
            }
        }
    }
}

fn seconds(duration: std::time::Duration) -> u64 {
    (duration.as_secs_f64().ceil() as u64).max(1)
}

/// Stops an address that sent too much before anything is read of its request,
/// and says in every answer how its sender stands.
pub(crate) async fn guard(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
    next: Next,
) -> Response {
    let mut told = Told::default();
    let charged = match request.extensions().get() {
        Some(ClientAddress(address)) => gateway.rate_limits.address(*address, &mut told),
        None => Ok(()),
    };
    let mut response = match charged {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    if let Some(more) = response.extensions_mut().remove::<Told>() {
        told.policies.extend(more.policies);
    }
    told.headers(response.headers_mut());
    response
}

impl RateLimits {
    pub(crate) fn new(settings: &Settings, redis: Redis) -> Self {
        Self {
            source: Quota::new(settings.source_per_s, settings.source_burst),
            sources: settings
                .sources
                .iter()
                .map(|(source, rate, burst)| (source.clone(), Quota::new(*rate, *burst)))
                .collect(),
            tenant: Quota::new(settings.tenant_per_s, settings.tenant_burst),
            key: Quota::new(settings.key_per_s, settings.key_burst),
            address: Quota::new(settings.address_per_s, settings.address_burst),
            buckets: Buckets::new(KEYS),
            shared: settings.shared.then(|| Shared::new(redis)),
        }
    }

    /// Asks for a request from `address`, of which nothing is believed yet.
    fn address(&self, address: IpAddr, told: &mut Told) -> Result<(), Problem> {
        let Some(quota) = self.address else {
            return Ok(());
        };
        // Never shared: strangers would fill Redis with their addresses.
        let whose = Whose::Address(platform_http::network(address));
        let standing = self.buckets.take(whose.clone(), &quota, Instant::now());
        settle(&whose, quota, standing, told)
    }

    /// Asks for a delivery of a source that has proved to be its own.
    pub(crate) async fn authenticated(
        &self,
        source: &KnownSource,
        key_id: &str,
        told: &mut Told,
    ) -> Result<(), Problem> {
        let of_source = self.sources.get(&source.id).copied();
        let whose = [
            (
                of_source.unwrap_or(self.source),
                Whose::Source(source.id.clone()),
            ),
            (
                self.tenant,
                Whose::Tenant(source.tenant.as_str().to_owned()),
            ),
            (self.key, Whose::Key(source.id.clone(), key_id.to_owned())),
        ];
        self.charge(whose, told).await
    }

    /// Asks for a question of `caller`, who is known unless nobody need show a
    /// credential, about an agent of `tenant`.
    pub(crate) async fn caller(
        &self,
        tenant: &TenantId,
        caller: Option<Actor>,
        told: &mut Told,
    ) -> Result<(), Problem> {
        let tenant = (self.tenant, Whose::Tenant(tenant.as_str().to_owned()));
        let caller = caller.map(|caller| (self.key, Whose::Caller(caller.as_str().to_owned())));
        self.charge([tenant].into_iter().chain(caller), told).await
    }

    async fn charge(
        &self,
        whose: impl IntoIterator<Item = (Option<Quota>, Whose)>,
        told: &mut Told,
    ) -> Result<(), Problem> {
        for (quota, whose) in whose {
            if let Some(quota) = quota {
                let standing = self.take(&whose, &quota).await;
                settle(&whose, quota, standing, told)?;
            }
        }
        Ok(())
    }

    async fn take(&self, whose: &Whose, quota: &Quota) -> Standing {
        if let Some(shared) = &self.shared {
            let key = match whose {
                Whose::Address(address) => address.to_string(),
                Whose::Tenant(id) | Whose::Source(id) => id.clone(),
                Whose::Key(source, key) => format!("{source}:{key}"),
                // No source has this form of name.
                Whose::Caller(actor) => format!("/{actor}"),
            };
            let key = format!("rate:{}:{key}", whose.policy());
            if let Some(standing) = shared.take(key, quota).await {
                return standing;
            }
            metrics::rate_limit_degraded();
        }
        self.buckets.take(whose.clone(), quota, Instant::now())
    }

    /// The circuit before Redis, where budgets are shared.
    pub(crate) fn circuit(&self) -> Option<&Circuit> {
        self.shared.as_ref().map(Shared::circuit)
    }
}

fn settle(whose: &Whose, quota: Quota, standing: Standing, told: &mut Told) -> Result<(), Problem> {
    let policy = whose.policy();
    told.policies.push((policy, quota, standing));
    if standing.admitted {
        return Ok(());
    }
    metrics::rate_limited(policy);
    Err(rate_limited(policy, seconds(standing.reset)))
}

pub(crate) fn rate_limited(policy: &'static str, retry_after: u64) -> Problem {
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "rate-limited",
        "Too much was sent in too short a time",
    )
    .with("policy", policy)
    .retry_after_seconds(retry_after)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn headers_follow_the_draft() {
        let told = Told {
            policies: vec![
                (
                    "source",
                    Quota::new(10.0, 20).unwrap(),
                    Standing {
                        admitted: true,
                        remaining: 19,
                        reset: Duration::from_millis(100),
                    },
                ),
                (
                    "tenant",
                    Quota::new(1.0, 60).unwrap(),
                    Standing {
                        admitted: false,
                        remaining: 0,
                        reset: Duration::from_millis(1_001),
                    },
                ),
            ],
        };
        let mut headers = HeaderMap::new();
        told.headers(&mut headers);
        assert_eq!(
            headers["ratelimit-policy"],
            "\"source\";q=20;w=2, \"tenant\";q=60;w=60"
        );
        assert_eq!(
            headers["ratelimit"],
            "\"source\";r=19;t=1, \"tenant\";r=0;t=2"
        );
        let mut none = HeaderMap::new();
        Told::default().headers(&mut none);
        assert!(none.is_empty());
    }
}
