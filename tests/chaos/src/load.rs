use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use tests_kit::{Sender, Ticket};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::{Delivery, Dice, History};

/// How long a sender goes on repeating one delivery once it was told to stop.
const PATIENCE: Duration = Duration::from_secs(300);

/// How many times longer pauses are when a sender takes its time.
const LEISURE: u32 = 6;

/// How much is sent.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Senders at once. What one of them sends concerns one customer and one
    /// record of the CRM, and goes out in order.
    pub keys: usize,
    /// The longest pause between an acknowledgement and the next delivery.
    pub pause: Duration,
    /// After so many of them a sender takes its time: what a slow machine has to
    /// catch up with does not grow with the time it takes.
    pub brisk: usize,
    /// None has sent more than this when it stops by itself.
    pub most: usize,
}

/// What was acknowledged of the posts that began after a moment.
#[derive(Debug, Default)]
struct Marked {
    moment: AtomicUsize,
    acknowledged: AtomicUsize,
}

/// Senders at work.
#[derive(Debug)]
pub struct Load {
    stop: Arc<watch::Sender<bool>>,
    acknowledged: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
    marked: Arc<Marked>,
    early: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<Vec<Delivery>>,
}

impl Load {
    /// Starts to send. `name` stands in every id, `seed` decides all else.
    pub fn start(sender: &Sender, name: &str, seed: u64, pace: Pace) -> Self {
        let stop = Arc::new(watch::Sender::new(false));
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let refused = Arc::new(AtomicUsize::new(0));
        let marked = Arc::new(Marked::default());
        let early = Arc::new(Mutex::new(Vec::new()));
        let keys: Vec<_> = (0..pace.keys)
            .map(|number| {
                let key = format!("{name}-{number}");
                One {
                    dice: Dice::of(seed, &key),
                    key,
                    sender: sender.clone(),
                    stop: stop.subscribe(),
                    acknowledged: Arc::clone(&acknowledged),
                    refused: Arc::clone(&refused),
                    marked: Arc::clone(&marked),
                    early: Arc::clone(&early),
                }
                .send(pace)
            })
            .collect();
        Self {
            stop,
            acknowledged,
            refused,
            marked,
            early,
            task: tokio::spawn(async move { join_all(keys).await.concat() }),
        }
    }

    /// How many deliveries were acknowledged up to now.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// How many posts were refused or not answered up to now.
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }

    /// From now on the posts are counted that begin and are acknowledged.
    pub fn mark(&self) {
        self.marked.moment.fetch_add(1, Ordering::SeqCst);
        self.marked.acknowledged.store(0, Ordering::SeqCst);
    }

    /// How many posts began after the last mark and were acknowledged. One that
    /// was under way then may be answered long after it, and is not among them.
    pub fn acknowledged_since_mark(&self) -> usize {
        self.marked.acknowledged.load(Ordering::SeqCst)
    }

    /// The correlation ids of what was acknowledged up to now.
    pub fn correlations(&self) -> Vec<String> {
        self.early
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Lets every sender have its last delivery acknowledged and stop.
    ///
    /// # Errors
    /// When a sender failed to make a delivery at all.
    pub async fn stop(self) -> anyhow::Result<History> {
        self.stop.send_replace(true);
        Ok(History {
            deliveries: self.task.await?,
        })
    }
}

struct One {
    dice: Dice,
    key: String,
    sender: Sender,
    stop: watch::Receiver<bool>,
    acknowledged: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
    marked: Arc<Marked>,
    early: Arc<Mutex<Vec<String>>>,
}

impl One {
    async fn send(mut self, pace: Pace) -> Vec<Delivery> {
        let mut sent: Vec<Delivery> = Vec::new();
        while !*self.stop.borrow() && sent.len() < pace.most {
            let number = sent.len();
            let ticket = ticket(&self.key, number, &self.dice.word(10));
            let mut delivery = Delivery::new(ticket, &self.key, number);
            self.deliver(&mut delivery).await;
            let done = delivery.acknowledged.is_some();
            sent.push(delivery);
            if !done {
                // What comes after it would be out of order.
                break;
            }
            self.acknowledged.fetch_add(1, Ordering::SeqCst);
            // Senders repeat what was acknowledged, too: one in ten here.
            if self.dice.below(10) == 0
                && let Some(last) = sent.last_mut()
            {
                let again = self.sender.post(&last.ticket).await;
                last.note(&again);
            }
            let pause = pace.pause * if number < pace.brisk { 1 } else { LEISURE };
            let most = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            let pause = Duration::from_millis(self.dice.below(most + 1));
            let stopped = self.stop.wait_for(|stop| *stop);
            let _ = tokio::time::timeout(pause, stopped).await;
        }
        sent
    }

    /// Posts until it is acknowledged, as senders do.
    async fn deliver(&mut self, delivery: &mut Delivery) {
        let mut give_up = None;
        loop {
            let moment = self.marked.moment.load(Ordering::SeqCst);
            let answer = self.sender.post(&delivery.ticket).await;
            if delivery.note(&answer) {
                if self.marked.moment.load(Ordering::SeqCst) == moment {
                    self.marked.acknowledged.fetch_add(1, Ordering::SeqCst);
                }
                self.early
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(delivery.correlation());
                return;
            }
            self.refused.fetch_add(1, Ordering::SeqCst);
            if *self.stop.borrow() {
                let since = *give_up.get_or_insert_with(Instant::now);
                if since.elapsed() > PATIENCE {
                    return;
                }
            }
            let pause = self.dice.between(50, 400);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }
}

/// The ticket `number` about the record `key`: no other ticket says the same,
/// and none is merged, because the figures differ.
pub(crate) fn ticket(key: &str, number: usize, word: &str) -> Ticket {
    Ticket {
        delivery_id: format!("msg_{word}"),
        subject: subject(key, number),
        amount: format!("{}.{:02}", 100 + number, number % 100),
        text: format!("Order 7000{number} was charged twice. Please send it back."),
        ..Ticket::new(key)
    }
}

/// What stands in the CRM's record after the write that `number` led to.
pub(crate) fn subject(key: &str, number: usize) -> String {
    format!("{key} no. {number}")
}
