use futures::future::{join, join_all};
use tests_kit::{Mesh, Observer, ROLES, Ticket, of_name};

/// The next role to come up, how far it gets alone, and what waits for the
/// role after it.
const TURNS: [(&str, &str, &str, &str, &str); 5] = [
    (
        "federation",
        "mesh.notifications",
        "SubscriberNotified",
        "mesh.workflows",
        "WorkflowStarted",
    ),
    (
        "workflow",
        "mesh.executions",
        "ExecutionRequested",
        "mesh.results",
        "ExecutionStarted",
    ),
    (
        "agents",
        "mesh.results",
        "ExecutionStarted",
        "mesh.results",
        "ExecutionSucceeded",
    ),
    (
        "agent-servers",
        "mesh.effects",
        "EffectRequested",
        "mesh.outcomes",
        "EffectAttempted",
    ),
    (
        "sync",
        "mesh.outcomes",
        "EffectAttempted",
        "mesh.outcomes",
        "EffectConfirmed",
    ),
];

/// Every role dies, and a ticket goes from one to the next as they come back:
/// each is dead between two steps, and the ticket waits for it.
pub(crate) async fn each_role_dead_when_its_turn_comes(mesh: &Mesh) {
    let observer = mesh.observer().await.unwrap();
    let sender = mesh.sender().unwrap();
    sender.deliver(&Ticket::new("TURN-0")).await.unwrap();
    let first = Ticket::new("TURN-0").correlation();
    observer.recorded(first, "WorkflowSucceeded").await.unwrap();

    for role in ROLES.into_iter().filter(|role| *role != "gateway") {
        mesh.kill(role).unwrap();
    }
    let ticket = Ticket::new("TURN-1");
    let correlation = ticket.correlation();
    let accepted = sender.deliver(&ticket).await.unwrap();
    // Nobody may remember it but the log: the answer is written to Redis behind
    // itself, and the read models are dead.
    mesh.kill("gateway").unwrap();
    assert!(sender.post(&ticket).await.is_err());
    mesh.start_roles(&["gateway"]).await.unwrap();
    let repeated = sender.deliver(&ticket).await.unwrap();
    assert!(repeated.replayed);
    assert_eq!(repeated.body, accepted.body);
    let other = Ticket {
        text: "Something else altogether.".to_owned(),
        ..ticket.clone()
    };
    assert_eq!(sender.post(&other).await.unwrap().status, 422);

    for (role, topic, reached, next_topic, waiting) in TURNS {
        mesh.start_roles(&[role]).await.unwrap();
        observer.logged(topic, correlation, reached).await.unwrap();
        let early = observer
            .count(next_topic, correlation, waiting)
            .await
            .unwrap();
        assert_eq!(early, 0, "{waiting} while nobody was there for it");
    }
    mesh.start_roles(&["crm-sandbox"]).await.unwrap();
    observer
        .logged("mesh.workflows", correlation, "WorkflowSucceeded")
        .await
        .unwrap();
    // All that went without the registry, the policy service and the read models.
    assert!(observer.trail(correlation).await.unwrap().is_empty());
    mesh.start_roles(&["projections", "registry", "policy"])
        .await
        .unwrap();
    assert_done_once(mesh, &observer, &[ticket]).await;
    mesh.registrar().unwrap().source("after-all").await.unwrap();
}

/// Each role, those the events reach last first, and an event that shows that
/// it has a ticket in hand.
const KILLED_AT: [(&str, &str, &str); 10] = [
    ("projections", "mesh.workflows", "WorkflowSucceeded"),
    ("crm-sandbox", "mesh.outcomes", "EffectAttempted"),
    ("sync", "mesh.outcomes", "EffectAttempted"),
    ("agent-servers", "mesh.results", "ExecutionStarted"),
    ("agents", "mesh.results", "ExecutionStarted"),
    ("workflow", "mesh.workflows", "WorkflowStarted"),
    ("federation", "mesh.contexts", "ContextShared"),
    ("registry", "mesh.decisions", "PolicyDecided"),
    ("policy", "mesh.decisions", "PolicyDecided"),
    ("gateway", "mesh.deliveries", "DeliveryAccepted"),
];

const WAVE: usize = 3;

/// Tickets come in waves; each role is killed as soon as its event of a wave is
/// on the log, and started again, while the rest goes on. Returns the tickets.
pub(crate) async fn each_role_killed_under_traffic(mesh: &Mesh) -> Vec<Ticket> {
    let observer = mesh.observer().await.unwrap();
    let sender = mesh.sender().unwrap();
    let mut tickets = Vec::new();
    for (role, topic, event) in KILLED_AT {
        let wave: Vec<_> = (0..WAVE)
            .map(|number| Ticket::new(&format!("{}-{number}", role.to_uppercase())))
            .collect();
        // Senders repeat what the gateway did not answer.
        let delivering = join_all(wave.iter().map(|ticket| sender.deliver(ticket)));
        let first = wave[0].correlation();
        let killing = async {
            observer.logged(topic, first, event).await.unwrap();
            mesh.kill(role).unwrap();
            mesh.start_roles(&[role]).await.unwrap();
        };
        let (delivered, ()) = join(delivering, killing).await;
        for answer in delivered {
            answer.unwrap();
        }
        tickets.extend(wave);
    }
    assert_done_once(mesh, &observer, &tickets).await;
    tickets
}

/// Each ticket was handled to its end, and every step of it exactly once.
async fn assert_done_once(mesh: &Mesh, observer: &Observer, tickets: &[Ticket]) {
    for ticket in tickets {
        let trail = observer
            .recorded(ticket.correlation(), "WorkflowSucceeded")
            .await
            .unwrap();
        for once in [
            "DeliveryAccepted",
            "ContextShared",
            "WorkflowStarted",
            "EffectConfirmed",
        ] {
            assert_eq!(of_name(&trail, once).len(), 1, "{once} of {}", ticket.id);
        }
    }
    for (topic, once) in [
        ("mesh.deliveries", "DeliveryAccepted"),
        ("mesh.contexts", "ContextShared"),
        ("mesh.workflows", "WorkflowStarted"),
        ("mesh.executions", "ExecutionRequested"),
        ("mesh.results", "ExecutionSucceeded"),
        ("mesh.effects", "EffectRequested"),
        ("mesh.outcomes", "EffectConfirmed"),
        ("mesh.workflows", "WorkflowSucceeded"),
    ] {
        let counted = observer.counts(topic, once).await.unwrap();
        for ticket in tickets {
            let count = counted.get(&ticket.correlation().to_string());
            assert_eq!(count, Some(&1), "{once} of {}", ticket.id);
        }
    }
    let crm = mesh.crm().unwrap();
    for ticket in tickets {
        assert_eq!(
            crm.records(&ticket.id).await.unwrap().len(),
            1,
            "{}",
            ticket.id
        );
        assert_eq!(crm.writes(&ticket.id).unwrap(), 1, "{}", ticket.id);
    }
    let open = "SELECT 1 FROM effects.effect WHERE status <> 'confirmed'";
    assert!(observer.rows(open, &[]).await.unwrap().is_empty());
    assert!(
        observer
            .topic("mesh.dead-letters")
            .await
            .unwrap()
            .is_empty()
    );
}
