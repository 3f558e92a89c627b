use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// Why a body was cut.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the body arrives too slowly")]
    TooSlow,
    #[error("the body broke off")]
    Broken(#[source] hyper::Error),
}

/// A body that has to keep a pace. Only the time spent waiting for the sender
/// counts, not the time we take to look at what came.
#[derive(Debug)]
pub(super) struct Paced<B> {
    inner: B,
    /// Bytes a second; 0 means that any pace will do.
    rate: u64,
    grace: Duration,
    received: u64,
    waited: Duration,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<B> Paced<B> {
    pub(super) fn new(inner: B, rate: u64, grace: Duration) -> Self {
        Self {
            inner,
            rate,
            grace,
            received: 0,
            waited: Duration::ZERO,
            waiting: None,
        }
    }

    /// How much longer may be waited, having received what there is.
    fn left(&self) -> Duration {
        let due = Duration::from_secs_f64(self.received as f64 / self.rate as f64);
        (self.grace + due).saturating_sub(self.waited)
    }
}

impl<B> Body for Paced<B>
where
    B: Body<Data = Bytes, Error = hyper::Error> + Unpin,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            if let Some((since, _)) = self.waiting.take() {
                self.waited += since.elapsed();
            }
            if let Some(Ok(frame)) = &frame
                && let Some(bytes) = frame.data_ref()
            {
                self.received += bytes.len() as u64;
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)));
        }
        if self.rate == 0 {
            return Poll::Pending;
        }
        let left = self.left();
        let (_, sleep) = self.waiting.get_or_insert_with(|| {
            let now = Instant::now();
            (now, Box::pin(tokio::time::sleep_until(now + left)))
        });
        match sleep.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => Poll::Ready(Some(Err(BodyError::TooSlow))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
