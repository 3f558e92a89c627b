use std::collections::HashSet;
use std::time::Duration;

use serde_json::Value;
use tests_kit::{KIND, SOURCE, TENANT, Ticket, names, of_name};

use crate::shared_mesh;

/// The fourteen steps as the events that prove them, causes first.
const EVENTS: [(&str, &str); 16] = [
    ("mesh.decisions", "PolicyDecided"),
    ("mesh.deliveries", "DeliveryAccepted"),
    ("mesh.contexts", "ContextShared"),
    ("mesh.notifications", "SubscriberNotified"),
    ("mesh.workflows", "WorkflowStarted"),
    ("mesh.workflows", "StepStarted"),
    ("mesh.executions", "ExecutionRequested"),
    ("mesh.results", "ExecutionStarted"),
    ("mesh.results", "ExecutionSucceeded"),
    ("mesh.workflows", "StepSucceeded"),
    ("mesh.workflows", "StepStarted"),
    ("mesh.effects", "EffectRequested"),
    ("mesh.outcomes", "EffectAttempted"),
    ("mesh.outcomes", "EffectConfirmed"),
    ("mesh.workflows", "StepSucceeded"),
    ("mesh.workflows", "WorkflowSucceeded"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_webhook_becomes_a_customer_record() {
    let mesh = shared_mesh().await;
    let observer = mesh.observer().await.unwrap();
    let sender = mesh.sender().unwrap();
    let ticket = Ticket::new("HAPPY-1");
    let correlation = ticket.correlation();

    let answer = sender.deliver(&ticket).await.unwrap().json().unwrap();
    assert_eq!(answer["delivery_id"], ticket.delivery_id.as_str());
    assert!(
        answer["status_url"]
            .as_str()
            .unwrap()
            .ends_with(&format!("/v1/deliveries/{correlation}"))
    );
    let trail = observer.recorded(correlation, "WorkflowSucceeded").await;
    let trail = trail.unwrap();

    let happened: Vec<_> = trail
        .iter()
        .map(|entry| (entry.topic.as_str(), entry.name.as_str()))
        .collect();
    assert_eq!(happened, EVENTS);
    // But for the first ones each is caused by one before it.
    let mut known = HashSet::new();
    for entry in &trail {
        match entry.causation {
            Some(cause) => assert!(known.contains(&cause), "{} comes too early", entry.name),
            None => assert!(known.len() < 2, "{} has no cause", entry.name),
        }
        assert_eq!(entry.tenant.as_str(), TENANT);
        known.insert(entry.event_id);
    }

    // The record is the webhook's content, as the agent made it.
    let output = &of_name(&trail, "ExecutionSucceeded")[0].body["output"];
    let reply = output["reply"].as_str().unwrap();
    assert!(
        reply.contains("Ada Lovelace") && reply.contains("129.90 EUR"),
        "{reply}"
    );
    let crm = mesh.crm().unwrap();
    let records = crm.records(&ticket.id).await.unwrap();
    assert_eq!(records.len(), 1);
    let properties = &records[0]["properties"];
    assert_eq!(properties["subject"], "Charged twice");
    assert_eq!(
        properties["content"],
        format!("{}\n\n{reply}", output["summary"].as_str().unwrap())
    );
    assert_eq!(
        properties["hs_ticket_priority"],
        output["priority"].as_str().unwrap().to_uppercase()
    );
    assert_eq!(crm.writes(&ticket.id).unwrap(), 1);
    let confirmed = &of_name(&trail, "EffectConfirmed")[0].body;
    assert_eq!(confirmed["remote_id"], records[0]["id"]);

    // Read models other than the audit trail may be a moment behind it.
    let id = correlation.as_uuid();
    let row = |query: &'static str| {
        let observer = &observer;
        async move {
            let rows = platform_testkit::eventually(tests_kit::PATIENCE, || async {
                let rows = observer.rows(query, &[&id]).await.ok()?;
                (!rows.is_empty()).then_some(rows)
            });
            let rows = rows.await.expect(query);
            assert_eq!(rows.len(), 1, "{query}");
            rows.into_iter().next().unwrap()
        }
    };
    let context = row(
        "SELECT kind, subject, source_id, context_id::text FROM contexts.shared \
                       WHERE correlation = $1",
    )
    .await;
    assert_eq!(context.get::<_, &str>(0), KIND);
    assert_eq!(context.get::<_, &str>(1), ticket.email);
    assert_eq!(context.get::<_, &str>(2), SOURCE);
    let execution = row("SELECT agent_id, tool, output FROM executions.execution \
                         WHERE correlation = $1 AND status = 'succeeded'")
    .await;
    assert_eq!(execution.get::<_, &str>(0), "chatgpt-customer-support");
    assert_eq!(execution.get::<_, &str>(1), "handle_ticket");
    let logged: Value = serde_json::from_str(execution.get(2)).unwrap();
    assert_eq!(&logged, output);
    row("SELECT 1 FROM decisions.decision WHERE correlation = $1 AND allow").await;
    row("SELECT 1 FROM deliveries.accepted WHERE correlation = $1").await;
    row("SELECT 1 FROM workflows.run WHERE correlation = $1 AND status = 'succeeded'").await;
    row("SELECT 1 FROM effects.effect WHERE correlation = $1 AND status = 'confirmed'").await;

    let context_id: &str = context.get(3);
    for key in [
        format!("context:{context_id}"),
        format!("correlation:{correlation}"),
    ] {
        let (value, left) = observer.cached(&key).await.unwrap();
        assert!(!value.is_empty());
        assert!(left <= Duration::from_secs(24 * 3600), "{key}: {left:?}");
        assert!(left > Duration::from_secs(23 * 3600), "{key}: {left:?}");
    }

    let progress = sender.progress(correlation).await.unwrap();
    assert_eq!(progress["status"], "succeeded");
    assert_eq!(progress["outcomes"][0]["remote_id"], records[0]["id"]);

    let id = correlation.to_string();
    let told = mesh.run(&["trace", &id, "--json"]).await.unwrap();
    let told: Vec<Value> = serde_json::from_str(&told).unwrap();
    let told: Vec<_> = told
        .iter()
        .map(|entry| entry["type"].as_str().unwrap())
        .collect();
    assert_eq!(told, names(&trail));
    let tree = mesh.run(&["trace", &id]).await.unwrap();
    assert_eq!(tree.lines().count(), EVENTS.len());
}

/// Whoever consumes the topics needs no more than CloudEvents and the registry.
#[tokio::test(flavor = "multi_thread")]
async fn records_are_cloud_events_in_the_confluent_format() {
    let mesh = shared_mesh().await;
    let observer = mesh.observer().await.unwrap();
    let ticket = Ticket::new("HEADERS-1");
    let correlation = ticket.correlation();
    mesh.sender().unwrap().deliver(&ticket).await.unwrap();
    let trail = observer.recorded(correlation, "WorkflowSucceeded").await;
    let trail = trail.unwrap();

    for topic in EVENTS
        .map(|(topic, _)| topic)
        .into_iter()
        .collect::<HashSet<_>>()
    {
        let records = observer.on_log(topic, correlation).await.unwrap();
        let recorded = trail.iter().filter(|entry| entry.topic == topic).count();
        assert_eq!(records.len(), recorded, "{topic}");
        for record in records {
            let header = |name: &str| record.header(name).map(str::to_owned);
            let id = header("ce_id").unwrap();
            let entry = trail.iter().find(|entry| entry.event_id.to_string() == id);
            let entry = entry.unwrap();
            assert_eq!(
                (record.partition, record.offset),
                (entry.partition, entry.offset)
            );
            assert_eq!(header("ce_specversion").as_deref(), Some("1.0"));
            assert_eq!(
                header("ce_type"),
                Some(format!("cloud.agentmesh.{}", entry.name))
            );
            assert_eq!(header("ce_source").as_ref(), Some(&entry.source));
            assert_eq!(header("ce_subject").as_ref(), Some(&entry.stream));
            assert!(header("ce_time").unwrap().ends_with('Z'));
            assert_eq!(header("content-type").as_deref(), Some("application/avro"));
            assert_eq!(header("mesh-tenant").as_deref(), Some(TENANT));
            assert_eq!(header("mesh-version"), Some(entry.version.to_string()));
            let cause = entry.causation.map(|cause| cause.to_string());
            assert_eq!(header("mesh-causation"), cause);
            // The whole way is one trace.
            let trace = |parent: &str| parent.split('-').nth(1).map(str::to_owned);
            assert_eq!(
                header("traceparent").as_deref().and_then(trace),
                trail[0].traceparent.as_deref().and_then(trace),
                "{}",
                entry.name
            );
            // A zero byte and the schema's id go before the datum.
            assert_eq!(record.value.as_ref().unwrap()[0], 0);
        }
    }
}
