use std::sync::Arc;
use std::time::Duration;

use platform_http::Problem;
use platform_http::axum::body::Body;
use platform_http::axum::http::{HeaderName, HeaderValue, StatusCode, header};
use platform_http::axum::response::Response;
use platform_postgres::{Migration, Pool, tokio_postgres};
use platform_resilience::{Circuit, Refused};
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::cache::{BREAKER, Cache};
use crate::metrics;

const SCHEMA: &str = "gateway";
const MIGRATIONS: [Migration; 1] = [Migration {
    version: 1,
    name: "answer",
    sql: include_str!("../../migrations/V1__answer.sql"),
}];
/// How long Redis keeps an answer; Postgres keeps it for [`KEPT_DAYS`].
const IN_REDIS: Duration = Duration::from_secs(24 * 60 * 60);
const KEPT_DAYS: i32 = 8;
const PURGE_EVERY: Duration = Duration::from_secs(60 * 60);
const PAUSE: Duration = Duration::from_secs(2);
/// How long Postgres may take.
const DEADLINE: Duration = Duration::from_secs(3);

/// Takes the key, also from somebody who took it and was never heard of again.
const CLAIM: &str = "
    INSERT INTO gateway.answer AS a (key, body_sha256, leased_until)
    VALUES ($1, $2, now() + $3 * interval '1 millisecond')
    ON CONFLICT (key) DO UPDATE
        SET leased_until = excluded.leased_until
        WHERE a.status IS NULL AND a.leased_until < now()
            AND a.body_sha256 = excluded.body_sha256
    RETURNING true";
const LOOK: &str = "SELECT body_sha256, status, headers, body FROM gateway.answer WHERE key = $1";
const ANSWER: &str = "
    UPDATE gateway.answer SET status = $2, headers = $3, body = $4, answered_at = now()
    WHERE key = $1 AND status IS NULL";
const RELEASE: &str = "DELETE FROM gateway.answer WHERE key = $1 AND status IS NULL";
const PURGE: &str = "DELETE FROM gateway.answer WHERE claimed_at < now() - $1 * interval '1 day'";

const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// An answer as it is kept: enough to give it again to the byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Given {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) location: Option<String>,
    pub(crate) body: String,
}

/// What becomes of a request with a key.
#[derive(Debug)]
pub(crate) enum Claimed {
    /// It is the first, and nobody else handles it until the lease ends.
    First(Lease),
    Again(Given),
    OtherBody,
    InFlight,
}

/// The right to answer under one key.
#[derive(Debug)]
pub(crate) struct Lease {
    key: [u8; 32],
    body_sha256: [u8; 32],
}

