use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use platform_http::Problem;
use platform_http::axum::http::StatusCode;

use crate::metrics;

/// Seconds after which a queue that was long is worth another look.
const RETRY: u64 = 1;

/// Turns requests away while too much is worked at already. It looks at two
/// numbers and at nothing of the request, so that under twice the load there
/// is can be, what is turned away costs little, and what is let in is done.
/// It is asked twice: before a body is read, which takes no place, so that who
/// sends slowly has none; and when the body is there, before anything is made of it.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    active: Arc<AtomicUsize>,
    max_active: usize,
    max_queued: usize,
}

/// Leave to handle one request, given back when dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    active: Arc<AtomicUsize>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.active.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Admission {
    pub(crate) fn new(max_active: usize, max_queued: usize) -> Self {
        Self {
            active: Arc::default(),
            max_active,
            max_queued,
        }
    }

    /// Whether it is worth reading a body. `queued` is how many records wait for
    /// the log.
    pub(crate) fn look(&self, queued: usize) -> Result<(), Problem> {
        if queued >= self.max_queued {
            metrics::shed("queue");
            return Err(overloaded());
        }
        if self.active() >= self.max_active {
            metrics::shed("requests");
            return Err(overloaded());
        }
        Ok(())
    }

    /// A place for one request whose body is there.
    pub(crate) fn admit(&self) -> Result<Admitted, Problem> {
        let before = self.active.fetch_add(1, Ordering::Relaxed);
        let admitted = Admitted {
            active: self.active.clone(),
        };
        if before >= self.max_active {
            metrics::shed("requests");
            return Err(overloaded());
        }
        Ok(admitted)
    }

    pub(crate) fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    pub(crate) const fn max_active(&self) -> usize {
        self.max_active
    }

    pub(crate) const fn max_queued(&self) -> usize {
        self.max_queued
    }
}

pub(crate) fn overloaded() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "overloaded",
        "More is being sent than can be taken now",
    )
    .detail("nothing was remembered; send the same again")
    .retry_after_seconds(RETRY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_turned_away_until_something_is_done() {
        let admission = Admission::new(2, 10);
        let first = admission.admit().unwrap();
        let _second = admission.admit().unwrap();
        assert_eq!(admission.admit().unwrap_err().slug, "overloaded");
        assert_eq!(admission.look(0).unwrap_err().slug, "overloaded");
        assert_eq!(admission.active(), 2);
        drop(first);
        assert!(admission.look(10).is_err(), "the log is behind");
        assert!(admission.look(9).is_ok());
        assert_eq!(admission.active(), 1, "looking takes no place");
        assert!(admission.admit().is_ok());
    }
}
