use std::time::Duration;

use domain_kernel::CorrelationId;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Ids asked for at once, and how many may wait for their turn.
const BATCH: usize = 512;
const QUEUE: usize = 16_384;
/// How long the next question waits for the one before. While a store hangs, only
/// those wait for it who are part of the question that tries it.
const PATIENCE: Duration = Duration::from_millis(20);
/// Questions under way at most: as many as begin before the first has its deadline.
const SIDE_BY_SIDE: usize = 64;

#[derive(Debug)]
struct Question<A> {
    id: CorrelationId,
    answer: oneshot::Sender<A>,
}

/// Stores, asked about one id each by many requests at once. While one question
/// is under way the next ones gather, so that a single request waits for nobody
/// and a thousand share a few round trips; one that takes long is not waited for.
#[derive(Debug)]
pub(super) struct Gather<A> {
    questions: mpsc::Sender<Question<A>>,
}

/// The task that asks.
#[derive(Debug)]
pub(super) struct Asking<A> {
    receiver: mpsc::Receiver<Question<A>>,
}

/// Too many wait, or the gateway ends.
#[derive(Debug)]
pub(super) struct NotAsked;

pub(super) fn gather<A>() -> (Gather<A>, Asking<A>) {
    let (questions, receiver) = mpsc::channel(QUEUE);
    (Gather { questions }, Asking { receiver })
}

impl<A> Gather<A> {
    /// What the stores say of `id`.
    ///
    /// # Errors
    /// When they were not asked.
    pub(super) async fn ask(&self, id: CorrelationId) -> Result<A, NotAsked> {
        let (answer, answered) = oneshot::channel();
        let question = Question { id, answer };
        self.questions.try_send(question).map_err(|_| NotAsked)?;
        answered.await.map_err(|_| NotAsked)
    }
}

impl<A> Asking<A> {
    /// Asks until `shutdown`, and then what is still waiting. `ask` answers all
    /// ids, in their order; an answer that nobody waits for any more is dropped.
    pub(super) async fn run<F: Future<Output = Vec<A>>>(
        mut self,
        shutdown: CancellationToken,
        ask: impl Fn(Vec<CorrelationId>) -> F,
    ) {
        let mut questions = Vec::with_capacity(BATCH);
        let mut under_way = FuturesUnordered::new();
        loop {
            let received = tokio::select! {
                biased;
                received = self.receiver.recv_many(&mut questions, BATCH) => received,
                Some(()) = under_way.next() => continue,
                () = shutdown.cancelled() => {
                    self.receiver.close();
                    self.receiver.recv_many(&mut questions, BATCH).await
                }
            };
            if received == 0 {
                break;
            }
            let mut asked = std::mem::replace(&mut questions, Vec::with_capacity(BATCH));
            asked.retain(|question| !question.answer.is_closed());
            if asked.is_empty() {
                continue;
            }
            let ids = asked.iter().map(|question| question.id).collect();
            under_way.push(tell(asked, ask(ids)));
            let answered = tokio::time::timeout(PATIENCE, under_way.next()).await;
            if answered.is_err() && under_way.len() == SIDE_BY_SIDE {
                under_way.next().await;
            }
        }
        while under_way.next().await.is_some() {}
    }
}

/// Hands the answers to those who wait for them. Whose answer is missing sees its
/// end of the channel closed.
async fn tell<A>(asked: Vec<Question<A>>, answers: impl Future<Output = Vec<A>>) {
    for (question, answer) in asked.into_iter().zip(answers.await) {
        // Whoever waited may have gone.
        drop(question.answer.send(answer));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::Notify;

    use super::*;

    fn id(n: usize) -> CorrelationId {
        CorrelationId::of_delivery("s", &n.to_string())
    }

    #[tokio::test]
    async fn what_comes_meanwhile_is_asked_together_and_each_gets_its_own() {
        let (gather, asking) = gather::<CorrelationId>();
        let asked = Mutex::new(Vec::new());
        let shutdown = CancellationToken::new();
        let asking = asking.run(shutdown.clone(), async |ids| {
            asked.lock().unwrap().push(ids.len());
            tokio::task::yield_now().await;
            ids
        });
        let requests = async {
            let all = (0..100).map(|n| gather.ask(id(n)));
            let answers = futures::future::join_all(all).await;
            for (n, answer) in answers.into_iter().enumerate() {
                assert_eq!(answer.unwrap(), id(n));
            }
            shutdown.cancel();
        };
        tokio::join!(asking, requests);
        let asked = asked.into_inner().unwrap();
        assert_eq!(asked.iter().sum::<usize>(), 100);
        assert!(asked.len() <= 3, "{asked:?}");
    }

    #[tokio::test]
    async fn who_comes_while_a_question_hangs_is_answered_before_it() {
        let (gather, asking) = gather::<&str>();
        let shutdown = CancellationToken::new();
        let (begun, go_on) = (Notify::new(), Notify::new());
        let asking = asking.run(shutdown.clone(), async |ids| {
            if ids == [id(1)] {
                begun.notify_one();
                go_on.notified().await;
                return vec!["late"];
            }
            vec!["at once"; ids.len()]
        });
        let requests = async {
            let first = gather.ask(id(1));
            let others = async {
                begun.notified().await;
                let second = gather.ask(id(2)).await;
                assert_eq!(second.unwrap(), "at once");
                shutdown.cancel();
                go_on.notify_one();
            };
            let (first, ()) = tokio::join!(first, others);
            assert_eq!(first.unwrap(), "late");
        };
        tokio::join!(asking, requests);
        assert!(gather.ask(id(3)).await.is_err());
    }

    #[tokio::test]
    async fn whose_answer_is_missing_was_not_asked() {
        let (gather, asking) = gather::<&str>();
        let shutdown = CancellationToken::new();
        let asking = asking.run(shutdown.clone(), async |_| Vec::new());
        let request = async {
            assert!(gather.ask(id(1)).await.is_err());
            shutdown.cancel();
        };
        tokio::join!(asking, request);
    }
}
