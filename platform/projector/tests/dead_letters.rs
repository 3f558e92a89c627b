//! Records that fail by themselves: tried, given up, and handed back to the one
//! consumer that gave them up.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
#[path = "dead_letters/decider.rs"]
mod decider;
#[path = "dead_letters/executor.rs"]
mod executor;
#[path = "dead_letters/projection.rs"]
mod projection;

use common::{Bed, DEAD_LETTERS, PATIENCE};
use platform_log::{Outgoing, Record};
use platform_projector::{DeadLetter, redrive};
use platform_testkit::eventually;

async fn letters(bed: &Bed, count: usize) -> Vec<DeadLetter> {
    eventually(PATIENCE, || async {
        let records = bed.read_all(DEAD_LETTERS).await;
        let letters: Vec<DeadLetter> = records.iter().filter_map(DeadLetter::read).collect();
        (letters.len() >= count)
            .then_some(letters)
            .ok_or(records.len())
    })
    .await
    .unwrap()
}

/// What the command line appends, but for its content.
async fn hand_back(bed: &Bed, letter: &DeadLetter) {
    let event = Record {
        headers: platform_log::Headers::default(),
        value: None,
        ..letter.original.clone()
    };
    let event = Outgoing::dead_letter(DEAD_LETTERS, &event, &[]);
    bed.producer.append(redrive(event, letter)).await.unwrap();
}

async fn number_is(bed: &Bed, sql: &str, wanted: i64) {
    eventually(PATIENCE, || async {
        let found = bed.number(sql).await;
        (found == Some(wanted)).then_some(()).ok_or(found)
    })
    .await
    .unwrap();
}