/// What was answered.
#[derive(Debug, Clone)]
pub(crate) struct Answers {
    pool: Pool,
    cache: Cache,
    /// Filled once the table is there.
    table: Arc<OnceCell<()>>,
    /// Before Postgres: while it is away, nobody waits for the deadline.
    circuit: Circuit,
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("postgres cannot be asked")]
    Pool(#[from] platform_postgres::Error),
    #[error("postgres cannot be asked")]
    Query(#[from] tokio_postgres::Error),
    #[error("postgres did not answer in time")]
    Deadline,
    #[error("postgres is not asked")]
    Refused(#[from] Refused),
}

#[derive(Serialize, Deserialize)]
struct Cached {
    body_sha256: String,
    given: Given,
}

impl Given {
    pub(crate) fn response(&self, again: bool) -> Response {
        let mut response = Response::new(Body::from(self.body.clone()));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        if let Ok(value) = HeaderValue::from_str(&self.content_type) {
            headers.insert(header::CONTENT_TYPE, value);
        }
        if let Some(value) = self
            .location
            .as_deref()
            .and_then(|location| HeaderValue::from_str(location).ok())
        {
            headers.insert(header::LOCATION, value);
        }
        if again {
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

impl Answers {
    pub(crate) fn new(pool: Pool, cache: Cache) -> Self {
        Self {
            pool,
            cache,
            table: Arc::default(),
            circuit: Circuit::new("answers-postgres", BREAKER),
        }
    }

    pub(crate) const fn circuit(&self) -> &Circuit {
        &self.circuit
    }

    /// Sees to the table, and from time to time to what is too old.
    pub(crate) async fn run(&self, shutdown: CancellationToken) {
        let work = async {
            while let Err(error) = self.table().await {
                debug!(error = %error, "the table of answers waits for postgres");
                tokio::time::sleep(PAUSE).await;
            }
            loop {
                if let Err(error) = self.purge().await {
                    warn!(error = %error, cause = ?error, "old answers are not purged");
                }
                tokio::time::sleep(PURGE_EVERY).await;
            }
        };
        shutdown.run_until_cancelled(work).await;
    }

    /// Makes the table where it is not there yet.
    async fn table(&self) -> Result<(), Failed> {
        self.table
            .get_or_try_init(|| async {
                platform_postgres::migrate(&self.pool, SCHEMA, &MIGRATIONS)
                    .await
                    .map_err(Failed::from)
            })
            .await
            .copied()
    }

    async fn purge(&self) -> Result<(), Failed> {
        let client = self.pool.get().await?;
        client.execute(PURGE, &[&f64::from(KEPT_DAYS)]).await?;
        Ok(())
    }

    /// Claims `key` for a request with this body, for `lease`.
    ///
    /// # Errors
    /// 503 when nobody can tell what was answered.
    pub(crate) async fn claim(
        &self,
        key: [u8; 32],
        body_sha256: [u8; 32],
        lease: Duration,
    ) -> Result<Claimed, Problem> {
        if let Some(value) = self.cache.get(&cache_key(&key)).await
            && let Ok(cached) = serde_json::from_slice::<Cached>(&value)
        {
            metrics::repeat("redis");
            return Ok(if cached.body_sha256 == hex::encode(body_sha256) {
                Claimed::Again(cached.given)
            } else {
                Claimed::OtherBody
            });
        }
        match self.in_time(self.ask(key, body_sha256, lease)).await {
            Ok(claimed) => Ok(claimed),
            Err(error) => {
                warn!(error = %error, cause = ?error, "answers cannot be looked up");
                metrics::idempotency_store_away("postgres");
                Err(Problem::unavailable(
                    "nobody can tell whether this was asked before; ask again",
                ))
            }
        }
    }

    async fn ask(
        &self,
        key: [u8; 32],
        body_sha256: [u8; 32],
        lease: Duration,
    ) -> Result<Claimed, Failed> {
        self.table().await?;
        let client = self.pool.get().await?;
        let (id, digest) = (key.as_slice(), body_sha256.as_slice());
        let lease_ms = lease.as_millis() as f64;
        // A lease that is given up between the two questions is asked for once more.
        for _ in 0..2 {
            let claimed = client.query_opt(CLAIM, &[&id, &digest, &lease_ms]).await?;
            if claimed.is_some() {
                return Ok(Claimed::First(Lease { key, body_sha256 }));
            }
            let Some(row) = client.query_opt(LOOK, &[&id]).await? else {
                continue;
            };
            let first: &[u8] = row.try_get(0)?;
            if first != digest {
                return Ok(Claimed::OtherBody);
            }
            let status: Option<i16> = row.try_get(1)?;
            let Some(status) = status else {
                return Ok(Claimed::InFlight);
            };
            metrics::repeat("postgres");
            let headers: String = row.try_get(2)?;
            let (content_type, location) = headers.split_once('\n').unwrap_or((&headers, ""));
            return Ok(Claimed::Again(Given {
                status: u16::try_from(status).unwrap_or(500),
                content_type: content_type.to_owned(),
                location: (!location.is_empty()).then(|| location.to_owned()),
                body: row.try_get(3)?,
            }));
        }
        Ok(Claimed::InFlight)
    }

    /// Keeps the answer. What cannot be kept now is asked for again under the
    /// same ids when the lease has ended, and so not done twice.
    pub(crate) async fn keep(&self, lease: Lease, given: &Given) {
        if let Err(error) = self.in_time(self.store(&lease, given)).await {
            warn!(error = %error, cause = ?error, "an answer is not kept");
            metrics::idempotency_store_away("postgres");
            return;
        }
        let cached = Cached {
            body_sha256: hex::encode(lease.body_sha256),
            given: given.clone(),
        };
        if let Ok(value) = serde_json::to_vec(&cached) {
            let key = cache_key(&lease.key);
            self.cache.set(&key, value, IN_REDIS).await;
        }
    }

    async fn store(&self, lease: &Lease, given: &Given) -> Result<(), Failed> {
        let client = self.pool.get().await?;
        let status = i16::try_from(given.status).unwrap_or(500);
        let location = given.location.as_deref().unwrap_or_default();
        let headers = format!("{}\n{location}", given.content_type);
        client
            .execute(
                ANSWER,
                &[&lease.key.as_slice(), &status, &headers, &given.body],
            )
            .await?;
        Ok(())
    }

    /// Asks Postgres, unless it was away a moment ago.
    async fn in_time<T>(
        &self,
        asked: impl Future<Output = Result<T, Failed>>,
    ) -> Result<T, Failed> {
        let in_time = async {
            let answer = tokio::time::timeout(DEADLINE, asked).await;
            answer.unwrap_or(Err(Failed::Deadline))
        };
        self.circuit.call(in_time).await?
    }

    /// As if the request had never come: nothing was done.
    pub(crate) async fn release(&self, lease: Lease) {
        let released = async {
            let client = self.pool.get().await?;
            client.execute(RELEASE, &[&lease.key.as_slice()]).await?;
            Ok::<_, Failed>(())
        };
        if let Err(error) = self.in_time(released).await {
            // It ends by itself.
            debug!(error = %error, "a lease is not released");
        }
    }
}

fn cache_key(key: &[u8; 32]) -> String {
    format!("answer:{}", hex::encode(key))
}
