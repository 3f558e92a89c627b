//! Asking a server, in its own protocol, whether it is there.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(2);

/// Kafka answers an ApiVersions request. A KRaft broker takes no requests
/// before it has caught up with its metadata.
pub(crate) async fn kafka(address: &str) -> bool {
    // Size, then: api key 18, version 0, correlation id 1, no client id.
    const REQUEST: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
    let mut answer = [0; 10];
    // Size, correlation id, error code.
    exchange(address, &REQUEST, &mut answer).await
        && answer[4..8] == [0, 0, 0, 1]
        && answer[8..10] == [0, 0]
}

pub(crate) async fn redis(address: &str) -> bool {
    let mut answer = [0; 5];
    exchange(address, b"PING\r\n", &mut answer).await && &answer == b"+PONG"
}

/// Whether the HTTP server at `address` (`host:port`) answers 200 to a GET of `path`.
pub async fn http(address: &str, path: &str) -> bool {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let mut answer = [0; 12];
    exchange(address, request.as_bytes(), &mut answer).await && &answer == b"HTTP/1.1 200"
}

/// Sends `request` and reads as much as `answer` holds.
async fn exchange(address: &str, request: &[u8], answer: &mut [u8]) -> bool {
    let talk = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request).await?;
        stream.read_exact(answer).await
    };
    matches!(tokio::time::timeout(PATIENCE, talk).await, Ok(Ok(_)))
}
