//! What `fuzz` calls of the server, without a socket. No part of the interface.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::http::HeaderMap;
use ipnet::IpNet;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::connection::Server;
use super::{Limits, forwarded, layered};

/// How often a server is let go on before its connection ends.
const TURNS: usize = 32;

/// All that is answered to `bytes` on one connection that ends with them and on
/// which at most `piece` bytes arrive at a time.
pub async fn answers(router: Router, limits: Limits, bytes: &[u8], piece: usize) -> Vec<u8> {
    let router = layered("fuzz", router, &limits);
    let server = Arc::new(Server::new("fuzz", router, limits));
    let (ours, theirs) = tokio::io::duplex(piece);
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let (mut reading, mut writing) = tokio::io::split(theirs);
    // The server may close before it has read everything.
    let sending = async {
        let _ = writing.write_all(bytes).await;
        // The end of a connection ends what is under way on it.
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
        let _ = writing.shutdown().await;
    };
    let receiving = async {
        let mut answers = Vec::new();
        let _ = reading.read_to_end(&mut answers).await;
        answers
    };
    let ((), (), answers) = tokio::join!(server.http_1(ours, peer, None), sending, receiving);
    answers
}

/// As the server finds out who is asking.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    forwarded::client_address(peer, headers, trusted)
}

#[cfg(test)]
mod tests {
    use axum::routing::post;

    use super::*;

    /// The parser's buffer grows, and spaces around a value are no part of it: a
    /// head may be longer than the limit, and what follows it longer still.
    #[tokio::test]
    async fn two_lengths_are_refused_however_far_apart() {
        let limits = Limits {
            header_bytes: 8_192,
            ..Limits::default()
        };
        for honest in (0..8_000).step_by(500) {
            for spaces in (0..14_000).step_by(500) {
                let body = "b".repeat(honest);
                let apart = " ".repeat(spaces);
                let request = format!(
                    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {honest}\r\n\r\n{body}\
                     POST /two HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nX:{apart}x\r\n\
                     Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
                );
                let router = Router::new()
                    .route("/", post(|_: String| async { "one" }))
                    .route("/two", post(|_: String| async { "two" }));
                let answers = answers(router, limits.clone(), request.as_bytes(), 1 << 20).await;
                let answers = String::from_utf8(answers).unwrap();
                assert!(answers.contains("one"), "{honest} {spaces}: {answers}");
                assert!(!answers.contains("two"), "{honest} {spaces}: {answers}");
            }
        }
    }
}
