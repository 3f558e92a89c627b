use domain_kernel::CorrelationId;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Ids asked for at once, and how many may wait for their turn.
const BATCH: usize = 512;
const QUEUE: usize = 16_384;

#[derive(Debug)]
struct Question<A, E> {
    id: CorrelationId,
    answer: oneshot::Sender<Result<A, E>>,
}

/// A store, asked about one id each by many requests at once. While one question
/// is under way the next ones gather, so that a single request waits for nobody
/// and a thousand share a few round trips.
#[derive(Debug)]
pub(super) struct Gather<A, E> {
    questions: mpsc::Sender<Question<A, E>>,
}

/// The task that asks.
#[derive(Debug)]
pub(super) struct Asking<A, E> {
    receiver: mpsc::Receiver<Question<A, E>>,
}

/// Too many wait, or the gateway ends.
#[derive(Debug)]
pub(super) struct NotAsked;

pub(super) fn gather<A, E: Clone>() -> (Gather<A, E>, Asking<A, E>) {
    let (questions, receiver) = mpsc::channel(QUEUE);
    (Gather { questions }, Asking { receiver })
}

impl<A, E> Gather<A, E> {
    /// What the store says of `id`.
    ///
    /// # Errors
    /// When it was not asked; and within, when it did not say.
    pub(super) async fn ask(&self, id: CorrelationId) -> Result<Result<A, E>, NotAsked> {
        let (answer, answered) = oneshot::channel();
        let question = Question { id, answer };
        self.questions.try_send(question).map_err(|_| NotAsked)?;
        answered.await.map_err(|_| NotAsked)
    }
}

impl<A, E: Clone> Asking<A, E> {
    /// Asks until `shutdown`, and then what is still waiting. `ask` answers all
    /// ids, in their order; what nobody waits for any more goes to `unwanted`.
    pub(super) async fn run<F: Future<Output = Result<Vec<A>, E>>>(
        mut self,
        shutdown: CancellationToken,
        ask: impl Fn(Vec<CorrelationId>) -> F,
        unwanted: impl Fn(CorrelationId, Result<A, E>),
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
            let ids = questions.iter().map(|question| question.id).collect();
            let (mut answers, failed) = match ask(ids).await {
                Ok(answers) => (answers.into_iter(), None),
                Err(error) => (Vec::new().into_iter(), Some(error)),
            };
            for Question { id, answer } in questions.drain(..) {
                let said = match (answers.next(), &failed) {
                    (Some(said), _) => Ok(said),
                    (None, Some(error)) => Err(error.clone()),
                    // Fewer answers than questions: as if it had not been asked.
                    (None, None) => continue,
                };
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
        let (gather, asking) = gather::<CorrelationId, ()>();
        let asked = Mutex::new(Vec::new());
        let shutdown = CancellationToken::new();
        let asking = asking.run(
            shutdown.clone(),
            async |ids| {
                asked.lock().unwrap().push(ids.len());
                tokio::task::yield_now().await;
                Ok(ids)
            },
            |_, _| {},
        );
        let requests = async {
            let all = (0..100).map(|n| gather.ask(id(n)));
            let answers = futures::future::join_all(all).await;
            for (n, answer) in answers.into_iter().enumerate() {
                assert_eq!(answer.unwrap(), Ok(id(n)));
            }
            shutdown.cancel();
        };
        tokio::join!(asking, requests);
        let asked = asked.into_inner().unwrap();
        assert_eq!(asked.iter().sum::<usize>(), 100);
        assert!(asked.len() <= 3, "{asked:?}");
    }

    #[tokio::test]
    async fn an_error_is_everybodys_and_what_nobody_waits_for_is_told() {
        let (gather, asking) = gather::<(), &str>();
        let shutdown = CancellationToken::new();
        let (begun, go_on) = (Notify::new(), Notify::new());
        let unwanted = Mutex::new(Vec::new());
        let asking = asking.run(
            shutdown.clone(),
            async |_| {
                begun.notify_one();
                go_on.notified().await;
                Err("away")
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
            assert_eq!(answer.unwrap(), Err("away"));
            shutdown.cancel();
        };
        tokio::join!(asking, requests);
        assert_eq!(*unwanted.lock().unwrap(), [id(1)]);
        assert!(gather.ask(id(3)).await.is_err());
    }
}
