use std::time::Duration;

/// Exponential back-off with full jitter: the wait before attempt *n* is drawn
/// evenly from zero to `base * 2^(n-1)`, never above `cap`. Drawing from zero
/// spreads callers that failed together better than jitter around a mean does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    pub base: Duration,
    pub cap: Duration,
}

impl Backoff {
    pub const fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap }
    }

    /// The longest wait before retry number `retry`, counted from 1.
    pub fn ceiling(&self, retry: u32) -> Duration {
        let doublings = retry.saturating_sub(1).min(31);
        self.base
            .checked_mul(1 << doublings)
            .map_or(self.cap, |wait| wait.min(self.cap))
    }

    /// The wait for a draw from 0.0 to 1.0.
    pub fn delay(&self, retry: u32, draw: f64) -> Duration {
        self.ceiling(retry).mul_f64(draw.clamp(0.0, 1.0))
    }

    /// The wait for a fresh random draw.
    pub fn jittered(&self, retry: u32) -> Duration {
        self.delay(retry, rand::random::<f64>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

    #[test]
    fn the_ceiling_doubles_up_to_the_cap() {
        let ceilings: Vec<_> = [1, 2, 3, 7, 40, u32::MAX]
            .into_iter()
            .map(|retry| BACKOFF.ceiling(retry).as_millis())
            .collect();
        assert_eq!(ceilings, [100, 200, 400, 5_000, 5_000, 5_000]);
    }

    #[test]
    fn jitter_covers_zero_to_the_ceiling() {
        assert_eq!(BACKOFF.delay(2, 0.0), Duration::ZERO);
        assert_eq!(BACKOFF.delay(2, 0.5), Duration::from_millis(100));
        assert_eq!(BACKOFF.delay(2, 1.0), Duration::from_millis(200));
        assert!(BACKOFF.jittered(3) <= Duration::from_millis(400));
    }
}
