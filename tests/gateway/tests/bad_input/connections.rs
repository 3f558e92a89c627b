//! B23, B46: what is wrong with the connection.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use platform_testkit::eventually;
use tests_gateway::{Ground, Kept, Response, Row, body, exchange, read};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::{OnTheLog, digest, note};

pub(crate) async fn run(ground: &Ground, due: &mut OnTheLog) -> Vec<Row> {
    vec![slow(ground, due).await, gone(ground, due).await]
}

/// How many are served while the body drips. The gateway cuts it after 5 s.
const OTHERS: usize = 3;

/// A hundred connections whose headers never end, and a body at a byte a second.
/// Meanwhile others are served.
async fn slow(ground: &Ground, due: &mut OnTheLog) -> Row {
    let memory = ground.memory().begin().unwrap();
    let mut headers = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(ground.address()).await.unwrap();
        stream
            .write_all(b"POST /hooks/strict HTTP/1.1\r\nhost: x\r\nx-a: ")
            .await
            .unwrap();
        headers.push(stream);
    }
    let request = ground.delivery("b23", &body("b23"));
    let mut slow = TcpStream::connect(ground.address()).await.unwrap();
    slow.write_all(&request.head()).await.unwrap();
    let begun = Instant::now();
    let (mut answering, mut dripping) = slow.into_split();
    let dripped = Arc::new(AtomicUsize::new(0));
    let drips = dripped.clone();
    let writing = tokio::spawn(async move {
        for byte in request.body {
            if dripping.write_all(&[byte]).await.is_err() {
                break;
            }
            drips.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let answer = tokio::spawn(async move { read(&mut answering).await });
    for number in 1..=OTHERS {
        // Between one byte of it and the next.
        eventually(Duration::from_secs(10), || async {
            dripped.load(Ordering::Relaxed) >= number
        })
        .await
        .unwrap();
        let name = format!("b23-other-{number}");
        let other = ground.delivery(&name, &body(&name));
        let served = exchange(ground.address(), &other.bytes()).await;
        assert_eq!(served.unwrap().unwrap().status, 202);
        note(due, &other.body, Kept::Delivery);
        assert!(!answer.is_finished(), "other {number} had to wait");
        for stream in &headers {
            let said = stream.try_read(&mut [0; 64]).map_err(|e| e.kind());
            assert_eq!(
                said,
                Err(ErrorKind::WouldBlock),
                "other {number} had to wait"
            );
        }
    }
    let said = answer.await.unwrap().expect("a slow body is cut");
    let cut_after = begun.elapsed();
    writing.abort();
    let said = Response::all(&said).unwrap();
    assert_eq!(said.len(), 1);
    assert_eq!(said[0].status, 408);
    assert_eq!(said[0].problem().as_deref(), Some("request-timeout"));
    for mut stream in headers {
        // Answered with 408 or closed, but not kept.
        let said = Response::all(&read(&mut stream).await.unwrap()).unwrap();
        assert!(said.iter().all(|answer| answer.status == 408), "{said:?}");
    }
    println!("B23: a body at a byte a second is cut after {cut_after:?}");
    Row {
        row: 23,
        what: "100 connections with headers that never end; a body at 1 B/s; others meanwhile"
            .to_owned(),
        requests: 101 + OTHERS,
        answers: "headers: closed; body: 408 `request-timeout`; others: 202 before that".to_owned(),
        kept: "none; DeliveryAccepted of the others".to_owned(),
        memory: memory.peak().unwrap(),
    }
}

/// Clients that are gone once the body is out, or half of it.
async fn gone(ground: &Ground, due: &mut OnTheLog) -> Row {
    let memory = ground.memory().begin().unwrap();
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
        memory: memory.peak().unwrap(),
    }
}
