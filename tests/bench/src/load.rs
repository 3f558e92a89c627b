//! Requests over plain sockets: ready-made bytes out, the status in. It costs a
//! few microseconds a request, so that the server is what is measured.
//!
//! Every request is used once, because each is another delivery with its own id
//! and signature. [`crate::wrk`] does the same with a tool that others know.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

/// Answers longer than that are not ours.
const ANSWER: usize = 64 * 1024;

/// What was answered.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    pub(crate) accepted: usize,
    /// Turned away with 429 or 503, and told when to come again.
    pub(crate) shed: usize,
    pub(crate) others: usize,
    /// Seconds, of the accepted ones.
    pub(crate) latencies: Vec<f64>,
    pub(crate) elapsed: Duration,
}

impl Answers {
    fn add(&mut self, answer: Answer, latency: Duration) {
        match answer.status {
            200 | 202 => {
                self.accepted += 1;
                self.latencies.push(latency.as_secs_f64());
            }
            429 | 503 if answer.says_when => self.shed += 1,
            _ => self.others += 1,
        }
    }

    fn join(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.shed += other.shed;
        self.others += other.others;
        self.latencies.extend(other.latencies);
    }

    /// Accepted requests a second.
    pub(crate) fn rate(&self) -> f64 {
        self.accepted as f64 / self.elapsed.as_secs_f64()
    }
}

/// A request as it goes over the wire.
pub(crate) fn post(path: &str, headers: &[(&str, &str)], body: &[u8]) -> Bytes {
    let mut head = format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    [head.as_bytes(), body].concat().into()
}

/// Sends each request once over that many connections, the next one on a
/// connection as soon as the last is answered.
pub(crate) async fn closed(
    address: SocketAddr,
    requests: Arc<Vec<Bytes>>,
    connections: usize,
) -> anyhow::Result<Answers> {
    run(address, requests, connections, None).await
}

/// Sends each request once, at that rate whatever becomes of the earlier ones.
/// Latencies count from when a request was due, so a stall is not hidden.
pub(crate) async fn open(
    address: SocketAddr,
    requests: Arc<Vec<Bytes>>,
    connections: usize,
    per_second: f64,
) -> anyhow::Result<Answers> {
    run(address, requests, connections, Some(per_second)).await
}

/// Sends as [`closed`] does until the server is gone, and tells `enough` when that
/// many were accepted. Answers which of the requests were, and when it was told.
pub(crate) async fn until_gone(
    address: SocketAddr,
    requests: Arc<Vec<Bytes>>,
    connections: usize,
    enough: (usize, oneshot::Sender<()>),
) -> anyhow::Result<(Vec<usize>, Duration)> {
    let (wanted, told) = enough;
    let begun = Instant::now();
    tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async move {
            let (next, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
            let mut tasks = JoinSet::new();
            for _ in 0..connections {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let (requests, next, done) = (requests.clone(), next.clone(), done.clone());
                tasks.spawn(send_until_gone(stream, requests, next, done));
            }
            let mut reached = Duration::ZERO;
            let mut accepted = Vec::new();
            let mut told = Some(told);
            loop {
                tokio::select! {
                    permits = done.acquire_many(u32::try_from(wanted)?), if told.is_some() => {
                        permits?.forget();
                        reached = begun.elapsed();
                        let _ = told.take().map(|told| told.send(()));
                    }
                    ended = tasks.join_next() => match ended {
                        Some(ended) => accepted.extend(ended?),
                        None => break,
                    }
                }
            }
            ensure!(told.is_none(), "it was gone before {wanted} were accepted");
            Ok((accepted, reached))
        })
    })
    .await?
}

/// The requests that were answered with 202, until the connection breaks.
async fn send_until_gone(
    mut stream: TcpStream,
    requests: Arc<Vec<Bytes>>,
    next: Arc<AtomicUsize>,
    done: Arc<Semaphore>,
) -> Vec<usize> {
    let mut accepted = Vec::new();
    let mut buffer = Vec::with_capacity(4_096);
    loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let Some(request) = requests.get(at) else {
            return accepted;
        };
        if stream.write_all(request).await.is_err() {
            return accepted;
        }
        match answer(&mut stream, &mut buffer).await {
            Ok(answer) if answer.status == 202 => {
                accepted.push(at);
                done.add_permits(1);
            }
            Ok(_) => {}
            Err(_) => return accepted,
        }
    }
}

