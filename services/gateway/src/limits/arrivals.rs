//! Bodies that are still on their way. Whoever sends one slowly costs a little
//! memory and no work, so what arrives is counted apart from what is worked at:
//! with bodies that drip, nobody takes the room of deliveries that are there.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use platform_http::Problem;
use tokio::sync::oneshot;

use super::admission::overloaded;
use crate::metrics;

/// Room for bodies that arrive. Half of it is given without a list being kept.
/// When that is full, the other half goes to who comes, and what has been on
/// its way for longest there is turned away for it. So a body is kept out only
/// by as many newer ones as are listed, and by no number of older ones.
#[derive(Debug)]
pub(crate) struct Arrivals {
    unlisted: AtomicUsize,
    max_unlisted: usize,
    listed: Mutex<Listed>,
    max_listed: usize,
}

#[derive(Debug, Default)]
struct Listed {
    next: u64,
    /// Oldest first. Dropping a sender turns its body away.
    bodies: BTreeMap<u64, oneshot::Sender<()>>,
}

/// A place that is given back when dropped.
enum Place<'a> {
    Unlisted(&'a Arrivals),
    Listed(&'a Arrivals, u64),
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        match self {
            Self::Unlisted(arrivals) => {
                arrivals.unlisted.fetch_sub(1, Ordering::Relaxed);
            }
            Self::Listed(arrivals, number) => {
                arrivals.listed().bodies.remove(number);
            }
        }
    }
}

impl Arrivals {
    /// Room for `max` bodies, and for one at least.
    pub(crate) fn new(max: usize) -> Self {
        let max = max.max(1);
        Self {
            unlisted: AtomicUsize::new(0),
            max_unlisted: max / 2,
            listed: Mutex::default(),
            max_listed: max.div_ceil(2),
        }
    }

    /// What `reading` reads.
    ///
    /// # Errors
    /// Those of `reading`; 503 when it had to make room.
    pub(crate) async fn receive<T>(
        &self,
        reading: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        let before = self.unlisted.fetch_add(1, Ordering::Relaxed);
        let unlisted = Place::Unlisted(self);
        if before < self.max_unlisted {
            return reading.await;
        }
        drop(unlisted);
        let (_place, turned_away) = self.enter();
        let reading = pin!(reading);
        tokio::select! {
            biased;
            read = reading => read,
            _ = turned_away => {
                metrics::shed("arriving");
                Err(overloaded())
            }
        }
    }

    /// A place on the list, and what resolves when it is lost.
    fn enter(&self) -> (Place<'_>, oneshot::Receiver<()>) {
        let (sender, turned_away) = oneshot::channel();
        let mut listed = self.listed();
        while listed.bodies.len() >= self.max_listed {
            listed.bodies.pop_first();
        }
        let number = listed.next;
        listed.next += 1;
        listed.bodies.insert(number, sender);
        (Place::Listed(self, number), turned_away)
    }

    fn listed(&self) -> MutexGuard<'_, Listed> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use futures::future::{pending, ready};

    use super::*;

    fn never() -> impl Future<Output = Result<(), Problem>> {
        pending()
    }

    #[test]
    fn the_oldest_on_the_list_makes_room_and_nobody_else() {
        let arrivals = Arrivals::new(4);
        let mut drips: Vec<_> = (0..4)
            .map(|_| Box::pin(arrivals.receive(never())))
            .collect();
        for drip in &mut drips {
            assert!(drip.now_or_never().is_none());
        }
        // What is there at once is read though all places are taken.
        let prompt = arrivals.receive(ready(Ok(7))).now_or_never();
        assert_eq!(prompt.unwrap().unwrap(), 7);
        let mut turned_away = Vec::new();
        for (number, drip) in drips.iter_mut().enumerate() {
            if let Some(answer) = drip.now_or_never() {
                assert_eq!(answer.unwrap_err().slug, "overloaded");
                turned_away.push(number);
            }
        }
        assert_eq!(turned_away, [2], "the first two are not on the list");
    }

    #[test]
    fn a_place_is_given_back_however_it_ends() {
        let arrivals = Arrivals::new(2);
        for _ in 0..3 {
            let mut first = Box::pin(arrivals.receive(never()));
            let mut second = Box::pin(arrivals.receive(never()));
            assert!((&mut first).now_or_never().is_none());
            assert!((&mut second).now_or_never().is_none());
            assert_eq!(arrivals.unlisted.load(Ordering::Relaxed), 1);
            assert_eq!(arrivals.listed().bodies.len(), 1);
        }
        assert_eq!(arrivals.unlisted.load(Ordering::Relaxed), 0);
        assert!(arrivals.listed().bodies.is_empty());
    }
}
