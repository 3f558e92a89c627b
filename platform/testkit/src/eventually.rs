use std::time::{Duration, Instant};

/// What a condition may say: `bool`, `Option` or `Result`. True, `Some` and
/// `Ok` mean that it holds.
pub trait Probe {
    type Value;

    /// # Errors
    /// Why the condition does not hold yet.
    fn holds(self) -> Result<Self::Value, String>;
}

impl Probe for bool {
    type Value = ();

    fn holds(self) -> Result<(), String> {
        if self {
            Ok(())
        } else {
            Err("it is false".to_owned())
        }
    }
}

impl<T> Probe for Option<T> {
    type Value = T;

    fn holds(self) -> Result<T, String> {
        self.ok_or_else(|| "there is nothing".to_owned())
    }
}

impl<T, E: std::fmt::Debug> Probe for Result<T, E> {
    type Value = T;

    fn holds(self) -> Result<T, String> {
        self.map_err(|error| format!("{error:?}"))
    }
}

/// Asks `probe` again and again until its condition holds, and returns what it
/// found.
///
/// # Errors
/// When the condition does not hold by `timeout`; says why it did not the last
/// time it was asked.
pub async fn eventually<F, Fut>(
    timeout: Duration,
    mut probe: F,
) -> anyhow::Result<<Fut::Output as Probe>::Value>
where
    F: FnMut() -> Fut,
    Fut: Future<Output: Probe>,
{
    let begun = Instant::now();
    let mut pause = Duration::from_millis(5);
    let mut last = "no answer".to_owned();
    while let Some(left) = timeout.checked_sub(begun.elapsed()) {
        match tokio::time::timeout(left, probe()).await {
            Ok(answer) => match answer.holds() {
                Ok(value) => return Ok(value),
                Err(why) => last = why,
            },
            Err(_) => break,
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(100));
    }
    anyhow::bail!("the condition does not hold after {timeout:?}: {last}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn a_condition_that_comes_to_hold_is_waited_for() {
        let mut asked = 0;
        let found = eventually(Duration::from_secs(5), || {
            asked += 1;
            let asked = asked;
            async move { (asked == 3).then_some(asked) }
        })
        .await
        .unwrap();
        assert_eq!(found, 3);
    }

    #[tokio::test]
    async fn the_last_reason_is_told() {
        let error = eventually(SHORT, || async { Err::<(), _>("still dark") })
            .await
            .unwrap_err();
        assert!(error.to_string().contains("still dark"));
    }

    #[tokio::test]
    async fn a_probe_that_hangs_is_given_up() {
        let hanging = eventually(SHORT, std::future::pending::<bool>).await;
        assert!(hanging.is_err());
    }
}