async fn run(
    address: SocketAddr,
    requests: Arc<Vec<Bytes>>,
    connections: usize,
    per_second: Option<f64>,
) -> anyhow::Result<Answers> {
    // A thread of its own: senders are somebody else's machine.
    tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(all(address, requests, connections, per_second))
    })
    .await?
}

async fn all(
    address: SocketAddr,
    requests: Arc<Vec<Bytes>>,
    connections: usize,
    per_second: Option<f64>,
) -> anyhow::Result<Answers> {
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        open.push(stream);
    }
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for stream in open {
        let (requests, next) = (requests.clone(), next.clone());
        tasks.spawn(async move { send(stream, &requests, &next, begun, per_second).await });
    }
    let mut answers = Answers::default();
    while let Some(done) = tasks.join_next().await {
        answers.join(done??);
    }
    answers.elapsed = begun.elapsed();
    Ok(answers)
}

async fn send(
    mut stream: TcpStream,
    requests: &[Bytes],
    next: &AtomicUsize,
    begun: Instant,
    per_second: Option<f64>,
) -> anyhow::Result<Answers> {
    let mut answers = Answers::default();
    let mut buffer = Vec::with_capacity(4_096);
    loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let Some(request) = requests.get(at) else {
            return Ok(answers);
        };
        let due = match per_second {
            None => Instant::now(),
            Some(rate) => {
                let due = begun + Duration::from_secs_f64(at as f64 / rate);
                tokio::time::sleep_until(due.into()).await;
                due
            }
        };
        stream.write_all(request).await?;
        let answer = answer(&mut stream, &mut buffer).await?;
        answers.add(answer, due.elapsed());
    }
}

/// What matters of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Answer {
    status: u16,
    /// Whether it has a `Retry-After`.
    says_when: bool,
    /// Bytes of head and body.
    length: usize,
}

/// Reads one answer to its end.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<Answer> {
    buffer.clear();
    loop {
        if let Some(answer) = parse(buffer)?
            && buffer.len() >= answer.length
        {
            ensure!(
                buffer.len() == answer.length,
                "more than one answer to one request"
            );
            return Ok(answer);
        }
        ensure!(buffer.len() < ANSWER, "an answer is too long");
        ensure!(
            stream.read_buf(buffer).await? > 0,
            "the connection was closed before the answer"
        );
    }
}

/// An answer whose head is there.
fn parse(bytes: &[u8]) -> anyhow::Result<Option<Answer>> {
    let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&bytes[..head])?;
    let status = text
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .context("no status")?;
    let mut answer = Answer {
        status,
        says_when: false,
        length: head + 4,
    };
    for line in text.lines().skip(1) {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        if name.eq_ignore_ascii_case("content-length") {
            answer.length += value.trim().parse::<usize>()?;
        }
        answer.says_when |= name.eq_ignore_ascii_case("retry-after");
    }
    Ok(Some(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_where_its_head_says() {
        let text = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}";
        let answer = parse(text).unwrap().unwrap();
        assert_eq!((answer.status, answer.length), (202, text.len()));
        assert!(!answer.says_when);
        assert_eq!(parse(b"HTTP/1.1 202 Acc").unwrap(), None);
        assert!(parse(b"nonsense\r\n\r\n").is_err());
        let shed = b"HTTP/1.1 503 X\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
        assert!(parse(shed).unwrap().unwrap().says_when);
    }

    #[test]
    fn a_request_is_what_http_wants() {
        let request = post("/a", &[("x", "1")], b"{}");
        assert_eq!(
            &request[..],
            b"POST /a HTTP/1.1\r\nhost: bench\r\ncontent-length: 2\r\nx: 1\r\n\r\n{}"
        );
    }
}
