use futures::future::join_all;
use tests_kit::{Ticket, of_name};

use crate::shared_mesh;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_deliveries_at_once_are_one() {
    let mesh = shared_mesh().await;
    let observer = mesh.observer().await.unwrap();
    let sender = mesh.sender().unwrap();
    // The gateway knows the source from here on.
    sender.deliver(&Ticket::new("HUNDRED-0")).await.unwrap();
    let ticket = Ticket::new("HUNDRED-1");
    let correlation = ticket.correlation();

    let answers = join_all((0..100).map(|_| sender.post(&ticket))).await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    let first = answers
        .iter()
        .filter(|answer| answer.status == 202 && !answer.replayed);
    assert_eq!(first.count(), 1);
    for answer in &answers {
        match answer.status {
            202 => {}
            // Those that met the first one in flight are told to come again.
            409 => assert!(answer.content_type.starts_with("application/problem+json")),
            other => panic!("{other}: {}", String::from_utf8_lossy(&answer.body)),
        }
    }
    let again = sender.deliver(&ticket).await.unwrap();
    assert!(again.replayed);
    for answer in answers.iter().filter(|answer| answer.status == 202) {
        assert_eq!(answer.body, again.body);
    }

    observer
        .recorded(correlation, "WorkflowSucceeded")
        .await
        .unwrap();
    // What comes after it in the same partition is through: so would be whatever
    // a duplicate led to.
    let later = Ticket::new("HUNDRED-2");
    sender.deliver(&later).await.unwrap();
    observer
        .recorded(later.correlation(), "WorkflowSucceeded")
        .await
        .unwrap();

    // The log itself holds nothing twice, not even what readers would drop.
    for (topic, name) in [
        ("mesh.decisions", "PolicyDecided"),
        ("mesh.deliveries", "DeliveryAccepted"),
        ("mesh.contexts", "ContextShared"),
        ("mesh.notifications", "SubscriberNotified"),
        ("mesh.workflows", "WorkflowStarted"),
        ("mesh.executions", "ExecutionRequested"),
        ("mesh.results", "ExecutionSucceeded"),
        ("mesh.effects", "EffectRequested"),
        ("mesh.outcomes", "EffectConfirmed"),
        ("mesh.workflows", "WorkflowSucceeded"),
    ] {
        let records = observer.on_log(topic, correlation).await.unwrap();
        let named = records
            .iter()
            .filter(|record| record.event_name().unwrap() == name);
        assert_eq!(named.count(), 1, "{name}");
    }
    let trail = observer.trail(correlation).await.unwrap();
    assert_eq!(of_name(&trail, "WorkflowStarted").len(), 1);
    let crm = mesh.crm().unwrap();
    assert_eq!(crm.records(&ticket.id).await.unwrap().len(), 1);
    assert_eq!(crm.writes(&ticket.id).unwrap(), 1);
}
