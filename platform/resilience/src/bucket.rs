//! A token bucket over the times it is given, kept as the moment at which it
//! will be full again (the generic cell rate algorithm): one number a bucket,
//! and no task that fills it.

use std::time::{Duration, Instant};

/// How much a bucket holds, and how fast it fills.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quota {
    /// Tokens a second; more than zero.
    pub per_second: f64,
    /// Tokens it holds; at least one.
    pub burst: u32,
}

impl Quota {
    /// None where there is no limit (`per_second` is 0). A `burst` of 0 stands
    /// for what comes in a second, but at least one.
    pub fn new(per_second: f64, burst: u32) -> Option<Self> {
        if per_second.is_nan() || per_second <= 0.0 {
            return None;
        }
        let burst = match burst {
            0 => per_second.ceil().min(f64::from(u32::MAX)) as u32,
            burst => burst,
        };
        Some(Self {
            per_second,
            burst: burst.max(1),
        })
    }

    /// The time one token takes.
    pub fn interval(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.per_second)
    }

    /// The time an empty bucket takes to be full.
    pub fn window(&self) -> Duration {
        self.interval() * self.burst
    }
}

/// What a bucket said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub admitted: bool,
    /// Whole tokens left.
    pub remaining: u32,
    /// When admitted, until the bucket is full; else until there is a token.
    pub reset: Duration,
}

/// The bucket; full when new.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bucket {
    full_at: Option<Instant>,
}

impl Bucket {
    /// Takes a token if there is one.
    pub fn take(&mut self, quota: &Quota, now: Instant) -> Standing {
        let full_at = self.full_at.map_or(now, |full_at| full_at.max(now));
        let missing = full_at - now;
        let after = missing + quota.interval();
        let window = quota.window();
        if after > window {
            return Standing {
                admitted: false,
                remaining: 0,
                reset: after - window,
            };
        }
        self.full_at = Some(now + after);
        Standing {
            admitted: true,
            remaining: ((window - after).as_secs_f64() * quota.per_second + 1e-6) as u32,
            reset: after,
        }
    }

    /// Whether it is as good as new.
    pub fn is_full(&self, now: Instant) -> bool {
        self.full_at.is_none_or(|full_at| full_at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_holds_is_given_at_once_and_then_as_it_fills() {
        let quota = Quota::new(10.0, 3).unwrap();
        let mut bucket = Bucket::default();
        let now = Instant::now();
        for remaining in [2, 1, 0] {
            let standing = bucket.take(&quota, now);
            assert!(standing.admitted);
            assert_eq!(standing.remaining, remaining);
        }
        let refused = bucket.take(&quota, now);
        assert!(!refused.admitted);
        assert_eq!(refused.reset, Duration::from_millis(100));
        assert!(
            !bucket
                .take(&quota, now + Duration::from_millis(99))
                .admitted
        );
        assert!(
            bucket
                .take(&quota, now + Duration::from_millis(100))
                .admitted
        );
        assert!(bucket.is_full(now + Duration::from_secs(1)));
    }

    #[test]
    fn in_the_long_run_it_gives_its_rate() {
        let quota = Quota::new(100.0, 5).unwrap();
        let mut bucket = Bucket::default();
        let start = Instant::now();
        let admitted = (0..10_000)
            .filter(|millis| {
                bucket
                    .take(&quota, start + Duration::from_millis(*millis))
                    .admitted
            })
            .count();
        assert!((1_000..=1_006).contains(&admitted), "{admitted}");
    }

    #[test]
    fn no_rate_is_no_limit() {
        assert_eq!(Quota::new(0.0, 5), None);
        assert_eq!(Quota::new(2.5, 0).unwrap().burst, 3);
        assert_eq!(Quota::new(0.1, 0).unwrap().burst, 1);
    }
}
