//! B16–B18: what was sent before.

use std::collections::BTreeMap;

use futures::future::join_all;
use tests_gateway::{Ground, Kept, Request, Response, Row, body, exchange};

use crate::{OnTheLog, counted, note};

pub(crate) async fn run(ground: &Ground, due: &mut OnTheLog) -> Vec<Row> {
    let exact = ground.delivery("b16", &body("b16"));
    let other = ground.delivery("b17", &body("b17"));
    let changed = ground.delivery("b17", &body("b17-changed"));
    let one = ground.delivery("b18", &body("b18"));
    note(due, &exact.body, Kept::Delivery);
    note(due, &other.body, Kept::Delivery);
    note(due, &one.body, Kept::Delivery);
    vec![
        row(
            ground,
            16,
            "the same again",
            &[&exact, &exact, &exact],
            &|answers| {
                assert!(answers.iter().all(|answer| answer.status == 202));
                assert_eq!(replayed(answers), 2);
                assert_eq!(answers[0].body, answers[2].body);
            },
        )
        .await,
        row(
            ground,
            17,
            "the same id, another body",
            &[&other, &changed, &other],
            &|answers| {
                let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
                assert_eq!(statuses, [202, 422, 202]);
            },
        )
        .await,
        at_once(ground, &one).await,
    ]
}

async fn row(
    ground: &Ground,
    row: u8,
    what: &str,
    requests: &[&Request],
    check: &dyn Fn(&[Response]),
) -> Row {
    let memory = ground.memory().begin().unwrap();
    let mut answers = Vec::new();
    for request in requests {
        let answer = exchange(ground.address(), &request.bytes()).await.unwrap();
        answers.push(answer.unwrap());
    }
    check(&answers);
    finish(row, what, &answers, memory.peak().unwrap())
}

async fn at_once(ground: &Ground, request: &Request) -> Row {
    let memory = ground.memory().begin().unwrap();
    let bytes = request.bytes();
    let answers = join_all((0..100).map(|_| exchange(ground.address(), &bytes))).await;
    let answers: Vec<_> = answers.into_iter().map(|a| a.unwrap().unwrap()).collect();
    let first = answers.iter().filter(|a| a.status == 202).count() - replayed(&answers);
    assert_eq!(first, 1);
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer.status, 202 | 409))
    );
    finish(
        18,
        "the same id 100 times at once",
        &answers,
        memory.peak().unwrap(),
    )
}

fn replayed(answers: &[Response]) -> usize {
    let replayed = |answer: &&Response| answer.header("idempotent-replayed").is_some();
    answers.iter().filter(replayed).count()
}

fn finish(row: u8, what: &str, answers: &[Response], memory: u64) -> Row {
    let mut said = BTreeMap::new();
    for answer in answers {
        let text = match (answer.problem(), answer.header("idempotent-replayed")) {
            (Some(slug), _) => format!("{} `{slug}`", answer.status),
            (None, Some(_)) => format!("{} replayed", answer.status),
            (None, None) => answer.status.to_string(),
        };
        *said.entry(text).or_insert(0) += 1;
    }
    // How many of a hundred at once were repeats and how many were too early is chance.
    let answers_text = if row == 18 {
        let first = "1 × 202, the others 202 replayed or 409 `in-flight`";
        first.to_owned()
    } else {
        counted(&said)
    };
    Row {
        row,
        what: what.to_owned(),
        requests: answers.len(),
        answers: answers_text,
        kept: "one DeliveryAccepted".to_owned(),
        memory,
    }
}
