//! What Redis keeps for a while and the gateway can do without. Behind a circuit,
//! so that nobody waits for a server that is away.

use std::time::Duration;

use platform_redis::Redis;
use platform_resilience::{BreakerSettings, Circuit};
use tracing::debug;

/// Of every store: opened by calls that failed one after another; a probe a
/// second finds out that it is back.
pub(crate) const BREAKER: BreakerSettings = BreakerSettings {
    failures_to_open: 5,
    open_for: Duration::from_secs(1),
    probes_to_close: 1,
};

#[derive(Debug, Clone)]
pub(crate) struct Cache {
    redis: Redis,
    circuit: Circuit,
}

impl Cache {
    pub(crate) fn new(redis: Redis) -> Self {
        Self {
            redis,
            circuit: Circuit::new("cache-redis", BREAKER),
        }
    }

    pub(crate) const fn circuit(&self) -> &Circuit {
        &self.circuit
    }

    /// What is kept under `key`; nothing where Redis cannot be asked.
    pub(crate) async fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.guarded(self.redis.get(key)).await.flatten()
    }

    /// Keeps `value` for `ttl`, unless Redis cannot be asked.
    pub(crate) async fn set(&self, key: &str, value: Vec<u8>, ttl: Duration) {
        self.guarded(self.redis.set(key, value, Some(ttl))).await;
    }

    async fn guarded<T>(
        &self,
        asked: impl Future<Output = Result<T, platform_redis::Error>>,
    ) -> Option<T> {
        let asked = self.circuit.call(asked).await.ok()?;
        asked
            .inspect_err(|error| debug!(error = %error, "redis cannot be asked"))
            .ok()
    }
}
