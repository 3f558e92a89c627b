//! Upserts that travel together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain_effect::{EffectRequested, Operation};
use futures::future::{BoxFuture, JoinAll, join_all};
use futures::poll;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::crm::{Crm, Mood};
use super::{Portal, around, effect};
use crate::connector::{CallError, Connector as _, Ownership, Written};

type Answer<'a> = BoxFuture<'a, Result<Written, CallError>>;
type Answers<'a> = JoinAll<Answer<'a>>;

/// A process that is told when it loses its effects.
#[derive(Default)]
struct UntilLost(AtomicBool);

impl Ownership for UntilLost {
    fn confirm(&self) -> BoxFuture<'_, bool> {
        Box::pin(async { !self.0.load(Ordering::SeqCst) })
    }
}

fn upserts(count: usize) -> Vec<EffectRequested> {
    (0..count)
        .map(|number| {
            let id = format!("T-{number}");
            effect(Operation::Upsert, &id, json!({"subject": id}))
        })
        .collect()
}

/// Puts `effects` in line behind a call that is under way, lets that one go on
/// once all are there, and returns the answers to come.
async fn in_line<'a>(
    crm: &Crm,
    hubspot: &'a Portal,
    first: &EffectRequested,
    effects: &'a [EffectRequested],
    moods: impl IntoIterator<Item = Mood>,
) -> Answers<'a> {
    let (gate, under_way) = under_way(crm, hubspot, first).await;
    crm.moods(moods);
    let mut answers = join_all(effects.iter().map(|effect| hubspot.write(effect)));
    assert!(poll!(&mut answers).is_pending());
    gate.notify_one();
    under_way.await.unwrap();
    answers
}

/// A write whose call is under way, until the gate is opened.
async fn under_way<'a>(
    crm: &Crm,
    hubspot: &'a Portal,
    effect: &'a EffectRequested,
) -> (Arc<Notify>, Answer<'a>) {
    let gate = Arc::new(Notify::new());
    crm.moods([Mood::Wait(Arc::clone(&gate))]);
    let mut answer = hubspot.write(effect);
    tokio::select! {
        () = crm.called(1) => {}
        early = &mut answer => panic!("answered before its time: {early:?}"),
    }
    (gate, answer)
}

fn sizes(crm: &Crm) -> Vec<usize> {
    crm.calls()
        .iter()
        .map(|call| call.body["inputs"].as_array().map_or(0, Vec::len))
        .collect()
}

fn first() -> EffectRequested {
    effect(Operation::Upsert, "first", json!({"subject": "first"}))
}

#[tokio::test]
async fn what_waits_at_the_same_time_travels_together() {
    let (crm, hubspot) = around().await;
    let effects = upserts(95);
    let answers = in_line(&crm, &hubspot, &first(), &effects, []).await;
    let answers = answers.await;
    assert_eq!(sizes(&crm), [1, 95]);
    let tickets = crm.tickets().await;
    assert_eq!(tickets.len(), 96);
    // Each caller has the answer about its own record.
    for (effect, answer) in effects.iter().zip(answers) {
        let remote_id = answer.unwrap().remote_id;
        let ticket = tickets
            .iter()
            .find(|ticket| ticket["id"] == remote_id.as_str());
        assert_eq!(
            ticket.unwrap()["properties"]["agentmesh_id"],
            effect.external_id.as_str()
        );
    }
}

#[tokio::test]
async fn a_batch_is_no_larger_than_hubspot_takes() {
    let (crm, hubspot) = around().await;
    let effects = upserts(150);
    let answers = in_line(&crm, &hubspot, &first(), &effects, []).await;
    assert!(answers.await.iter().all(Result::is_ok));
    assert_eq!(sizes(&crm), [1, 100, 50]);
}

/// Three upserts of which the second is not to be written.
fn one_bad() -> Vec<EffectRequested> {
    let mut effects = upserts(3);
    effects[1] = effect(Operation::Upsert, "T-1", json!({"no_such": "x"}));
    effects
}

async fn expect_one_refused(crm: &Crm, answers: Answers<'_>) {
    let answers = answers.await;
    assert!(answers[0].is_ok() && answers[2].is_ok(), "{answers:?}");
    assert!(
        matches!(
            answers[1],
            Err(CallError::Refused {
                code: "rejected",
                ..
            })
        ),
        "{answers:?}"
    );
    assert_eq!(crm.tickets().await.len(), 3);
}

#[tokio::test]
async fn an_item_error_is_for_its_own_item() {
    let (crm, hubspot) = around().await;
    let effects = one_bad();
    let answers = in_line(&crm, &hubspot, &first(), &effects, []).await;
    expect_one_refused(&crm, answers).await;
    assert_eq!(sizes(&crm), [1, 3]);
}

