//! What waits in the two clients of a producer.

use std::sync::{Mutex, PoisonError};

use metrics::gauge;
use platform_telemetry::names::metric;

/// One of the two.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Which {
    Gathering,
    Hasty,
}

/// What waits for its acknowledgement.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Waiting {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

/// What each client told last, by its number.
#[derive(Debug, Default)]
pub(crate) struct Queues(Mutex<[Waiting; 2]>);

impl Queues {
    /// One client has told what waits in it, and what waits in both is shown, since a
    /// gauge is what was set last, whoever set it.
    pub(crate) fn show(&self, which: Which, waiting: Waiting) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = note(&mut told, which, waiting);
        gauge!(metric::LOG_QUEUE_RECORDS).set(all.records as f64);
        gauge!(metric::LOG_QUEUE_BYTES).set(all.bytes as f64);
    }
}

/// Answers what waits in both.
fn note(told: &mut [Waiting; 2], which: Which, waiting: Waiting) -> Waiting {
    told[which as usize] = waiting;
    Waiting {
        records: told.iter().map(|waiting| waiting.records).sum(),
        bytes: told.iter().map(|waiting| waiting.bytes).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_client_tells_hides_nothing_of_the_other() {
        let waiting = |records, bytes| Waiting { records, bytes };
        let mut told = [Waiting::default(); 2];
        let shown = [
            note(&mut told, Which::Gathering, waiting(5, 500)),
            note(&mut told, Which::Hasty, waiting(1, 10)),
            note(&mut told, Which::Gathering, waiting(2, 200)),
            note(&mut told, Which::Hasty, waiting(0, 0)),
        ];
        let shown = shown.map(|all| (all.records, all.bytes));
        assert_eq!(shown, [(5, 500), (6, 510), (3, 210), (2, 200)]);
    }
}
