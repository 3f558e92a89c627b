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
    let error = match redis.claim_all(&names, &[IN_FLIGHT], ttl).await {
        Ok(before) if before.len() == ids.len() => {
            let before = before.into_iter().map(Option::unwrap_or_default);
            return Ok(before.collect());
        }
        Ok(_) => return Err(MarkerUnknown::MayBeSet),
        Err(error) => error,
    };
    warn!(error = %error, "deliveries are not marked");
    metrics::idempotency_store_away("redis");
    Err(MarkerUnknown::MayBeSet)
}
