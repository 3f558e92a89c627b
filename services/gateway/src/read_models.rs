//! Questions to the read models, which are in Postgres: behind a circuit, so that
//! nobody waits for a server that is away, and asked twice, because a question
//! does no harm and a connection may break. What is only asked for a sender who
//! sends again by himself is not asked twice.

use std::error::Error;
use std::time::Duration;

use platform_http::Problem;
use platform_resilience::{Backoff, Circuit, Failure, Retry, RetryBudget, retry};
use tokio::time::Instant;
use tracing::warn;

use crate::cache::BREAKER;

/// For all attempts.
const DEADLINE: Duration = Duration::from_secs(5);
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(200));
const ATTEMPTS: u32 = 2;

#[derive(Debug)]
pub(crate) struct ReadModels {
    circuit: Circuit,
    budget: RetryBudget,
}

impl ReadModels {
    pub(crate) fn new() -> Self {
        Self {
            circuit: Circuit::new("read-models-postgres", BREAKER),
            budget: RetryBudget::default(),
        }
    }

    pub(crate) const fn circuit(&self) -> &Circuit {
        &self.circuit
    }

    /// What `query` finds. `what` is looked up, in the words of the answer.
    ///
    /// # Errors
    /// 503 when it cannot be found out.
    pub(crate) async fn ask<T, E: Error, F>(
        &self,
        what: &'static str,
        mut query: impl FnMut() -> F,
    ) -> Result<T, Problem>
    where
        F: Future<Output = Result<T, E>>,
    {
        let away = || Problem::unavailable(format!("{what} cannot be looked up now"));
        let settings = Retry {
            backoff: BACKOFF,
            max_attempts: ATTEMPTS,
            deadline: Some(Instant::now() + DEADLINE),
        };
        let asked = retry(settings, Some(&self.budget), |_| {
            let asked = query();
            async { asked.await.map_err(Failure::transient) }
        });
        let asked = async {
            let answer = tokio::time::timeout(DEADLINE, asked).await;
            answer.map_err(|_| away())?.map_err(|error| {
                warn!(error = %error, cause = ?error, "{what} cannot be looked up");
                away()
            })
        };
        self.circuit.call(asked).await.map_err(|_| away())?
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io;

    use platform_resilience::CircuitState;

    use super::*;

    #[tokio::test]
    async fn what_fails_once_is_asked_again_and_what_is_away_not_at_all() {
        let models = ReadModels::new();
        let calls = Cell::new(0);
        let found = models
            .ask("things", || {
                calls.set(calls.get() + 1);
                let broken = calls.get() == 1;
                async move {
                    if broken {
                        Err(io::Error::other("the connection broke"))
                    } else {
                        Ok(7)
                    }
                }
            })
            .await;
        assert_eq!((found.unwrap(), calls.get()), (7, 2));

        let away = || {
            calls.set(calls.get() + 1);
            async { Err::<(), _>(io::Error::other("away")) }
        };
        for _ in 0..BREAKER.failures_to_open {
            let problem = models.ask("things", away).await.unwrap_err();
            assert_eq!(problem.status, 503);
        }
        assert_eq!(models.circuit().state(), CircuitState::Open);
        let before = calls.get();
        assert!(models.ask("things", away).await.is_err());
        assert_eq!(calls.get(), before, "nobody was asked");
    }
}
