//! Answers already given, by idempotency key.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};
use tokio::sync::OnceCell;

type Answer = Map<String, Value>;

/// Keeps the latest answers, so that a call repeated under its key gets the
/// answer it got, and two at once become one. Failures are not kept.
#[derive(Debug)]
pub(crate) struct Answers {
    capacity: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    by_key: HashMap<String, Arc<OnceCell<Answer>>>,
    /// Keys from the oldest to the newest.
    order: VecDeque<String>,
}

impl Answers {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            kept: Mutex::default(),
        }
    }

    /// The answer kept under `key`, or the one `ask` gives. When whoever asked
    /// first goes away, the next in line asks again.
    pub(crate) async fn get_or_ask<E>(
        &self,
        key: &str,
        ask: impl Future<Output = Result<Answer, E>>,
    ) -> Result<Answer, E> {
        let cell = self.cell(key);
        cell.get_or_try_init(|| ask).await.cloned()
    }

    fn cell(&self, key: &str) -> Arc<OnceCell<Answer>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = kept.by_key.get(key) {
            return Arc::clone(cell);
        }
        while kept.order.len() >= self.capacity {
            let Some(oldest) = kept.order.pop_front() else {
                break;
            };
            kept.by_key.remove(&oldest);
        }
        let cell = Arc::new(OnceCell::new());
        kept.by_key.insert(key.to_owned(), Arc::clone(&cell));
        kept.order.push_back(key.to_owned());
        cell
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use serde_json::json;

    use super::*;

    async fn ask(answers: &Answers, calls: &AtomicU32, key: &str) -> Result<Answer, &'static str> {
        answers
            .get_or_ask(key, async {
                let number = calls.fetch_add(1, Ordering::SeqCst) + 1;
                tokio::task::yield_now().await;
                if number == 1 {
                    return Err("first call fails");
                }
                Ok(Map::from_iter([("number".to_owned(), json!(number))]))
            })
            .await
    }

    #[tokio::test]
    async fn one_key_gets_one_answer_and_failures_are_asked_again() {
        let answers = Answers::new(2);
        let calls = AtomicU32::new(0);
        assert_eq!(ask(&answers, &calls, "a").await, Err("first call fails"));
        let (one, two) = tokio::join!(ask(&answers, &calls, "a"), ask(&answers, &calls, "a"));
        assert_eq!(one, two);
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn the_oldest_answer_makes_room() {
        let answers = Answers::new(2);
        let calls = AtomicU32::new(1);
        let first = ask(&answers, &calls, "a").await;
        for key in ["b", "c"] {
            ask(&answers, &calls, key).await.unwrap();
        }
        assert_ne!(ask(&answers, &calls, "a").await, first);
        assert_eq!(answers.kept.lock().unwrap().by_key.len(), 2);
    }
}
