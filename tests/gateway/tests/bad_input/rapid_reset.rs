//! B45: streams of HTTP/2 that are opened and reset at once (CVE-2023-44487),
//! frame by frame.

use futures::future::join_all;
use tests_gateway::{Ground, Kept, Row, Secure, answers, body};

use crate::{OnTheLog, note};

const CONNECTIONS: usize = 10;
const STREAMS: u32 = 1_000;

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_HEADERS: u8 = 4;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

/// Over TLS, where the gateway speaks HTTP/2, the connection is ended, and who
/// delivers meanwhile is served. In clear the preface is where it ends.
pub(crate) async fn run(ground: &Ground, due: &mut OnTheLog) -> Row {
    let secure = Secure::beside(ground).await.unwrap();
    let attack = attack();
    // What a first delivery takes is not of this row.
    delivered(ground, &secure, due, "b45-before").await;
    let memory = secure.memory().begin().unwrap();
    let attacks = join_all((0..CONNECTIONS).map(|_| secure.say("h2", &attack)));
    let (said, ()) = tokio::join!(attacks, delivered(ground, &secure, due, "b45-during"));
    for said in said {
        assert_eq!(goaway(&said.unwrap()), Some(ENHANCE_YOUR_CALM));
    }
    delivered(ground, &secure, due, "b45-after").await;
    assert!(secure.is_alive());
    let memory = memory.peak().unwrap();

    let said = answers(ground.address(), &attack).await.unwrap();
    assert!(said.iter().all(|answer| answer.status == 400), "{said:?}");
    let answered = said
        .first()
        .map_or("closed".to_owned(), |answer| answer.status.to_string());
    Row {
        row: 45,
        what: format!(
            "HTTP/2 rapid reset: {CONNECTIONS} connections of {STREAMS} streams opened and reset; the same in clear; others meanwhile"
        ),
        requests: (CONNECTIONS + 1) * STREAMS as usize + 3,
        answers: format!(
            "GOAWAY with `ENHANCE_YOUR_CALM`; in clear, where there is no HTTP/2: {answered}; others: 202"
        ),
        kept: "none; DeliveryAccepted of the others".to_owned(),
        memory,
    }
}

async fn delivered(ground: &Ground, secure: &Secure, due: &mut OnTheLog, name: &str) {
    let request = ground.delivery(name, &body(name));
    let answer = secure.exchange(&request.bytes()).await.unwrap();
    assert_eq!(answer.status, 202, "{name}: {answer:?}");
    note(due, &request.body, Kept::Delivery);
}

/// The preface, and deliveries that are reset before their body.
fn attack() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frame(&mut bytes, SETTINGS, 0, 0, &[]);
    // By the static table: POST, the path, https, the authority, the content type.
    let head = b"\x83\x44\x0d/hooks/strict\x87\x41\x09localhost\x5f\x10application/json";
    for number in 0..STREAMS {
        let stream = 2 * number + 1;
        frame(&mut bytes, HEADERS, END_HEADERS, stream, head);
        frame(&mut bytes, RST_STREAM, 0, stream, &CANCEL.to_be_bytes());
    }
    bytes
}

fn frame(to: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    to.extend_from_slice(&length[1..]);
    to.extend_from_slice(&[kind, flags]);
    to.extend_from_slice(&stream.to_be_bytes());
    to.extend_from_slice(payload);
}

/// The reason of the last GOAWAY among frames.
fn goaway(mut frames: &[u8]) -> Option<u32> {
    let mut reason = None;
    while let Some((head, rest)) = frames.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let Some((payload, rest)) = rest.split_at_checked(length) else {
            break;
        };
        if head[3] == GOAWAY {
            reason = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        frames = rest;
    }
    reason
}
