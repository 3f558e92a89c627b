//! A connection that ends when nobody reads its answers, and that remembers how
//! the last request was written.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// The last bytes that arrived on a connection, as many as a request's head may
/// have. The parser resolves a request that gives its length in two ways by
/// dropping one of them, and tells nobody; here it can still be seen.
#[derive(Debug, Clone)]
pub(super) struct Tail {
    bytes: Arc<Mutex<Vec<u8>>>,
    limit: usize,
}

impl Tail {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            bytes: Arc::default(),
            limit,
        }
    }

    fn push(&self, new: &[u8]) {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let new = &new[new.len().saturating_sub(self.limit)..];
        let surplus = (bytes.len() + new.len()).saturating_sub(self.limit);
        if surplus > 0 {
            let surplus = surplus.min(bytes.len());
            bytes.drain(..surplus);
        }
        bytes.extend_from_slice(new);
    }

    /// Whether some head among the bytes has both `Content-Length` and
    /// `Transfer-Encoding`. A body that spells out such a head counts too:
    /// beside a chunked request, nothing honest does.
    pub(super) fn has_two_lengths(&self) -> bool {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut length, mut encoding) = (false, false);
        for line in bytes.split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                (length, encoding) = (false, false);
                continue;
            }
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
            length |= name.eq_ignore_ascii_case(b"content-length");
            encoding |= name.eq_ignore_ascii_case(b"transfer-encoding");
            if length && encoding {
                return true;
            }
        }
        false
    }
}

/// The connection.
pub(super) struct Guarded<S> {
    inner: S,
    tail: Option<Tail>,
    write_stall: Duration,
    /// Set while the client does not take what is written.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Guarded<S> {
    pub(super) fn new(inner: S, tail: Option<Tail>, write_stall: Duration) -> Self {
        Self {
            inner,
            tail,
            write_stall,
            stalled: None,
        }
    }

    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let deadline = self.write_stall;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + deadline)));
        match stalled.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client does not read its answer",
            ))),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        if let (Poll::Ready(Ok(())), Some(tail)) = (&read, &self.tail) {
            tail.push(&buffer.filled()[before..]);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, buffer);
        self.watch(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(context);
        self.watch(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = Pin::new(&mut self.inner).poll_shutdown(context);
        self.watch(context, closed)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, buffers);
        self.watch(context, written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_lengths(pieces: &[&str]) -> bool {
        let tail = Tail::new(256);
        for piece in pieces {
            tail.push(piece.as_bytes());
        }
        tail.has_two_lengths()
    }

    #[test]
    fn two_lengths_in_one_head_are_seen_however_they_arrive() {
        let head = "POST / HTTP/1.1\r\nContent-Length: 3\r\nTRANSFER-encoding: chunked\r\n\r\n";
        assert!(two_lengths(&[head]));
        assert!(two_lengths(&[&head[..30], &head[30..]]));
        assert!(two_lengths(&[
            "transfer-encoding:chunked\ncontent-length:1\n"
        ]));
        assert!(two_lengths(&[&"x".repeat(1_000), "\r\n\r\n", head]));
    }

    #[test]
    fn one_length_each_is_as_it_should_be() {
        assert!(!two_lengths(&[
            "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ]));
    }

    #[test]
    fn no_more_than_the_limit_is_kept() {
        let tail = Tail::new(16);
        for _ in 0..10 {
            tail.push(b"0123456789");
        }
        assert_eq!(tail.bytes.lock().unwrap().as_slice(), b"4567890123456789");
        tail.push(&[b'x'; 100]);
        assert_eq!(tail.bytes.lock().unwrap().len(), 16);
    }

    #[tokio::test]
    async fn an_answer_that_is_not_read_ends_the_connection() {
        use tokio::io::AsyncWriteExt as _;
        let (ours, _theirs) = tokio::io::duplex(16);
        let mut guarded = Guarded::new(ours, None, Duration::from_millis(50));
        let error = guarded.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
