//! What is known of a write whose call failed.

use std::time::Duration;

use domain_effect::Operation;
use serde_json::{Value, json};

use super::crm::Mood;
use super::{around, effect, hubspot};
use crate::connector::CallError;

#[derive(Debug, PartialEq)]
enum Kind {
    Refused(&'static str),
    NotDone(Option<u64>),
    InDoubt,
    Held,
    NotOurs,
}

fn kind(error: &CallError) -> Kind {
    match error {
        CallError::Refused { code, .. } => Kind::Refused(code),
        CallError::NotDone { retry_after, .. } => {
            Kind::NotDone(retry_after.map(|wait| wait.as_secs()))
        }
        CallError::InDoubt { .. } => Kind::InDoubt,
        CallError::Held { .. } => Kind::Held,
        CallError::NotOurs => Kind::NotOurs,
    }
}

#[tokio::test]
async fn each_status_says_what_is_known_of_the_write() {
    let (crm, _) = around().await;
    let after_7 = || vec![("retry-after", "7")];
    for (status, headers, wanted) in [
        (400, vec![], Kind::Refused("rejected")),
        (401, vec![], Kind::Refused("unauthorised")),
        (403, vec![], Kind::Refused("unauthorised")),
        (404, vec![], Kind::Refused("not-found")),
        (
            302,
            vec![("location", "/elsewhere")],
            Kind::Refused("rejected"),
        ),
        (429, after_7(), Kind::NotDone(Some(7))),
        (429, vec![], Kind::NotDone(None)),
        (429, vec![("retry-after", "soon")], Kind::NotDone(None)),
        (
            429,
            vec![("retry-after", "18446744073709551615")],
            Kind::NotDone(Some(3_600)),
        ),
        (423, vec![], Kind::NotDone(Some(2))),
        (477, after_7(), Kind::NotDone(Some(7))),
        (503, after_7(), Kind::NotDone(Some(7))),
        (503, vec![], Kind::InDoubt),
        (408, vec![], Kind::InDoubt),
        (500, vec![], Kind::InDoubt),
        (502, vec![], Kind::InDoubt),
        (504, vec![], Kind::InDoubt),
        // A success that names no record.
        (200, vec![], Kind::InDoubt),
    ] {
        for operation in [Operation::Create, Operation::Update, Operation::Upsert] {
            let hubspot = hubspot(&crm.url);
            let body = json!({"message": "because"});
            crm.moods([Mood::Say(status, headers.clone(), body)]);
            let error = hubspot
                .write(&effect(operation, "T-1", json!({"subject": "x"})))
                .await
                .unwrap_err();
            assert_eq!(kind(&error), wanted, "{status} to {operation:?}: {error}");
        }
    }
    assert!(crm.tickets().await.is_empty());
}

#[tokio::test]
async fn a_system_that_asks_for_a_pause_is_left_alone() {
    let (crm, hubspot) = around().await;
    let write = |id: &str| effect(Operation::Upsert, id, json!({"subject": "x"}));
    crm.moods([Mood::Say(429, vec![("retry-after", "1")], Value::Null)]);
    hubspot.write(&write("T-1")).await.unwrap_err();
    // Another effect is held back as well: the portal counts calls, not effects.
    let Err(CallError::Held { retry_after, .. }) = hubspot.write(&write("T-2")).await else {
        panic!("it was not held back");
    };
    assert!(retry_after <= Duration::from_secs(1));
    assert_eq!(crm.calls().len(), 1);
    tokio::time::sleep(retry_after).await;
    hubspot.write(&write("T-2")).await.unwrap();
}

#[tokio::test]
async fn what_was_done_before_the_answer_was_lost_is_found() {
    for operation in [
        Operation::Create,
        Operation::Update,
        Operation::Upsert,
        Operation::Archive,
    ] {
        let (crm, hubspot) = around().await;
        let properties = match operation {
            Operation::Archive => json!({}),
            _ => json!({"subject": "Refund", "content": ""}),
        };
        let write = effect(operation, "T-1", properties);
        if matches!(operation, Operation::Update | Operation::Archive) {
            let before = effect(Operation::Create, "T-1", json!({"subject": "Old"}));
            hubspot.write(&before).await.unwrap();
        }
        if operation == Operation::Archive {
            // It reads before it deletes.
            crm.moods([Mood::Pass]);
        }
        assert_eq!(hubspot.find(&write).await, Ok(None), "{operation:?}");
        if operation == Operation::Archive {
            crm.moods([Mood::Pass]);
        }
        crm.moods([Mood::DoAndHang]);
        let error = hubspot.write(&write).await.unwrap_err();
        assert_eq!(kind(&error), Kind::InDoubt, "{operation:?}: {error}");
        let found = hubspot.find(&write).await.unwrap().unwrap();
        // Made again all the same, it changes nothing.
        let again = hubspot.write(&write).await.unwrap();
        assert_eq!(
            crm.tickets().await.len(),
            usize::from(operation != Operation::Archive)
        );
        if operation != Operation::Archive {
            assert_eq!(again.remote_id, found.remote_id);
        }
    }
}

#[tokio::test]
async fn a_doubt_is_not_settled_by_a_failed_read() {
    let (crm, hubspot) = around().await;
    let write = effect(Operation::Upsert, "T-1", json!({"subject": "x"}));
    for (status, wanted) in [
        (500, Kind::InDoubt),
        (401, Kind::Refused("unauthorised")),
        (429, Kind::NotDone(None)),
    ] {
        crm.says(status, Value::Null);
        let error = hubspot.find(&write).await.unwrap_err();
        assert_eq!(kind(&error), wanted);
    }
}

#[tokio::test]
async fn where_nobody_listens_nothing_is_done() {
    let port = platform_testkit::free_port().unwrap();
    let hubspot = hubspot(&format!("http://127.0.0.1:{port}"));
    for operation in [Operation::Create, Operation::Upsert, Operation::Archive] {
        let error = hubspot
            .write(&effect(operation, "T-1", json!({})))
            .await
            .unwrap_err();
        assert_eq!(kind(&error), Kind::NotDone(None), "{operation:?}: {error}");
    }
}

#[tokio::test]
async fn a_failing_system_is_left_alone() {
    let (crm, hubspot) = around().await;
    let write = effect(Operation::Update, "T-1", json!({"subject": "x"}));
    for _ in 0..5 {
        crm.says(500, Value::Null);
        assert_eq!(
            kind(&hubspot.write(&write).await.unwrap_err()),
            Kind::InDoubt
        );
    }
    assert_eq!(kind(&hubspot.write(&write).await.unwrap_err()), Kind::Held);
    assert_eq!(kind(&hubspot.find(&write).await.unwrap_err()), Kind::Held);
    assert_eq!(crm.calls().len(), 5);
}

#[tokio::test]
async fn refusals_do_not_open_the_circuit() {
    let (crm, hubspot) = around().await;
    let write = effect(Operation::Update, "T-1", json!({"subject": "x"}));
    for _ in 0..8 {
        crm.says(401, Value::Null);
        let error = hubspot.write(&write).await.unwrap_err();
        assert_eq!(kind(&error), Kind::Refused("unauthorised"));
    }
}
