//! Readiness follows the log. An append that fails makes the gateway unready,
//! so that a balancer looks elsewhere; since no delivery may then come to show
//! that the log is back, it is asked.

use std::sync::Arc;
use std::time::Duration;

use platform_config::Kafka;
use platform_http::Component;
use platform_log::Admin;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::gateway::Gateway;

const TOPIC: &str = "mesh.deliveries";
const PAUSE: Duration = Duration::from_secs(1);

pub(crate) async fn watch(
    gateway: Arc<Gateway>,
    kafka: Kafka,
    component: Component,
    shutdown: CancellationToken,
) {
    let watching = async {
        loop {
            gateway.log_trouble.notified().await;
            component.not_ready("the log does not acknowledge");
            while let Err(error) = probe(&kafka).await {
                debug!(error = %error, "the log is still away");
                tokio::time::sleep(PAUSE).await;
            }
            component.ready();
        }
    };
    shutdown.run_until_cancelled(watching).await;
    component.not_ready("draining");
}

async fn probe(kafka: &Kafka) -> Result<(), platform_log::Error> {
    Admin::new(kafka)?.partition_count(TOPIC).await.map(drop)
}
