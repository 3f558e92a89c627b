use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::breaker::{Admission, BreakerSettings, CircuitBreaker, CircuitState, Outcome};

/// A circuit breaker shared by all callers of one remote system, reporting its
/// state as the gauge `agentmesh_circuit_open` (0 closed, 1 open, 0.5 half open).
#[derive(Debug, Clone)]
pub struct Circuit {
    name: Arc<str>,
    breaker: Arc<Mutex<CircuitBreaker>>,
}

/// The circuit is open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("circuit {circuit} is open; retry after {} ms", retry_after.as_millis())]
pub struct Refused {
    pub circuit: String,
    pub retry_after: Duration,
}

/// Leave to make one call. Dropped without a verdict, the call counts as abandoned.
#[derive(Debug)]
pub struct Permit {
    circuit: Circuit,
    epoch: u64,
    settled: bool,
}

impl Circuit {
    pub fn new(name: &str, settings: BreakerSettings) -> Self {
        Self {
            name: Arc::from(name),
            breaker: Arc::new(Mutex::new(CircuitBreaker::new(settings))),
        }
    }

    pub fn state(&self) -> CircuitState {
        self.lock().state()
    }

    /// # Errors
    /// [`Refused`] while the circuit is open or a probe is under way.
    pub fn admit(&self) -> Result<Permit, Refused> {
        let admission = self.change(|breaker| breaker.admit(Instant::now().into_std()));
        match admission {
            Admission::Admitted { epoch } => Ok(Permit {
                circuit: self.clone(),
                epoch,
                settled: false,
            }),
            Admission::Refused { retry_after } => {
                metrics::counter!("agentmesh_circuit_refused_total", "circuit" => self.name.to_string())
                    .increment(1);
                Err(Refused {
                    circuit: self.name.to_string(),
                    retry_after,
                })
            }
        }
    }

    /// Makes a call of which every error is a failure of the remote system. Dropped
    /// before it ends, the call counts as abandoned.
    ///
    /// # Errors
    /// [`Refused`] where it is not made, as [`Circuit::admit`] says; and within,
    /// what became of it.
    pub async fn call<T, E>(
        &self,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<Result<T, E>, Refused> {
        self.call_for(1, call).await
    }

    /// As [`Circuit::call`], of one call that is made for several callers: where
    /// it fails, it has failed for each of them, so that a circuit does not open
    /// later because its callers share a call.
    ///
    /// # Errors
    /// As those of [`Circuit::call`].
    pub async fn call_for<T, E>(
        &self,
        callers: usize,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<Result<T, E>, Refused> {
        let permit = self.admit()?;
        let answer = call.await;
        if answer.is_ok() {
            permit.success();
            return Ok(answer);
        }
        let epoch = permit.epoch;
        permit.failure();
        for _ in 1..callers {
            // Once it has opened, the epoch is another, and nothing counts any more.
            self.record(epoch, Outcome::Failure);
        }
        Ok(answer)
    }

    fn record(&self, epoch: u64, outcome: Outcome) {
        self.change(|breaker| breaker.record(Instant::now().into_std(), epoch, outcome));
    }

    fn change<T>(&self, act: impl FnOnce(&mut CircuitBreaker) -> T) -> T {
        let mut breaker = self.lock();
        let before = breaker.state();
        let answer = act(&mut breaker);
        let after = breaker.state();
        drop(breaker);
        if before != after {
            let level = match after {
                CircuitState::Closed => 0.0,
                CircuitState::HalfOpen => 0.5,
                CircuitState::Open => 1.0,
            };
            metrics::gauge!("agentmesh_circuit_open", "circuit" => self.name.to_string())
                .set(level);
            tracing::warn!(
                circuit.name = %self.name,
                circuit.from = before.as_str(),
                circuit.to = after.as_str(),
                "circuit changed"
            );
        }
        answer
    }

    fn lock(&self) -> MutexGuard<'_, CircuitBreaker> {
        // The breaker's own methods do not panic half way.
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    pub fn success(self) {
        self.settle(Outcome::Success);
    }

    pub fn failure(self) {
        self.settle(Outcome::Failure);
    }

    fn settle(mut self, outcome: Outcome) {
        self.settled = true;
        self.report(outcome);
    }

    fn report(&self, outcome: Outcome) {
        self.circuit.record(self.epoch, outcome);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.settled {
            self.report(Outcome::Abandoned);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circuit(open_for: Duration) -> Circuit {
        Circuit::new(
            "crm",
            BreakerSettings {
                failures_to_open: 1,
                open_for,
                probes_to_close: 1,
            },
        )
    }

    #[test]
    fn an_open_circuit_says_when_to_come_back() {
        let circuit = circuit(Duration::from_secs(3_600));
        circuit.admit().unwrap().failure();
        let refused = circuit.admit().unwrap_err();
        assert_eq!(refused.circuit, "crm");
        assert!(refused.retry_after <= Duration::from_secs(3_600));
    }

    #[tokio::test]
    async fn a_call_that_fails_opens_the_circuit_and_one_that_succeeds_closes_it() {
        let circuit = circuit(Duration::from_secs(3_600));
        assert_eq!(circuit.call(async { Ok::<_, ()>(1) }).await, Ok(Ok(1)));
        assert_eq!(circuit.call(async { Err::<(), _>(2) }).await, Ok(Err(2)));
        assert_eq!(circuit.state(), CircuitState::Open);
        let never = async { unreachable!("the circuit is open") };
        assert!(circuit.call::<(), ()>(never).await.is_err());
    }

    #[tokio::test]
    async fn a_call_for_several_has_failed_for_each_of_them() {
        let circuit = Circuit::new(
            "crm",
            BreakerSettings {
                failures_to_open: 3,
                open_for: Duration::from_secs(3_600),
                probes_to_close: 1,
            },
        );
        let failed = async { Err::<(), _>(()) };
        assert_eq!(circuit.call_for(2, failed).await, Ok(Err(())));
        assert_eq!(circuit.state(), CircuitState::Closed);
        let succeeded = async { Ok::<_, ()>(()) };
        assert_eq!(circuit.call_for(2, succeeded).await, Ok(Ok(())));
        assert_eq!(
            circuit.call_for(3, async { Err::<(), _>(()) }).await,
            Ok(Err(()))
        );
        assert_eq!(circuit.state(), CircuitState::Open);
    }

    #[test]
    fn a_dropped_permit_does_not_block_the_next_probe() {
        let circuit = circuit(Duration::ZERO);
        circuit.admit().unwrap().failure();
        drop(circuit.admit().unwrap());
        circuit.admit().unwrap().success();
        assert_eq!(circuit.state(), CircuitState::Closed);
    }
}
