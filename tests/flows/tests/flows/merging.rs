use tests_kit::{Ticket, of_name};

use crate::shared_mesh;

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_told_again_is_merged_and_another_amount_is_not() {
    let mesh = shared_mesh().await;
    let observer = mesh.observer().await.unwrap();
    let sender = mesh.sender().unwrap();

    let first = Ticket::new("MERGE-1");
    let told_again = Ticket {
        id: "MERGE-2".to_owned(),
        delivery_id: "msg_MERGE-2".to_owned(),
        text: first.text.replace("Kind regards", "Best regards"),
        ..first.clone()
    };
    let other_amount = Ticket {
        id: "MERGE-3".to_owned(),
        delivery_id: "msg_MERGE-3".to_owned(),
        amount: "129.80".to_owned(),
        ..first.clone()
    };

    sender.deliver(&first).await.unwrap();
    let trail = observer
        .recorded(first.correlation(), "WorkflowSucceeded")
        .await
        .unwrap();
    let shared = &of_name(&trail, "ContextShared")[0].body;

    sender.deliver(&told_again).await.unwrap();
    let merged = observer
        .recorded(told_again.correlation(), "ContextMerged")
        .await
        .unwrap();
    let merged = &of_name(&merged, "ContextMerged")[0].body;
    assert_eq!(merged["context_id"], shared["context_id"]);
    assert_eq!(merged["exact"], false);
    let cosine = merged["cosine"].as_f64().unwrap();
    assert!(cosine > 0.95 && cosine < 1.0, "{cosine}");

    sender.deliver(&other_amount).await.unwrap();
    let apart = observer
        .recorded(other_amount.correlation(), "WorkflowSucceeded")
        .await
        .unwrap();
    let kept = &of_name(&apart, "ContextShared")[0].body;
    assert_ne!(kept["context_id"], shared["context_id"]);
    // It was near enough to be merged, and its figures kept it apart.
    assert!(kept["neighbour"]["cosine"].as_f64().unwrap() > 0.95);
    assert!(kept["neighbour"]["kept_apart"].is_string());

    // The merged one comes before the last in the same partition, and led to nothing.
    for (topic, name) in [
        ("mesh.contexts", "ContextShared"),
        ("mesh.notifications", "SubscriberNotified"),
        ("mesh.workflows", "WorkflowStarted"),
        ("mesh.outcomes", "EffectConfirmed"),
    ] {
        for (ticket, count) in [(&first, 1), (&told_again, 0), (&other_amount, 1)] {
            let counted = observer
                .count(topic, ticket.correlation(), name)
                .await
                .unwrap();
            assert_eq!(counted, count, "{name} of {}", ticket.id);
        }
    }
    let crm = mesh.crm().unwrap();
    assert_eq!(crm.records(&first.id).await.unwrap().len(), 1);
    assert_eq!(crm.records(&told_again.id).await.unwrap().len(), 0);
    assert_eq!(crm.records(&other_amount.id).await.unwrap().len(), 1);

    // The agent saw the first ticket when it was given the last.
    let started = &of_name(&apart, "ExecutionStarted")[0].body;
    let seen = started["shown"].as_array().unwrap();
    assert!(seen.contains(&shared["context_id"]), "{seen:?}");

    // Whoever asks about the merged delivery is led to the first one's context.
    let id = told_again.correlation().as_uuid();
    let query = "SELECT context_id::text FROM contexts.merged WHERE correlation = $1";
    let rows = observer.rows(query, &[&id]).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].get::<_, &str>(0), shared["context_id"]);
}
