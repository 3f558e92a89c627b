use std::hash::Hash;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::{RateLimitingMiddleware as _, StateInformationMiddleware};
use governor::{Quota, RateLimiter};

use crate::store::BoundedStore;

/// A hundred years in seconds. No bucket takes longer to be full, because
/// governor counts nanoseconds in 64 bits.
const LONGEST: f64 = 100.0 * 365.0 * 86_400.0;

/// What fills with `per_second` tokens a second and holds `burst`. None where
/// there is no limit (`per_second` is 0 or no number). A `burst` of 0 stands
/// for what comes in a second, but at least one.
pub fn quota(per_second: f64, burst: u32) -> Option<Quota> {
    if per_second.is_nan() || per_second <= 0.0 {
        return None;
    }
    let interval = (1.0 / per_second).min(LONGEST);
    let burst = match burst {
        0 => per_second.ceil() as u32,
        burst => burst,
    };
    let burst = burst.min((LONGEST / interval) as u32);
    let quota = Quota::with_period(Duration::from_secs_f64(interval))?;
    Some(quota.allow_burst(NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN)))
}

/// What a limiter said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub admitted: bool,
    /// Whole tokens left.
    pub remaining: u32,
    /// When admitted, until the bucket is full; else until there is a token.
    pub reset: Duration,
}

/// A bucket of the same quota for each key; full when new.
#[derive(Debug)]
pub struct Limiter<K: Hash + Eq + Clone, C: Clock = MonotonicClock> {
    quota: Quota,
    limiter: RateLimiter<K, BoundedStore<K>, C, StateInformationMiddleware>,
    start: C::Instant,
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    /// Remembers the last `keys` keys at least, and twice as many at most.
    pub fn new(quota: Quota, keys: usize) -> Self {
        Self::with_clock(MonotonicClock, quota, keys)
    }
}

impl<K: Hash + Eq + Clone, C: Clock> Limiter<K, C> {
    fn with_clock(clock: C, quota: Quota, keys: usize) -> Self {
        Self {
            quota,
            start: clock.now(),
            limiter: RateLimiter::new(quota, BoundedStore::new(keys), clock),
        }
    }

    pub const fn quota(&self) -> Quota {
        self.quota
    }

    /// Takes a token from the bucket of `key` if there is one.
    pub fn take(&self, key: &K) -> Standing {
        let checked = self.limiter.check_key(key);
        let now = self.limiter.clock().now();
        match checked {
            Ok(state) => Standing {
                admitted: true,
                remaining: state.remaining_burst_capacity(),
                // A snapshot does not tell when the bucket is full. As the
                // reason of a refusal it does, that being what is waited for.
                reset: StateInformationMiddleware::disallow(key, state, self.start)
                    .wait_time_from(now),
            },
            Err(until) => Standing {
                admitted: false,
                remaining: 0,
                reset: until.wait_time_from(now),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn limiter(
        per_second: f64,
        burst: u32,
    ) -> (FakeRelativeClock, Limiter<u32, FakeRelativeClock>) {
        let clock = FakeRelativeClock::default();
        let quota = quota(per_second, burst).unwrap();
        (clock.clone(), Limiter::with_clock(clock, quota, 16))
    }

    #[test]
    fn what_it_holds_is_given_at_once_and_then_as_it_fills() {
        let (clock, limiter) = limiter(10.0, 3);
        for remaining in [2, 1, 0] {
            let standing = limiter.take(&0);
            assert!(standing.admitted);
            assert_eq!(standing.remaining, remaining);
            let missing = u64::from(3 - remaining);
            assert_eq!(standing.reset, Duration::from_millis(100 * missing));
        }
        let refused = limiter.take(&0);
        assert!(!refused.admitted);
        assert_eq!(refused.remaining, 0);
        assert_eq!(refused.reset, Duration::from_millis(100));
        assert!(limiter.take(&1).admitted, "another key has its own");
        clock.advance(Duration::from_millis(99));
        assert!(!limiter.take(&0).admitted);
        clock.advance(Duration::from_millis(31));
        let standing = limiter.take(&0);
        assert!(standing.admitted);
        assert_eq!(standing.remaining, 0);
        // To the moment, and not in whole tokens.
        assert_eq!(standing.reset, Duration::from_millis(270));
    }

    #[test]
    fn less_than_a_token_a_second() {
        let (clock, limiter) = limiter(0.1, 0);
        assert_eq!(limiter.take(&0).reset, Duration::from_secs(10));
        clock.advance(Duration::from_secs(9));
        assert_eq!(limiter.take(&0).reset, Duration::from_secs(1));
        clock.advance(Duration::from_secs(1));
        assert!(limiter.take(&0).admitted);
    }

    #[test]
    fn in_the_long_run_it_gives_its_rate() {
        let (clock, limiter) = limiter(100.0, 5);
        let mut admitted = 0;
        for _ in 0..10_000 {
            admitted += u32::from(limiter.take(&0).admitted);
            clock.advance(Duration::from_millis(1));
        }
        assert!((1_000..=1_006).contains(&admitted), "{admitted}");
    }

    #[test]
    fn no_rate_is_no_limit() {
        for none in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(quota(none, 5), None);
        }
        let burst = |per_second, burst| quota(per_second, burst).unwrap().burst_size().get();
        assert_eq!(burst(2.5, 0), 3);
        assert_eq!(burst(0.1, 0), 1);
        assert_eq!(burst(0.1, 7), 7);
    }

    #[test]
    fn what_governor_cannot_count_is_cut_off() {
        for (per_second, burst) in [(0.001, u32::MAX), (1e6, u32::MAX), (1e-300, 5)] {
            let (_, limiter) = limiter(per_second, burst);
            assert!(limiter.take(&0).admitted, "{per_second}/{burst}");
        }
    }
}
