use std::time::Duration;

use domain_kernel::CorrelationId;
use platform_redis::Redis;
use tracing::warn;

use super::claim::{IN_FLIGHT, key};
use crate::metrics;

/// Why nobody knows what stands in Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MarkerUnknown {
    NotSet,
    /// The call was cut off; the server may have done it.
    MayBeSet,
}

/// Marks each delivery as in flight unless something is known of it, and tells
/// what stood there before, in their order: nothing where the marker is ours.
///
/// # Errors
/// When Redis does not say.
pub(super) async fn mark(
    redis: &Redis,
    ids: &[CorrelationId],
    ttl: Duration,
) -> Result<Vec<Vec<u8>>, MarkerUnknown> {
    let names: Vec<String> = ids.iter().map(|id| key(*id)).collect();
    let marked = async {
        let set = redis.set_nx_all(&names, &[IN_FLIGHT], ttl).await?;
        let known: Vec<String> = (names.iter().zip(&set))
            .filter(|(_, set)| !**set)
            .map(|(name, _)| name.clone())
            .collect();
        let mut known = redis.get_many(&known).await?.into_iter();
        let before = set.into_iter().map(|set| match set {
            true => Some(Vec::new()),
            // One that has just gone was not accepted, and may come again.
            false => known
                .next()
                .map(|value| value.unwrap_or_else(|| vec![IN_FLIGHT])),
        });
        Ok::<_, platform_redis::Error>(before.collect::<Option<Vec<_>>>())
    };
    let error = match marked.await {
        Ok(Some(before)) if before.len() == ids.len() => return Ok(before),
        Ok(_) => return Err(MarkerUnknown::MayBeSet),
        Err(error) => error,
    };
    warn!(error = %error, "deliveries are not marked");
    metrics::idempotency_store_away("redis");
    Err(MarkerUnknown::MayBeSet)
}
