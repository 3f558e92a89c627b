//! HTTP/1.1 by hand.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long an answer may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A request, every byte of which is somebody's choice.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: &'static str,
    pub target: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    /// Whether `Content-Length` is told, as it is.
    pub with_length: bool,
}

/// What came back before the connection was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// Names in lowercase.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    #[must_use]
    pub fn set(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.add(name, value)
    }

    #[must_use]
    pub fn add(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers
            .push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    #[must_use]
    pub fn by(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    #[must_use]
    pub fn to(mut self, target: &str) -> Self {
        self.target = target.to_owned();
        self
    }

    /// Head and body, as they go out. Without a `connection` of its own it asks
    /// for the connection to be closed.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    pub fn head(&self) -> Vec<u8> {
        let mut bytes = format!(
            "{} {} HTTP/1.1\r\nhost: mesh.test\r\n",
            self.method, self.target
        )
        .into_bytes();
        if !self.headers.iter().any(|(name, _)| name == "connection") {
            bytes.extend_from_slice(b"connection: close\r\n");
        }
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        if self.with_length {
            bytes.extend_from_slice(format!("content-length: {}\r\n", self.body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The last segment of a problem's type.
    pub fn problem(&self) -> Option<String> {
        let body: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        let uri = body["type"].as_str()?;
        uri.rsplit('/').next().map(str::to_owned)
    }

    /// The first answer among bytes, and what came behind it.
    fn parse(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]);
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let rest = &bytes[end + 4..];
        if status == 100 {
            return Self::parse(rest);
        }
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut answer = Self {
            status,
            headers,
            body: Vec::new(),
        };
        let length = answer.header("content-length").map(str::parse);
        let length = length.map_or(rest.len(), |length| length.unwrap_or(rest.len()));
        // HEAD is answered with a length and no body.
        let (body, rest) = rest.split_at(length.min(rest.len()));
        answer.body = body.to_vec();
        Some((answer, rest))
    }

    /// All answers of a connection, one behind the other.
    ///
    /// # Errors
    /// When there is something among them that is none.
    pub fn all(mut bytes: &[u8]) -> anyhow::Result<Vec<Self>> {
        let mut answers = Vec::new();
        while !bytes.is_empty() {
            let parsed = Self::parse(bytes);
            let (answer, rest) = parsed.with_context(|| {
                format!("this is no answer: {}", String::from_utf8_lossy(bytes))
            })?;
            answers.push(answer);
            bytes = rest;
        }
        Ok(answers)
    }
}

/// Writes `bytes` and reads until the other side closes. None when it closes
/// without an answer.
///
/// # Errors
/// When nobody listens, nothing happens for a minute, or there is more than one
/// answer.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> anyhow::Result<Option<Response>> {
    let mut answers = answers(address, bytes).await?;
    ensure!(answers.len() < 2, "more than one answer: {answers:?}");
    Ok(answers.pop())
}

/// The same with as many answers as there are.
///
/// # Errors
/// When nobody listens, nothing happens for a minute, or what comes is no answer.
pub async fn answers(address: SocketAddr, bytes: &[u8]) -> anyhow::Result<Vec<Response>> {
    let mut stream = TcpStream::connect(address).await?;
    // It may answer and close before all is written, which is not an error here.
    let _ = stream.write_all(bytes).await;
    Response::all(&read(&mut stream).await?)
}

/// Reads until the other side closes.
///
/// # Errors
/// When it has not after a minute.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> anyhow::Result<Vec<u8>> {
    let mut said = Vec::new();
    let reading = async {
        let mut buffer = [0; 8_192];
        loop {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(read) => said.extend_from_slice(&buffer[..read]),
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading)
        .await
        .context("the connection is not closed")?;
    Ok(said)
}
