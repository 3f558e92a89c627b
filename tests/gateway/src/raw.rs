//! HTTP/1.1 by hand.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
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

    /// Head and body, as they go out.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    pub fn head(&self) -> Vec<u8> {
        let mut bytes = format!(
            "{} {} HTTP/1.1\r\nhost: mesh.test\r\nconnection: close\r\n",
            self.method, self.target
        )
        .into_bytes();
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

    fn parse(bytes: &[u8]) -> Option<Self> {
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
        Some(Self {
            status,
            headers,
            body: rest.to_vec(),
        })
    }
}

/// Writes `bytes` and reads until the other side closes. None when it closes
/// without an answer.
///
/// # Errors
/// When nobody listens, or nothing happens for a minute.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> anyhow::Result<Option<Response>> {
    let mut stream = TcpStream::connect(address).await?;
    // It may answer and close before all is written, which is not an error here.
    let _ = stream.write_all(bytes).await;
    read(&mut stream).await
}

/// # Errors
/// When nothing happens for a minute.
pub(crate) async fn read(stream: &mut TcpStream) -> anyhow::Result<Option<Response>> {
    let mut answer = Vec::new();
    let reading = async {
        let mut buffer = [0; 8_192];
        loop {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(read) => answer.extend_from_slice(&buffer[..read]),
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading)
        .await
        .context("the connection was neither answered nor closed")?;
    Ok(Response::parse(&answer))
}
