//! The circuit breaker as a state machine over the times it is given.

use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Failures in a row that open the circuit.
    pub failures_to_open: u32,
    /// How long it stays open before a probe is let through.
    pub open_for: Duration,
    /// Successful probes in a row that close it again.
    pub probes_to_close: u32,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            failures_to_open: 5,
            open_for: Duration::from_secs(10),
            probes_to_close: 1,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CircuitState {
    /// Calls pass.
    Closed,
    /// Calls fail at once.
    Open,
    /// One probe at a time passes.
    HalfOpen,
}

impl CircuitState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    Admitted {
        /// Tells calls admitted before a change of state from those after it.
        epoch: u64,
    },
    Refused {
        /// When it makes sense to ask again.
        retry_after: Duration,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Success,
    /// The remote system failed: refused, timed out, answered 5xx. An answer
    /// that the caller does not like is not a failure of the remote system.
    Failure,
    /// The caller gave up for reasons of its own; says nothing of the remote system.
    Abandoned,
}

#[derive(Debug)]
pub struct CircuitBreaker {
    settings: BreakerSettings,
    state: State,
    epoch: u64,
}

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen { successes: u32, probing: bool },
}

impl CircuitBreaker {
    pub const fn new(settings: BreakerSettings) -> Self {
        Self {
            settings,
            state: State::Closed { failures: 0 },
            epoch: 0,
        }
    }

    pub const fn state(&self) -> CircuitState {
        match self.state {
            State::Closed { .. } => CircuitState::Closed,
            State::Open { .. } => CircuitState::Open,
            State::HalfOpen { .. } => CircuitState::HalfOpen,
        }
    }

    /// Whether a call may be made now. Every admitted call must be followed by
    /// [`record`](Self::record) with the epoch it was given.
    pub fn admit(&mut self, now: Instant) -> Admission {
        if let State::Open { until } = self.state {
            if now < until {
                return Admission::Refused {
                    retry_after: until - now,
                };
            }
            self.enter(State::HalfOpen {
                successes: 0,
                probing: false,
            });
        }
        if let State::HalfOpen { probing, .. } = &mut self.state {
            if *probing {
                return Admission::Refused {
                    retry_after: self.settings.open_for,
                };
            }
            *probing = true;
        }
        Admission::Admitted { epoch: self.epoch }
    }

    /// What came of an admitted call. Answers from before the last change of
    /// state are ignored: they speak of a time that is over.
    pub fn record(&mut self, now: Instant, epoch: u64, outcome: Outcome) {
        if epoch != self.epoch {
            return;
        }
        match (&mut self.state, outcome) {
            (State::Closed { failures }, Outcome::Success) => *failures = 0,
            (State::Closed { failures }, Outcome::Failure) => {
                *failures += 1;
                if *failures >= self.settings.failures_to_open {
                    self.open(now);
                }
            }
            (State::HalfOpen { successes, probing }, Outcome::Success) => {
                *probing = false;
                *successes += 1;
                if *successes >= self.settings.probes_to_close {
                    self.enter(State::Closed { failures: 0 });
                }
            }
            (State::HalfOpen { .. }, Outcome::Failure) => self.open(now),
            (State::HalfOpen { probing, .. }, Outcome::Abandoned) => *probing = false,
            (State::Open { .. }, _) | (State::Closed { .. }, Outcome::Abandoned) => {}
        }
    }

    fn open(&mut self, now: Instant) {
        self.enter(State::Open {
            until: now + self.settings.open_for,
        });
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.epoch += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: BreakerSettings = BreakerSettings {
        failures_to_open: 2,
        open_for: Duration::from_secs(10),
        probes_to_close: 1,
    };

    fn fail(breaker: &mut CircuitBreaker, now: Instant) {
        match breaker.admit(now) {
            Admission::Admitted { epoch } => breaker.record(now, epoch, Outcome::Failure),
            Admission::Refused { .. } => panic!("refused"),
        }
    }

    fn opened(now: Instant) -> CircuitBreaker {
        let mut breaker = CircuitBreaker::new(SETTINGS);
        fail(&mut breaker, now);
        fail(&mut breaker, now);
        breaker
    }

    #[test]
    fn opens_after_failures_in_a_row() {
        let now = Instant::now();
        let mut breaker = CircuitBreaker::new(SETTINGS);
        fail(&mut breaker, now);
        if let Admission::Admitted { epoch } = breaker.admit(now) {
            breaker.record(now, epoch, Outcome::Success);
        }
        fail(&mut breaker, now);
        assert_eq!(breaker.state(), CircuitState::Closed);
        fail(&mut breaker, now);
        assert_eq!(breaker.state(), CircuitState::Open);
        let wait = Duration::from_secs(4);
        assert_eq!(
            breaker.admit(now + wait),
            Admission::Refused {
                retry_after: SETTINGS.open_for - wait
            }
        );
    }

    #[test]
    fn one_probe_at_a_time_and_a_success_closes() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + SETTINGS.open_for;
        let Admission::Admitted { epoch } = breaker.admit(later) else {
            panic!("the probe was refused");
        };
        assert!(matches!(breaker.admit(later), Admission::Refused { .. }));
        breaker.record(later, epoch, Outcome::Success);
        assert_eq!(breaker.state(), CircuitState::Closed);
    }

    #[test]
    fn a_failed_probe_opens_again() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + SETTINGS.open_for;
        fail(&mut breaker, later);
        assert_eq!(breaker.state(), CircuitState::Open);
        assert!(matches!(breaker.admit(later), Admission::Refused { .. }));
    }

    #[test]
    fn an_abandoned_probe_lets_the_next_one_through() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + SETTINGS.open_for;
        if let Admission::Admitted { epoch } = breaker.admit(later) {
            breaker.record(later, epoch, Outcome::Abandoned);
        }
        assert!(matches!(breaker.admit(later), Admission::Admitted { .. }));
    }

    #[test]
    fn late_answers_do_not_close_an_open_circuit() {
        let now = Instant::now();
        let mut breaker = CircuitBreaker::new(SETTINGS);
        let Admission::Admitted { epoch } = breaker.admit(now) else {
            panic!("refused");
        };
        fail(&mut breaker, now);
        fail(&mut breaker, now);
        breaker.record(now, epoch, Outcome::Success);
        assert_eq!(breaker.state(), CircuitState::Open);
    }
}
