//! B39, B42: who is it, and what does the answer give away?

use std::time::{Duration, Instant};

use tests_gateway::{Case, Expect, Ground, Kept, Request, Row, TOKEN, body, exchange};

use crate::{OnTheLog, note, tells_nothing};

const TIMED: usize = 60;

pub(crate) fn cases(ground: &Ground) -> Vec<Case> {
    let with = |name: &str, key: Option<&str>| {
        let request = Request {
            method: "POST",
            target: "/hooks/token".to_owned(),
            headers: Vec::new(),
            body: body(name),
            with_length: true,
        }
        .add("content-type", "application/json")
        .add("authorization", format!("Bearer {TOKEN}"));
        match key {
            Some(key) => request.add("idempotency-key", key),
            None => request,
        }
    };
    let _ = ground;
    let bad = Expect::problem(400, "bad-request");
    vec![
        Case::new(
            39,
            "`Idempotency-Key` bare or quoted; empty, half quoted, 1 kB, twice",
        )
        .step(
            "bare",
            with("b39-0", Some("key-b39-0")),
            Expect::ACCEPTED,
            Kept::Delivery,
        )
        .step(
            "quoted",
            with("b39-1", Some("\"key-b39-1\"")),
            Expect::ACCEPTED,
            Kept::Delivery,
        )
        .step(
            "none",
            with("b39-2", None),
            Expect::ACCEPTED,
            Kept::Delivery,
        )
        .step("empty", with("b39-3", Some("")), bad, Kept::Nothing)
        .step("half", with("b39-4", Some("\"key")), bad, Kept::Nothing)
        .step(
            "1 kB",
            with("b39-5", Some(&"k".repeat(1_024))),
            bad,
            Kept::Nothing,
        )
        .step(
            "twice",
            with("b39-6", Some("a")).add("idempotency-key", "b"),
            bad,
            Kept::Nothing,
        ),
    ]
}

/// The answer about a source that is not there is the answer to a wrong
/// signature, to the byte, and takes as long.
pub(crate) async fn unknown_source_takes_as_long(ground: &Ground, due: &mut OnTheLog) -> Row {
    let memory = ground.memory().begin().unwrap();
    // Large enough for the MAC to count.
    let large = vec![b'x'; 512 * 1_024];
    let known = ground
        .delivery("b42", &large)
        .set("webhook-signature", format!("v1,{}=", "A".repeat(43)));
    let unknown = known.clone().to("/hooks/nobody");
    let mut took = [Vec::new(), Vec::new()];
    for _ in 0..TIMED {
        for (request, took) in [&known, &unknown].into_iter().zip(&mut took) {
            let bytes = request.bytes();
            let begun = Instant::now();
            let answer = exchange(ground.address(), &bytes).await.unwrap().unwrap();
            took.push(begun.elapsed());
            assert_eq!(answer.status, 401);
            tells_nothing("B42", &answer);
        }
        // Of the two requests, which have one body.
        note(due, &large, Kept::Refusal);
    }
    let [known, unknown] = took.map(median);
    let ratio = unknown.as_secs_f64() / known.as_secs_f64();
    // A machine that is busy with other things jitters by more than either takes.
    assert!((0.5..2.0).contains(&ratio), "{known:?} and {unknown:?}");
    println!("B42: median {known:?} for a known source, {unknown:?} for an unknown one");
    Row {
        row: 42,
        what: "a source that is not there, and one that is".to_owned(),
        requests: 2 * TIMED,
        answers: "401 `not-authentic`, to the byte and in the time of a wrong signature".to_owned(),
        kept: "none of the one, DeliveryRefused of the other".to_owned(),
        memory: memory.peak().unwrap(),
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