#[tokio::test]
async fn one_bad_input_that_refuses_the_batch_is_found_out() {
    let (crm, hubspot) = around().await;
    let effects = one_bad();
    let refusal = Mood::Say(400, Vec::new(), json!({"message": "no such property"}));
    let answers = in_line(&crm, &hubspot, &first(), &effects, [refusal]).await;
    expect_one_refused(&crm, answers).await;
    assert_eq!(sizes(&crm), [1, 3, 1, 1, 1]);
}

#[tokio::test]
async fn an_item_error_without_a_name_is_found_out() {
    for status in [200, 207] {
        let (crm, hubspot) = around().await;
        let effects = one_bad();
        let body = json!({
            "results": [{
                "id": "1", "updatedAt": "2026-11-22T10:00:00.000Z",
                "objectWriteTraceId": effects[0].effect_id.to_string(),
            }],
            "errors": [{"category": "VALIDATION_ERROR", "message": "one of them", "context": {}}],
        });
        let answer = Mood::Say(status, Vec::new(), body);
        let answers = in_line(&crm, &hubspot, &first(), &effects, [answer]).await;
        let answers = answers.await;
        assert!(answers[0].is_ok() && answers[2].is_ok(), "{answers:?}");
        assert!(matches!(answers[1], Err(CallError::Refused { .. })));
        // The first was settled by the batch's answer.
        assert_eq!(sizes(&crm), [1, 3, 1, 1]);
    }
}

#[tokio::test]
async fn an_item_error_for_the_only_item_says_why() {
    let (crm, hubspot) = around().await;
    for (category, wanted) in [
        ("VALIDATION_ERROR", "rejected"),
        ("CONFLICT", "conflict"),
        ("OBJECT_NOT_FOUND", "not-found"),
    ] {
        crm.says(
            207,
            json!({"errors": [{"category": category, "message": "why"}]}),
        );
        let answer = hubspot.write(&first()).await;
        let expected = CallError::Refused {
            code: wanted,
            reason: "why".to_owned(),
        };
        assert_eq!(answer, Err(expected));
    }
    crm.says(200, json!({"errors": [{"category": "RATE_LIMITS"}]}));
    let answer = hubspot.write(&first()).await;
    assert!(matches!(answer, Err(CallError::NotDone { .. })));
}

#[tokio::test]
async fn what_concerns_all_is_not_asked_one_by_one() {
    for status in [401, 429, 500] {
        let (crm, hubspot) = around().await;
        let effects = upserts(3);
        let answer = Mood::Say(status, Vec::new(), Value::Null);
        let answers = in_line(&crm, &hubspot, &first(), &effects, [answer]).await;
        let answers = answers.await;
        assert!(answers.iter().all(|answer| *answer == answers[0]));
        assert!(answers[0].is_err());
        assert_eq!(sizes(&crm), [1, 3]);
    }
}

#[tokio::test]
async fn a_write_nobody_waits_for_any_more_is_not_made() {
    let (crm, hubspot) = around().await;
    let first = first();
    let (gate, under_way) = under_way(&crm, &hubspot, &first).await;
    let effects = upserts(2);
    let mut given_up = hubspot.write(&effects[0]);
    let mut kept = hubspot.write(&effects[1]);
    assert!(poll!(&mut given_up).is_pending());
    assert!(poll!(&mut kept).is_pending());
    drop(given_up);
    gate.notify_one();
    under_way.await.unwrap();
    kept.await.unwrap();
    let ids: Vec<Value> = crm
        .tickets()
        .await
        .iter()
        .map(|ticket| ticket["properties"]["agentmesh_id"].clone())
        .collect();
    assert_eq!(ids, ["first", "T-1"]);
}

#[tokio::test]
async fn a_write_that_lost_its_effect_in_the_line_is_not_made() {
    let (crm, hubspot) = around().await;
    let first = first();
    let (gate, under_way) = under_way(&crm, &hubspot, &first).await;
    let effects = upserts(2);
    let owner = UntilLost::default();
    let mut lost = hubspot.0.write(&effects[0], &owner);
    let mut kept = hubspot.write(&effects[1]);
    assert!(poll!(&mut lost).is_pending());
    assert!(poll!(&mut kept).is_pending());
    owner.0.store(true, Ordering::SeqCst);
    gate.notify_one();
    under_way.await.unwrap();
    let (lost, kept) = tokio::join!(lost, kept);
    assert_eq!(lost, Err(CallError::NotOurs));
    kept.unwrap();
    assert_eq!(crm.tickets().await.len(), 2, "the first and the kept one");
    for operation in [Operation::Create, Operation::Update, Operation::Archive] {
        let effect = effect(operation, "first", json!({"subject": "again"}));
        let answer = hubspot.0.write(&effect, &owner).await;
        assert_eq!(answer, Err(CallError::NotOurs), "{operation:?}");
    }
    let tickets = crm.tickets().await;
    assert_eq!(tickets.len(), 2, "nothing is made nor archived");
    assert!(
        tickets
            .iter()
            .all(|ticket| ticket["properties"]["subject"] != "again"),
        "nor changed"
    );
}
