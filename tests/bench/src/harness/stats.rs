//! What a handful of paired ratios says: their median, and how sure it is.

/// Resamples for the interval. More do not move it.
const RESAMPLES: usize = 4_000;

/// A median and its 95 % bootstrap interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Estimate {
    /// None of no samples.
    pub(crate) fn of(samples: &[f64]) -> Option<Self> {
        if samples.is_empty() {
            return None;
        }
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut medians: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                let resample: Vec<f64> = (0..samples.len())
                    .map(|_| samples[random.below(samples.len())])
                    .collect();
                median(resample)
            })
            .collect();
        medians.sort_by(f64::total_cmp);
        Some(Self {
            median: median(samples.to_vec()),
            low: medians[RESAMPLES * 25 / 1_000],
            high: medians[RESAMPLES * 975 / 1_000 - 1],
        })
    }
}

pub(crate) fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    match samples.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => samples[odd / 2],
        even => f64::midpoint(samples[even / 2 - 1], samples[even / 2]),
    }
}

/// The value below which `part` (0 to 1) of the samples lie.
pub(crate) fn quantile(samples: &mut [f64], part: f64) -> f64 {
    if samples.is_empty() {
        return f64::NAN;
    }
    samples.sort_by(f64::total_cmp);
    let at = (part * (samples.len() - 1) as f64).round() as usize;
    samples[at.min(samples.len() - 1)]
}

/// Xorshift: the same interval for the same samples, every time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_lies_in_its_interval() {
        let estimate = Estimate::of(&[0.9, 1.0, 1.1, 1.05, 0.95]).unwrap();
        assert_eq!(estimate.median, 1.0);
        assert!(estimate.low >= 0.9 && estimate.low <= 1.0);
        assert!(estimate.high >= 1.0 && estimate.high <= 1.1);
        assert_eq!(Estimate::of(&[]), None);
    }

    #[test]
    fn equal_samples_leave_no_doubt() {
        let estimate = Estimate::of(&[2.0; 6]).unwrap();
        assert_eq!((estimate.low, estimate.high), (2.0, 2.0));
    }

    #[test]
    fn quantiles_are_of_the_sorted_samples() {
        let mut samples: Vec<f64> = (0..101).rev().map(f64::from).collect();
        assert_eq!(quantile(&mut samples, 0.99), 99.0);
        assert_eq!(median(samples), 50.0);
    }
}
