use domain_kernel::CorrelationId;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Ids asked for at once, and how many may wait for their turn.
const BATCH: usize = 512;
const QUEUE: usize = 16_384;

#[derive(Debug)]
struct Question<A> {
    id: CorrelationId,
    answer: oneshot::Sender<A>,
}

/// Stores, asked about one id each by many requests at once. While one question
/// is under way the next ones gather, so that a single request waits for nobody
/// and a thousand share a few round trips.
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
    /// ids, in their order; what nobody waits for any more goes to `unwanted`.
    pub(super) async fn run<F: Future<Output = Vec<A>>>(
        mut self,
        shutdown: CancellationToken,
        ask: impl Fn(Vec<CorrelationId>) -> F,
        unwanted: impl Fn(CorrelationId, A),
    ) {
        let mut questions = Vec::with_capacity(BATCH);
        loop {
            let received = tokio::select! {
                biased;
                received = self.receiver.recv_many(&mut questions, BATCH) => received,
                () = shutdown.cancelled() => {
                    self.receiver.close();
                    self.receiver.recv_many(&mut questions, BATCH).await
                }
            };
            if received == 0 {
                return;
            }
            questions.retain(|question| !question.answer.is_closed());
            if questions.is_empty() {
                continue;
            }
            let ids = questions.iter().map(|question| question.id).collect();
            let answers = ask(ids).await;
            // Whose answer is missing sees its end of the channel closed.
            for (Question { id, answer }, said) in questions.drain(..).zip(answers) {
                if let Err(said) = answer.send(said) {
                    unwanted(id, said);
                }
            }
        }
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
        let asking = asking.run(
            shutdown.clone(),
            async |ids| {
                asked.lock().unwrap().push(ids.len());
                tokio::task::yield_now().await;
                ids
            },
            |_, _| {},
        );
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
    async fn what_nobody_waits_for_is_told() {
        let (gather, asking) = gather::<&str>();
        let shutdown = CancellationToken::new();
        let (begun, go_on) = (Notify::new(), Notify::new());
        let unwanted = Mutex::new(Vec::new());
        let asking = asking.run(
            shutdown.clone(),
            async |ids| {
                begun.notify_one();
                go_on.notified().await;
                vec!["known"; ids.len()]
            },
            |id, _| unwanted.lock().unwrap().push(id),
        );
        let requests = async {
            let mut impatient = Box::pin(gather.ask(id(1)));
            assert!(futures::poll!(&mut impatient).is_pending());
            begun.notified().await;
            drop(impatient);
            go_on.notify_one();
            let patient = async {
                begun.notified().await;
                go_on.notify_one();
            };
            let (answer, ()) = tokio::join!(gather.ask(id(2)), patient);
            assert_eq!(answer.unwrap(), "known");
            shutdown.cancel();
        };
        tokio::join!(asking, requests);
        assert_eq!(*unwanted.lock().unwrap(), [id(1)]);
        assert!(gather.ask(id(3)).await.is_err());
    }

    #[tokio::test]
    async fn whose_answer_is_missing_was_not_asked() {
        let (gather, asking) = gather::<&str>();
        let shutdown = CancellationToken::new();
        let asking = asking.run(shutdown.clone(), async |_| Vec::new(), |_, _| {});
        let request = async {
            assert!(gather.ask(id(1)).await.is_err());
            shutdown.cancel();
        };
        tokio::join!(asking, request);
    }
}
