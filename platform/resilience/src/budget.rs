use std::sync::Mutex;

/// Keeps retries a bounded share of first calls, so that retrying cannot
/// multiply the load on a system that is already failing.
///
/// Every first call earns `per_call` retries, up to `cap`; every retry spends one.
#[derive(Debug)]
pub struct RetryBudget {
    per_call: f64,
    cap: f64,
    tokens: Mutex<f64>,
}

impl RetryBudget {
    /// A full budget. `per_call` of 0.2 allows one retry for five calls in the long run.
    pub fn new(per_call: f64, cap: u32) -> Self {
        let cap = f64::from(cap);
        Self {
            per_call,
            cap,
            tokens: Mutex::new(cap),
        }
    }

    /// A first call is being made.
    pub fn deposit(&self) {
        let mut tokens = self.lock();
        *tokens = (*tokens + self.per_call).min(self.cap);
    }

    /// Asks for one retry.
    pub fn withdraw(&self) -> bool {
        let mut tokens = self.lock();
        let granted = *tokens >= 1.0;
        if granted {
            *tokens -= 1.0;
        }
        granted
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, f64> {
        // A float is never half written, so a poisoned lock still holds a good value.
        self.tokens
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self::new(0.2, 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_run_out_and_calls_earn_them_back() {
        let budget = RetryBudget::new(0.5, 2);
        assert!(budget.withdraw());
        assert!(budget.withdraw());
        assert!(!budget.withdraw());
        budget.deposit();
        assert!(!budget.withdraw());
        budget.deposit();
        assert!(budget.withdraw());
    }
}
