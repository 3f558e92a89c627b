//! The keys of issuers, found by discovery and kept for a while. A key id that
//! is not known is asked for again, but not more often than the settings allow:
//! whoever sends made-up tokens must not make us a burden to the issuer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use metrics::counter;
use platform_config::Identity as Settings;
use platform_http::{ClientOptions, reqwest};
use platform_resilience::{
    Backoff, BreakerSettings, Circuit, CircuitState, Failure, Refused, Retry, retry,
};
use serde::Deserialize;
use serde_json::Value;
use tracing::{info, warn};
use url::{Host, Url};

const TIMEOUT: Duration = Duration::from_secs(5);
const LARGEST_DOCUMENT: usize = 256 << 10;
/// One issuer that is away is nobody else's trouble, so each has a circuit.
const BREAKER: BreakerSettings = BreakerSettings {
    failures_to_open: 3,
    open_for: Duration::from_secs(10),
    probes_to_close: 1,
};
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(200));
const ATTEMPTS: u32 = 2;
/// Keys that cannot be fetched anew are believed for this long all the same, so
/// that an issuer that is away for a while locks nobody out.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug)]
pub(crate) struct Jwks {
    http: reqwest::Client,
    max_age: Duration,
    refresh_pause: Duration,
    issuers: Mutex<HashMap<String, Arc<Issuer>>>,
}

#[derive(Debug)]
struct Issuer {
    circuit: Circuit,
    keys: RwLock<Option<Arc<Keys>>>,
    /// When keys were last asked for. Held while asking, so that one asks for all.
    turn: tokio::sync::Mutex<Option<Instant>>,
}

