//! B23, B45, B46: what is wrong with the connection.

use std::time::{Duration, Instant};

use platform_testkit::eventually;
use tests_gateway::{Ground, Kept, Row, body, exchange};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{OnTheLog, digest, note};

pub(crate) async fn run(ground: &Ground, due: &mut OnTheLog) -> Vec<Row> {
    vec![
        slow(ground).await,
        rapid_reset(ground).await,
        gone(ground, due).await,
    ]
}

/// Reads until the other side closes or nothing more comes; what was said.
async fn rest(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    let reading = stream.read_to_end(&mut said);
    let _ = tokio::time::timeout(Duration::from_secs(60), reading)
        .await
        .expect("the connection is closed in time");
    String::from_utf8_lossy(&said).into_owned()
}

/// A hundred connections whose headers never end, and a body at a byte a second.
/// Meanwhile others are served.
async fn slow(ground: &Ground) -> Row {
    let memory = ground.memory();
    let before = memory.begin();
    let mut dripping = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(ground.address()).await.unwrap();
        stream
            .write_all(b"POST /hooks/strict HTTP/1.1\r\nhost: x\r\nx-a: ")
            .await
            .unwrap();
        dripping.push(stream);
    }
    let request = ground.delivery("b23", &body("b23"));
    let mut slow = TcpStream::connect(ground.address()).await.unwrap();
    slow.write_all(&request.head()).await.unwrap();
    let begun = Instant::now();
    let (mut half, mut other) = slow.into_split();
    let body = request.body.clone();
    let writing = tokio::spawn(async move {
        for byte in body {
            if other.write_all(&[byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let mut said = Vec::new();
    let reading = half.read_to_end(&mut said);
    let _ = tokio::time::timeout(Duration::from_secs(60), reading)
        .await
        .expect("a slow body is cut");
    let cut_after = begun.elapsed();
    writing.abort();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.starts_with("HTTP/1.1 408"), "{said}");
    // Others were not kept waiting by those that drip.
    let unsigned = ground.delivery("b23-other", b"{}").without("webhook-id");
    let answer = exchange(ground.address(), &unsigned.to("/hooks/nobody").bytes()).await;
    assert_eq!(answer.unwrap().unwrap().status, 401);
    for mut stream in dripping {
        // Answered with 408 or closed, but not kept.
        let said = rest(&mut stream).await;
        assert!(
            said.is_empty() || said.starts_with("HTTP/1.1 408"),
            "{said}"
        );
    }
    println!("B23: a body at a byte a second is cut after {cut_after:?}");
    Row {
        row: 23,
        what: "100 connections with headers that never end; a body at 1 B/s".to_owned(),
        requests: 101,
        answers: "headers: closed; body: 408 `request-timeout`".to_owned(),
        kept: "none".to_owned(),
        memory: memory.peak().saturating_sub(before),
    }
}

/// The preface of HTTP/2 and a thousand streams, each reset at once. In clear the
/// gateway speaks HTTP/1.1 only, so the preface is where it ends.
async fn rapid_reset(ground: &Ground) -> Row {
    let memory = ground.memory();
    let before = memory.begin();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS, empty.
    bytes.extend_from_slice(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
    for stream in (1_u32..2_000).step_by(2) {
        // HEADERS that end headers and stream: `:method: GET`, `:path: /`, `:scheme: http`.
        bytes.extend_from_slice(&[0, 0, 3, 1, 5]);
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.extend_from_slice(&[0x82, 0x84, 0x86]);
        // RST_STREAM with CANCEL.
        bytes.extend_from_slice(&[0, 0, 4, 3, 0]);
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.extend_from_slice(&8_u32.to_be_bytes());
    }
    let mut stream = TcpStream::connect(ground.address()).await.unwrap();
    let _ = stream.write_all(&bytes).await;
    let said = rest(&mut stream).await;
    assert!(
        said.is_empty() || said.starts_with("HTTP/1.1 4") || said.starts_with("HTTP/1.1 505"),
        "{said:?}"
    );
    let answered = said.split(' ').nth(1).unwrap_or("closed").to_owned();
    Row {
        row: 45,
        what: "HTTP/2 rapid reset: 1,000 streams opened and reset, in clear".to_owned(),
        requests: 1_000,
        answers: format!("{answered}, then closed: in clear there is no HTTP/2"),
        kept: "none".to_owned(),
        memory: memory.peak().saturating_sub(before),
    }
}

/// Clients that are gone once the body is out, or half of it.
async fn gone(ground: &Ground, due: &mut OnTheLog) -> Row {
    let memory = ground.memory();
    let before = memory.begin();
    let whole = ground.delivery("b46", &body("b46"));
    let mut stream = TcpStream::connect(ground.address()).await.unwrap();
    stream.write_all(&whole.bytes()).await.unwrap();
    drop(stream);
    let half = ground.delivery("b46-half", &body("b46-half"));
    let mut stream = TcpStream::connect(ground.address()).await.unwrap();
    let bytes = half.bytes();
    stream.write_all(&bytes[..bytes.len() - 20]).await.unwrap();
    drop(stream);
    // Whether the first was kept or not: sent again, it is kept once.
    eventually(Duration::from_secs(60), || async {
        let answer = exchange(ground.address(), &whole.bytes())
            .await
            .unwrap()
            .unwrap();
        assert!(matches!(answer.status, 202 | 409), "{}", answer.status);
        answer.status == 202
    })
    .await
    .unwrap();
    note(due, &whole.body, Kept::Delivery);
    let halves = digest(&half.body);
    assert!(!due.contains_key(&halves));
    Row {
        row: 46,
        what: "the client is gone after the body, and after half of it".to_owned(),
        requests: 3,
        answers: "nobody is there; sent again: 202".to_owned(),
        kept: "one DeliveryAccepted of the whole, none of the half".to_owned(),
        memory: memory.peak().saturating_sub(before),
    }
}
