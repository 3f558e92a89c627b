//! How much who may send. An address is asked before anything is read of a
//! request, whatever it is for; source, tenant and key once it is known whose
//! request it is, so that nobody can use up the budget of another by forging.

mod admission;
mod arrivals;
mod shared;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use domain_kernel::{Actor, TenantId};

use platform_config::RateLimits as Settings;
use platform_http::axum::extract::{Request, State};
use platform_http::axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use platform_http::axum::middleware::Next;
use platform_http::axum::response::{IntoResponse as _, Response};
use platform_http::{ClientAddress, Problem};
use platform_redis::Redis;
use platform_resilience::{Circuit, Limiter, Quota, Standing, quota};

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

/// Buckets of a policy that this process remembers at least.
const KEYS: usize = 65_536;

/// The limits of one gateway.
#[derive(Debug)]
pub(crate) struct RateLimits {
    source: Option<Limiter<Whose>>,
    /// Of sources that have their own, which may be none.
    sources: HashMap<String, Option<Limiter<Whose>>>,
    tenant: Option<Limiter<Whose>>,
    key: Option<Limiter<Whose>>,
    address: Option<Limiter<Whose>>,
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
                quota.burst_size(),
                seconds(quota.burst_size_replenished_in())
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
        let limiter = |per_second, burst, keys| {
            quota(per_second, burst).map(|quota| Limiter::new(quota, keys))
        };
        Self {
            source: limiter(settings.source_per_s, settings.source_burst, KEYS),
            // Each has one bucket, its source's.
            sources: settings
                .sources
                .iter()
                .map(|(source, rate, burst)| (source.clone(), limiter(*rate, *burst, 1)))
                .collect(),
            tenant: limiter(settings.tenant_per_s, settings.tenant_burst, KEYS),
            key: limiter(settings.key_per_s, settings.key_burst, KEYS),
            address: limiter(settings.address_per_s, settings.address_burst, KEYS),
            shared: settings.shared.then(|| Shared::new(redis)),
        }
    }

    /// Asks for a request from `address`, of which nothing is believed yet.
    fn address(&self, address: IpAddr, told: &mut Told) -> Result<(), Problem> {
        let Some(limiter) = &self.address else {
            return Ok(());
        };
        // Never shared: strangers would fill Redis with their addresses.
        let whose = Whose::Address(platform_http::network(address));
        let standing = limiter.take(&whose);
        settle(&whose, limiter.quota(), standing, told)
    }

    /// Asks for a delivery of a source that has proved to be its own.
    pub(crate) async fn authenticated(
        &self,
        source: &KnownSource,
        key_id: &str,
        told: &mut Told,
    ) -> Result<(), Problem> {
        let of_source = self.sources.get(&source.id).unwrap_or(&self.source);
        let tenant = || Whose::Tenant(source.tenant.as_str().to_owned());
        let key = || Whose::Key(source.id.clone(), key_id.to_owned());
        let whose = || Whose::Source(source.id.clone());
        self.charge(of_source, whose, told).await?;
        self.charge(&self.tenant, tenant, told).await?;
        self.charge(&self.key, key, told).await
    }

    /// Asks for a question of `caller`, who is known unless nobody need show a
    /// credential, about an agent of `tenant`.
    pub(crate) async fn caller(
        &self,
        tenant: &TenantId,
        caller: Option<Actor>,
        told: &mut Told,
    ) -> Result<(), Problem> {
        let tenant = || Whose::Tenant(tenant.as_str().to_owned());
        self.charge(&self.tenant, tenant, told).await?;
        if let Some(caller) = caller {
            let caller = || Whose::Caller(caller.as_str().to_owned());
            self.charge(&self.key, caller, told).await?;
        }
        Ok(())
    }

    /// `whose` is made only where there is a limit.
    async fn charge(
        &self,
        limiter: &Option<Limiter<Whose>>,
        whose: impl FnOnce() -> Whose,
        told: &mut Told,
    ) -> Result<(), Problem> {
        let Some(limiter) = limiter else {
            return Ok(());
        };
        let whose = whose();
        let standing = self.take(&whose, limiter).await;
        settle(&whose, limiter.quota(), standing, told)
    }

    async fn take(&self, whose: &Whose, limiter: &Limiter<Whose>) -> Standing {
        if let Some(shared) = &self.shared {
            let key = match whose {
                Whose::Address(address) => address.to_string(),
                Whose::Tenant(id) | Whose::Source(id) => id.clone(),
                Whose::Key(source, key) => format!("{source}:{key}"),
                // No source has this form of name.
                Whose::Caller(actor) => format!("/{actor}"),
            };
            let key = format!("rate:{}:{key}", whose.policy());
            if let Some(standing) = shared.take(key, limiter.quota()).await {
                return standing;
            }
            metrics::rate_limit_degraded();
        }
        limiter.take(whose)
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
                    quota(10.0, 20).unwrap(),
                    Standing {
                        admitted: true,
                        remaining: 19,
                        reset: Duration::from_millis(100),
                    },
                ),
                (
                    "tenant",
                    quota(1.0, 60).unwrap(),
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