struct Keys {
    by_id: HashMap<String, DecodingKey>,
    /// The one key of a set that has no other.
    only: Option<DecodingKey>,
    fetched: Instant,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("ids", &self.by_id.keys())
            .finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("the issuer is not asked")]
    Refused(#[from] Refused),
    #[error("the issuer cannot be reached")]
    Unreachable(#[from] reqwest::Error),
    #[error("the issuer answered {0}")]
    Status(u16),
    #[error("the issuer's answer is too large")]
    TooLarge,
    #[error("the issuer's answer is not what it should be")]
    Malformed(#[from] serde_json::Error),
    #[error("discovery names another issuer")]
    OtherIssuer,
    #[error("the keys are not at an https address")]
    InClear,
}

#[derive(Debug, Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Debug, Deserialize)]
struct Set {
    keys: Vec<Value>,
}

impl Jwks {
    pub(crate) fn new(settings: &Settings) -> Result<Self, platform_http::Error> {
        Ok(Self {
            http: platform_http::client(ClientOptions::with_timeout(TIMEOUT))?,
            max_age: Duration::from_secs(settings.jwks_max_age_s),
            refresh_pause: Duration::from_millis(settings.jwks_refresh_pause_ms),
            issuers: Mutex::default(),
        })
    }

    /// The key `id` of `issuer`, or its only one where the token names none.
    pub(crate) async fn key(&self, issuer: &str, id: Option<&str>) -> Option<DecodingKey> {
        let entry = self.issuer(issuer);
        if let Some(keys) = entry.known()
            && keys.fetched.elapsed() < self.max_age
            && let Some(key) = keys.find(id)
        {
            return Some(key);
        }
        let mut asked = entry.turn.lock().await;
        // Somebody else may have asked while this one waited.
        let known = entry.known();
        if let Some(keys) = &known
            && keys.fetched.elapsed() < self.max_age
            && let Some(key) = keys.find(id)
        {
            return Some(key);
        }
        if asked.is_none_or(|last| last.elapsed() >= self.refresh_pause) {
            // Noted first: whoever is cancelled meanwhile has asked as well.
            *asked = Some(Instant::now());
            match self.ask(issuer, &entry.circuit).await {
                Ok(keys) => {
                    counter!("agentmesh_identity_jwks_fetches_total", "outcome" => "fetched")
                        .increment(1);
                    info!(issuer.url = issuer, issuer.keys = ?keys, "keys of an issuer fetched");
                    let keys = Arc::new(keys);
                    *entry.keys.write().unwrap_or_else(PoisonError::into_inner) =
                        Some(keys.clone());
                    return keys.find(id);
                }
                Err(error) => {
                    counter!("agentmesh_identity_jwks_fetches_total", "outcome" => "failed")
                        .increment(1);
                    warn!(issuer.url = issuer, error = %error, cause = ?error, "keys of an issuer not fetched");
                }
            }
        }
        known
            .filter(|keys| keys.fetched.elapsed() < STALE)
            .and_then(|keys| keys.find(id))
    }

    fn issuer(&self, url: &str) -> Arc<Issuer> {
        let mut issuers = self.issuers.lock().unwrap_or_else(PoisonError::into_inner);
        // Only registered issuers are asked for, so there are as many as those.
        let entry = issuers.entry(url.to_owned());
        entry.or_insert_with(|| Arc::new(Issuer::new(url))).clone()
    }

    /// How the circuits before the issuers stand: as the worst of them does.
    pub(crate) fn circuit(&self) -> CircuitState {
        let issuers = self.issuers.lock().unwrap_or_else(PoisonError::into_inner);
        let states: Vec<CircuitState> = issuers
            .values()
            .map(|issuer| issuer.circuit.state())
            .collect();
        [CircuitState::Open, CircuitState::HalfOpen]
            .into_iter()
            .find(|state| states.contains(state))
            .unwrap_or(CircuitState::Closed)
    }

    async fn ask(&self, issuer: &str, circuit: &Circuit) -> Result<Keys, Failed> {
        let settings = Retry {
            backoff: BACKOFF,
            max_attempts: ATTEMPTS,
            deadline: Some(tokio::time::Instant::now() + TIMEOUT),
        };
        let fetched = retry(settings, None, |_| async {
            self.fetch(issuer).await.map_err(Failed::judged)
        });
        circuit.call(fetched).await?
    }

    async fn fetch(&self, issuer: &str) -> Result<Keys, Failed> {
        let base = issuer.trim_end_matches('/');
        let found = self
            .get(&format!("{base}/.well-known/openid-configuration"))
            .await?;
        let discovery: Discovery = serde_json::from_slice(&found)?;
        if discovery.issuer != issuer {
            return Err(Failed::OtherIssuer);
        }
        if !is_trustworthy(&discovery.jwks_uri) {
            return Err(Failed::InClear);
        }
        let set: Set = serde_json::from_slice(&self.get(&discovery.jwks_uri).await?)?;
        Ok(Keys::of(set))
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, Failed> {
        let mut response = self.http.get(url).send().await?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(Failed::Status(response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > LARGEST_DOCUMENT {
                return Err(Failed::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

impl Failed {
    /// Whether asking again may help.
    fn judged(self) -> Failure<Self> {
        match self {
            Self::Unreachable(_) => Failure::transient(self),
            Self::Status(status) if status == 429 || status >= 500 => Failure::transient(self),
            _ => Failure::Final(self),
        }
    }
}

impl Issuer {
    fn new(url: &str) -> Self {
        Self {
            circuit: Circuit::new(&format!("issuer {url}"), BREAKER),
            keys: RwLock::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    fn known(&self) -> Option<Arc<Keys>> {
        self.keys
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Keys {
    /// Keys of kinds we do not know are left out; a set may well hold some.
    fn of(set: Set) -> Self {
        let mut by_id = HashMap::new();
        let mut usable = Vec::new();
        for value in set.keys {
            let Ok(jwk) = serde_json::from_value::<Jwk>(value) else {
                continue;
            };
            if jwk.common.public_key_use == Some(PublicKeyUse::Encryption) {
                continue;
            }
            let Ok(key) = DecodingKey::from_jwk(&jwk) else {
                continue;
            };
            if let Some(id) = jwk.common.key_id {
                by_id.insert(id, key.clone());
            }
            usable.push(key);
        }
        Self {
            by_id,
            only: (usable.len() == 1).then(|| usable.remove(0)),
            fetched: Instant::now(),
        }
    }

    fn find(&self, id: Option<&str>) -> Option<DecodingKey> {
        match id {
            Some(id) => self.by_id.get(id).cloned(),
            None => self.only.clone(),
        }
    }
}

fn is_trustworthy(address: &str) -> bool {
    let Ok(url) = Url::parse(address) else {
        return false;
    };
    let here = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && here)
}
