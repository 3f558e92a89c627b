use std::collections::HashMap;
use std::time::Duration;

use domain_kernel::CorrelationId;
use platform_postgres::Pool;
use projections_deliveries::Delivery;
use tracing::warn;

use super::claim::Unavailable;
use crate::metrics;

/// How long Postgres may take to tell whether it knows an id.
const DEADLINE: Duration = Duration::from_secs(1);

/// What the read model of deliveries has of each of these, in their order.
///
/// # Errors
/// When Postgres does not say in time.
pub(super) async fn accepted(
    pool: Pool,
    ids: Vec<CorrelationId>,
) -> Result<Vec<Option<Delivery>>, Unavailable> {
    let asked = projections_deliveries::accepted_among(&pool, &ids);
    match tokio::time::timeout(DEADLINE, asked).await {
        Ok(Ok(found)) => {
            let by_id: HashMap<_, _> = found
                .into_iter()
                .map(|found| (found.correlation, found))
                .collect();
            return Ok(ids.iter().map(|id| by_id.get(id).cloned()).collect());
        }
        Ok(Err(error)) => {
            warn!(error = %error, cause = ?error, "deliveries cannot be looked up");
        }
        Err(_) => warn!("deliveries were not looked up in time"),
    }
    metrics::idempotency_store_away("postgres");
    Err(Unavailable)
}
