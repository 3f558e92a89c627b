//! What is written, and under which address.

use domain_effect::Operation;
use serde_json::json;

use super::{around, effect};
use crate::connector::CallError;

#[tokio::test]
async fn a_record_is_created_updated_and_archived() {
    let (crm, hubspot) = around().await;
    let create = effect(
        Operation::Create,
        "T-1",
        json!({"subject": "Refund", "hs_ticket_priority": 3, "hs_resolution": null, "content": true}),
    );
    let created = hubspot.write(&create).await.unwrap();
    let tickets = crm.tickets().await;
    assert_eq!(tickets.len(), 1);
    assert_eq!(tickets[0]["id"], created.remote_id.as_str());
    assert_eq!(tickets[0]["updatedAt"], created.remote_version.as_str());
    assert_eq!(tickets[0]["properties"]["agentmesh_id"], "T-1");
    assert_eq!(tickets[0]["properties"]["hs_ticket_priority"], "3");
    assert_eq!(tickets[0]["properties"]["content"], "true");
    assert_eq!(hubspot.find(&create).await, Ok(Some(created.clone())));

    let update = effect(Operation::Update, "T-1", json!({"subject": "Refunded"}));
    assert_eq!(hubspot.find(&update).await, Ok(None));
    let updated = hubspot.write(&update).await.unwrap();
    assert_eq!(updated.remote_id, created.remote_id);
    assert_eq!(hubspot.find(&update).await, Ok(Some(updated)));

    let archive = effect(Operation::Archive, "T-1", json!({}));
    assert_eq!(hubspot.find(&archive).await, Ok(None));
    let archived = hubspot.write(&archive).await.unwrap();
    assert_eq!(archived.remote_id, created.remote_id);
    assert_eq!(archived.remote_version, "archived");
    assert!(crm.tickets().await.is_empty());
    assert!(hubspot.find(&archive).await.unwrap().is_some());
    // What is gone is archived.
    let again = hubspot.write(&archive).await.unwrap();
    assert_eq!(again.remote_version, "archived");
    let token = crm.calls()[0].authorization.clone();
    assert_eq!(token, "Bearer sandbox-token");
}

#[tokio::test]
async fn an_upsert_lands_on_the_same_record() {
    let (crm, hubspot) = around().await;
    let first = effect(Operation::Upsert, "T-1", json!({"subject": "Refund"}));
    let written = hubspot.write(&first).await.unwrap();
    let second = effect(Operation::Upsert, "T-1", json!({"content": "Done"}));
    let changed = hubspot.write(&second).await.unwrap();
    assert_eq!(changed.remote_id, written.remote_id);
    let tickets = crm.tickets().await;
    assert_eq!(tickets.len(), 1);
    assert_eq!(tickets[0]["properties"]["subject"], "Refund");
    assert_eq!(tickets[0]["properties"]["content"], "Done");
}

#[tokio::test]
async fn a_conflict_is_ours_or_somebody_elses() {
    let (crm, hubspot) = around().await;
    let create = effect(Operation::Create, "T-1", json!({"subject": "Refund"}));
    let created = hubspot.write(&create).await.unwrap();
    // An attempt whose answer was lost left it there.
    assert_eq!(hubspot.write(&create).await.unwrap(), created);

    crm.meddle(&created.remote_id, json!({"subject": "Mine"}))
        .await;
    let refused = hubspot.write(&create).await.unwrap_err();
    assert!(
        matches!(
            refused,
            CallError::Refused {
                code: "conflict",
                ..
            }
        ),
        "{refused}"
    );
    assert_eq!(crm.tickets().await.len(), 1);
}

#[tokio::test]
async fn what_the_system_refuses_is_refused() {
    let (crm, hubspot) = around().await;
    let properties = || json!({"subject": "x"});
    let unknown_object = domain_effect::EffectRequested {
        object: "no such".to_owned(),
        ..effect(Operation::Create, "T-1", properties())
    };
    let not_unique = domain_effect::EffectRequested {
        id_property: "subject".to_owned(),
        ..effect(Operation::Update, "T-1", properties())
    };
    for (effect, wanted) in [
        (effect(Operation::Update, "T-1", properties()), "not-found"),
        (
            effect(Operation::Upsert, "T-1", json!({"no_such": "x"})),
            "rejected",
        ),
        (effect(Operation::Create, "T-1", json!(["x"])), "rejected"),
        (
            effect(Operation::Update, "T-1", json!({"subject": {"deep": 1}})),
            "rejected",
        ),
        (unknown_object, "not-found"),
        (not_unique, "rejected"),
    ] {
        match hubspot.write(&effect).await {
            Err(CallError::Refused { code, .. }) => assert_eq!(code, wanted, "{effect:?}"),
            other => panic!("{effect:?}: {other:?}"),
        }
        // Nor is a doubt about it, after a crash, one for ever.
        assert_eq!(hubspot.find(&effect).await, Ok(None), "{effect:?}");
    }
    assert!(crm.tickets().await.is_empty());
}

#[tokio::test]
async fn any_external_id_addresses_its_own_record() {
    let (crm, hubspot) = around().await;
    let ids = [
        "a/b",
        "a b",
        "ä€😀",
        "a?b=c&d",
        "50%",
        "%2F",
        "a#b",
        "a+b",
        "..a",
        "a/../b",
        "\u{7f}\t",
    ];
    for id in ids {
        let create = effect(Operation::Create, id, json!({"subject": id}));
        let created = hubspot.write(&create).await.unwrap();
        for operation in [Operation::Update, Operation::Upsert] {
            let change = effect(operation, id, json!({"content": operation.as_str()}));
            let changed = hubspot.write(&change).await.unwrap();
            assert_eq!(changed.remote_id, created.remote_id, "{id}");
            assert_eq!(hubspot.find(&change).await, Ok(Some(changed)), "{id}");
        }
    }
    assert_eq!(crm.tickets().await.len(), ids.len());
    for (left, id) in (0..ids.len()).rev().zip(ids) {
        let archive = effect(Operation::Archive, id, json!({}));
        hubspot.write(&archive).await.unwrap();
        assert_eq!(crm.tickets().await.len(), left, "{id}");
    }
}

#[tokio::test]
async fn what_no_path_can_address_is_refused_unsent() {
    let (crm, hubspot) = around().await;
    for id in ["", ".", ".."] {
        for operation in [
            Operation::Create,
            Operation::Update,
            Operation::Upsert,
            Operation::Archive,
        ] {
            let refused = hubspot.write(&effect(operation, id, json!({}))).await;
            assert!(
                matches!(
                    refused,
                    Err(CallError::Refused {
                        code: "rejected",
                        ..
                    })
                ),
                "{id}: {refused:?}"
            );
        }
    }
    assert!(crm.calls().is_empty());
}
