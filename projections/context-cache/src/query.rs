use std::time::Duration;

use domain_kernel::{ContextId, CorrelationId, Space, TenantId, Timestamp};
use platform_redis::{Batch, Redis};

use crate::apply::remaining;
use crate::place::{Place, read, read_list};
use crate::project::{context_key, history_key, link_key};
use crate::{CachedContext, Error, LISTED, Link};

/// How long something older than the cache's time is kept after it was asked for.
const ASKED_AGAIN: Duration = Duration::from_secs(60 * 60);

/// The cache, for whoever asks it. An error means: ask elsewhere.
#[derive(Debug, Clone)]
pub struct ContextCache {
    redis: Redis,
}

/// The latest contexts of a subject, as far as the cache has them.
#[derive(Debug, Clone, PartialEq)]
pub struct Recent {
    /// Oldest first. No context is missing between these and the newest.
    pub contexts: Vec<CachedContext>,
    /// Whether these are all that were asked for; else there may be older ones.
    pub enough: bool,
}

impl ContextCache {
    pub fn new(redis: Redis) -> Self {
        Self { redis }
    }

    /// Which key of the server says which context a delivery went into, for who
    /// wants to look for himself. Another does after the next rebuild.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn key_of_link(&self, correlation_id: CorrelationId) -> Result<String, Error> {
        let live = Place::Live.resolve(&self.redis).await?;
        let name = format!("{}{}", live.start, link_key(correlation_id));
        Ok(self.redis.key(&name))
    }

    /// Which context a delivery went into.
    ///
    /// # Errors
    /// When Redis does not answer or holds something else.
    pub async fn link(&self, correlation_id: CorrelationId) -> Result<Option<Link>, Error> {
        let value = read(&self.redis, link_key(correlation_id)).await?;
        Ok(value.map(|v| serde_json::from_slice(&v)).transpose()?)
    }

    /// # Errors
    /// When Redis does not answer or holds something else.
    pub async fn context(&self, context_id: ContextId) -> Result<Option<CachedContext>, Error> {
        let value = read(&self.redis, context_key(context_id)).await?;
        Ok(value.map(|v| serde_json::from_slice(&v)).transpose()?)
    }

    /// The last `limit` contexts about a subject.
    ///
    /// # Errors
    /// When Redis does not answer or holds something else.
    pub async fn recent(
        &self,
        tenant: &TenantId,
        space: &Space,
        subject: &str,
        limit: usize,
    ) -> Result<Recent, Error> {
        let limit = limit.min(LISTED as usize);
        if limit == 0 {
            return Ok(Recent {
                enough: true,
                contexts: Vec::new(),
            });
        }
        let key = history_key(tenant, space, subject);
        let values = read_list(&self.redis, key, limit).await?;
        let mut contexts = Vec::with_capacity(values.len());
        // Backwards to the first that has expired: what is returned has no gaps.
        for value in values.into_iter().rev() {
            let Some(value) = value else { break };
            contexts.push(serde_json::from_slice(&value)?);
        }
        contexts.reverse();
        Ok(Recent {
            enough: contexts.len() >= limit,
            contexts,
        })
    }

    /// Puts back what was found elsewhere.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn fill(
        &self,
        correlation_id: CorrelationId,
        link: &Link,
        context: &CachedContext,
        now: Timestamp,
    ) -> Result<(), Error> {
        let ttl = remaining(context.at, now)
            .and_then(|millis| u64::try_from(millis).ok())
            .map_or(ASKED_AGAIN, Duration::from_millis);
        let start = Place::Live.resolve(&self.redis).await?.start;
        let mut batch = Batch::new();
        batch
            .set(
                format!("{start}{}", link_key(correlation_id)),
                serde_json::to_vec(link)?,
                Some(ttl),
            )
            .set(
                format!("{start}{}", context_key(context.context_id)),
                serde_json::to_vec(context)?,
                Some(ttl),
            );
        Ok(self.redis.run(batch).await?)
    }
}
