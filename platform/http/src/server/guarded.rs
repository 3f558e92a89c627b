//! A connection that ends when nobody reads its answers, and that knows how
//! requests on it were written.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// The longer one of the two names that are looked for.
const LONGEST_NAME: usize = "transfer-encoding".len();

/// Whether a head that arrived on a connection gives the length of its body in
/// two ways. The parser resolves that by dropping one of them, and tells nobody;
/// here it can still be seen.
#[derive(Debug, Clone)]
pub(super) struct Heads {
    lines: Arc<Mutex<Lines>>,
    /// How many bytes back a head may lie that the parser is only now through with.
    reach: u64,
}

/// The lines that arrive, each looked at up to its colon.
#[derive(Debug, Default)]
struct Lines {
    /// Bytes so far.
    seen: u64,
    /// Of the line that is arriving, cut where it is longer than any that counts.
    name: Vec<u8>,
    /// Whether the rest of the line is of no interest.
    named: bool,
    length: bool,
    encoding: bool,
    /// What had been seen when a head last had both.
    both: Option<u64>,
}

impl Heads {
    /// `limit` is how large the parser may let its buffer become. It reads into
    /// whatever room its allocations left over, though, and those double: what it
    /// holds at once may be nearly four times as much.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            lines: Arc::default(),
            reach: (limit as u64).saturating_mul(4),
        }
    }

    fn push(&self, new: &[u8]) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(new);
    }

    /// Whether some head within reach has both `Content-Length` and
    /// `Transfer-Encoding`. A body that spells out such a head counts too:
    /// beside a chunked request, nothing honest does.
    pub(super) fn has_two_lengths(&self) -> bool {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines
            .both
            .is_some_and(|both| lines.seen - both <= self.reach)
    }
}

impl Lines {
    fn push(&mut self, new: &[u8]) {
        self.seen += new.len() as u64;
        let mut rest = new.iter();
        while let Some(byte) = rest.next() {
            match byte {
                b'\n' => {
                    if !self.named && matches!(self.name.as_slice(), b"" | b"\r") {
                        (self.length, self.encoding) = (false, false);
                    }
                    self.name.clear();
                    self.named = false;
                }
                _ if self.named => {
                    let left = rest.as_slice();
                    let end = left.iter().position(|byte| *byte == b'\n');
                    rest = left[end.unwrap_or(left.len())..].iter();
                }
                b':' => {
                    self.length |= self.name.eq_ignore_ascii_case(b"content-length");
                    self.encoding |= self.name.eq_ignore_ascii_case(b"transfer-encoding");
                    if self.length && self.encoding {
                        self.both = Some(self.seen);
                    }
                    self.named = true;
                }
                byte => {
                    self.named = self.name.len() == LONGEST_NAME;
                    self.name.push(*byte);
                }
            }
        }
    }
}

/// The connection.
pub(super) struct Guarded<S> {
    inner: S,
    heads: Option<Heads>,
    write_stall: Duration,
    /// Set while the client does not take what is written.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Guarded<S> {
    pub(super) fn new(inner: S, heads: Option<Heads>, write_stall: Duration) -> Self {
        Self {
            inner,
            heads,
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
        if let (Poll::Ready(Ok(())), Some(heads)) = (&read, &self.heads) {
            heads.push(&buffer.filled()[before..]);
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
        let heads = Heads::new(256);
        for piece in pieces {
            heads.push(piece.as_bytes());
        }
        heads.has_two_lengths()
    }

    #[test]
    fn two_lengths_in_one_head_are_seen_however_they_arrive() {
        let head = "POST / HTTP/1.1\r\nContent-Length: 3\r\nTRANSFER-encoding: chunked\r\n\r\n";
        assert!(two_lengths(&[head]));
        for place in 0..head.len() {
            assert!(two_lengths(&[&head[..place], &head[place..]]));
        }
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
    fn names_that_only_look_alike_are_no_lengths() {
        for name in ["transfer-encodings", "xtransfer-encoding", "", "\r"] {
            let head = format!("POST / HTTP/1.1\r\nContent-Length: 3\r\n{name}: chunked\r\n\r\n");
            assert!(!two_lengths(&[&head]), "{name:?}");
        }
    }

    #[test]
    fn what_the_parser_is_long_through_with_is_forgotten() {
        let head = "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(two_lengths(&[head, &"x".repeat(4 * 256)]));
        assert!(!two_lengths(&[head, &"x".repeat(4 * 256 + 1)]));
        assert!(two_lengths(&[head, &"x".repeat(2_000), "\n", head]));
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
