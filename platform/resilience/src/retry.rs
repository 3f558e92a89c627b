use std::time::Duration;

use tokio::time::Instant;

use crate::{Backoff, RetryBudget};

/// How often and how long a call is tried.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    pub backoff: Backoff,
    /// Calls in all, the first included; at least 1.
    pub max_attempts: u32,
    /// No attempt starts, and no wait ends, after this.
    pub deadline: Option<Instant>,
}

/// Why one attempt failed, as the caller judges it.
#[derive(Debug)]
pub enum Failure<E> {
    /// Trying again may help; not before `retry_after` when the remote said so.
    Transient {
        error: E,
        retry_after: Option<Duration>,
    },
    /// Trying again cannot help.
    Final(E),
}

impl<E> Failure<E> {
    pub fn transient(error: E) -> Self {
        Self::Transient {
            error,
            retry_after: None,
        }
    }

    pub fn into_error(self) -> E {
        match self {
            Self::Transient { error, .. } | Self::Final(error) => error,
        }
    }
}

/// Calls `attempt` with the number of the attempt, counted from 1, until it
/// succeeds, fails for good, or attempts, time or budget run out.
///
/// # Errors
/// The error of the last attempt.
pub async fn retry<T, E, F>(
    settings: Retry,
    budget: Option<&RetryBudget>,
    mut attempt: impl FnMut(u32) -> F,
) -> Result<T, E>
where
    F: Future<Output = Result<T, Failure<E>>>,
{
    if let Some(budget) = budget {
        budget.deposit();
    }
    let mut number = 1;
    loop {
        let (error, retry_after) = match attempt(number).await {
            Ok(value) => return Ok(value),
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Transient { error, retry_after }) => (error, retry_after),
        };
        let wait = settings
            .backoff
            .jittered(number)
            .max(retry_after.unwrap_or_default());
        let in_time = settings
            .deadline
            .is_none_or(|deadline| Instant::now() + wait < deadline);
        let affordable = || budget.is_none_or(RetryBudget::withdraw);
        if number >= settings.max_attempts || !in_time || !affordable() {
            return Err(error);
        }
        tokio::time::sleep(wait).await;
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const RETRY: Retry = Retry {
        backoff: Backoff::new(Duration::from_micros(10), Duration::from_millis(1)),
        max_attempts: 4,
        deadline: None,
    };

    async fn failing_until(
        success: u32,
        settings: Retry,
        budget: Option<&RetryBudget>,
    ) -> (Result<u32, &'static str>, u32) {
        let calls = Cell::new(0);
        let result = retry(settings, budget, |number| {
            calls.set(calls.get() + 1);
            async move {
                if number >= success {
                    Ok(number)
                } else {
                    Err(Failure::transient("no"))
                }
            }
        })
        .await;
        (result, calls.get())
    }

    #[tokio::test]
    async fn tries_until_it_succeeds() {
        assert_eq!(failing_until(3, RETRY, None).await, (Ok(3), 3));
    }

    #[tokio::test]
    async fn attempts_run_out() {
        assert_eq!(failing_until(9, RETRY, None).await, (Err("no"), 4));
    }

    #[tokio::test]
    async fn the_budget_bounds_retries() {
        let budget = RetryBudget::new(0.0, 1);
        assert_eq!(failing_until(9, RETRY, Some(&budget)).await, (Err("no"), 2));
        assert_eq!(failing_until(9, RETRY, Some(&budget)).await, (Err("no"), 1));
    }

    #[tokio::test]
    async fn a_final_failure_is_not_tried_again() {
        let calls = Cell::new(0);
        let result: Result<(), _> = retry(RETRY, None, |_| {
            calls.set(calls.get() + 1);
            async { Err(Failure::Final("bad request")) }
        })
        .await;
        assert_eq!((result, calls.get()), (Err("bad request"), 1));
    }

    #[tokio::test]
    async fn a_wait_longer_than_the_deadline_is_not_begun() {
        let started = Instant::now();
        let settings = Retry {
            deadline: Some(started + Duration::from_secs(5)),
            ..RETRY
        };
        let result: Result<(), _> = retry(settings, None, |_| async {
            Err(Failure::Transient {
                error: "429",
                retry_after: Some(Duration::from_secs(60)),
            })
        })
        .await;
        assert_eq!(result, Err("429"));
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}
