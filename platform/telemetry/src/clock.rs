use std::time::{SystemTime, UNIX_EPOCH};

use domain_kernel::Timestamp;

/// The wall clock. The one place that reads it; it stamps events and is never
/// used to order them.
pub fn now() -> Timestamp {
    let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        // A clock before 1970 is wrong, but no reason to stop.
        Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
    };
    Timestamp::from_micros(micros)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_clock_is_in_microseconds() {
        // Between 2020 and 2100.
        let year_2020 = 1_577_836_800_000_000;
        let year_2100 = 4_102_444_800_000_000;
        assert!((year_2020..year_2100).contains(&super::now().as_micros()));
    }
}
