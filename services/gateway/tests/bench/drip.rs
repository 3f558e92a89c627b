//! A sender that is slow: the head of a delivery, and its body when it pleases.

use platform_http::reqwest::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Running;

pub(crate) struct Drip {
    stream: TcpStream,
    rest: Vec<u8>,
}

/// What a slow sender is answered.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: StatusCode,
    /// Head and body as they came.
    pub(crate) text: String,
}

impl Drip {
    /// Sends the head, and the first byte of the body.
    pub(crate) async fn begin(
        gateway: &Running,
        id: &str,
        body: &str,
        (timestamp, signature): &(i64, String),
    ) -> Self {
        let address = gateway.base.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST /hooks/zapier HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nwebhook-id: {id}\r\n\
             webhook-timestamp: {timestamp}\r\nwebhook-signature: {signature}\r\n\r\n",
            body.len()
        );
        let (first, rest) = body.as_bytes().split_at(1);
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(first).await.unwrap();
        Self {
            stream,
            rest: rest.to_vec(),
        }
    }

    /// Sends what is left, which may be too late.
    pub(crate) async fn finish(&mut self) {
        let _ = self.stream.write_all(&self.rest).await;
    }

    /// Waits for the answer.
    pub(crate) async fn told(&mut self) -> Told {
        let mut text = String::new();
        self.stream.read_to_string(&mut text).await.unwrap();
        let status = text.split(' ').nth(1).unwrap().parse().unwrap();
        Told { status, text }
    }
}
