use domain_kernel::spec::Spec;
use domain_kernel::{
    ContextId, CorrelationId, Decider, EventId, Json, Metadata, NotificationId, Recorded, Space,
    TenantId, Timestamp,
};

use crate::{
    ContextCommand, ContextDecider, ContextEvent, ContextMerged, ContextRejection, ContextShared,
    ContextState, KeptApart, Neighbour, NotificationEvent, REMEMBERED_MERGES, Received, Verdict,
    context_id,
};

const TEXT: &str = "I was charged 129.90 EUR twice for order 4711.";

fn id(content_sha256: &str) -> ContextId {
    context_id(
        &TenantId::new("acme"),
        &Space::new("support"),
        "ticket",
        "ada@example.com",
        content_sha256,
    )
}

fn received(delivery: &str, text: &str) -> Received {
    Received {
        context_id: id("aa"),
        delivery: EventId::derive(&[delivery]),
        source_id: "zapier".to_owned(),
        space: Space::new("support"),
        kind: "ticket".to_owned(),
        subject: "ada@example.com".to_owned(),
        content: Json::from_text("{}"),
        content_sha256: "aa".to_owned(),
        text: text.to_owned(),
        model_digest: "m".to_owned(),
    }
}

fn new(delivery: &str) -> ContextCommand {
    ContextCommand {
        received: received(delivery, TEXT),
        verdict: Verdict::New {
            neighbour: None,
            subscribers: vec!["triage".to_owned(), "audit".to_owned()],
        },
    }
}

fn near(delivery: &str, text: &str) -> ContextCommand {
    ContextCommand {
        received: Received {
            content_sha256: "bb".to_owned(),
            ..received(delivery, text)
        },
        verdict: Verdict::Near { cosine: 0.97 },
    }
}

fn same(delivery: &str) -> ContextCommand {
    ContextCommand {
        received: received(delivery, TEXT),
        verdict: Verdict::Same,
    }
}

fn shared(delivery: &str) -> ContextEvent {
    let received = received(delivery, TEXT);
    ContextEvent::Shared(ContextShared {
        context_id: received.context_id,
        space: received.space,
        kind: received.kind,
        subject: received.subject,
        delivery: received.delivery,
        source_id: received.source_id,
        content: received.content,
        content_sha256: received.content_sha256,
        text: received.text,
        model_digest: received.model_digest,
        neighbour: None,
        subscribers: vec!["triage".to_owned(), "audit".to_owned()],
    })
}

fn merged(delivery: &str, content_sha256: &str, cosine: f64, exact: bool) -> ContextEvent {
    let received = received(delivery, TEXT);
    ContextEvent::Merged(ContextMerged {
        context_id: received.context_id,
        space: received.space,
        kind: received.kind,
        subject: received.subject,
        delivery: received.delivery,
        source_id: received.source_id,
        content: received.content,
        content_sha256: content_sha256.to_owned(),
        model_digest: received.model_digest,
        cosine,
        exact,
    })
}

fn given(history: impl IntoIterator<Item = ContextEvent>) -> Spec<ContextDecider> {
    Spec::given(history)
}

#[test]
fn what_is_new_is_shared() {
    given([]).when(new("d1")).then([shared("d1")]);
    given([]).when(new("d1")).then_idempotent(new("d1"));
}

#[test]
fn the_neighbour_that_was_considered_is_recorded() {
    let neighbour = Neighbour {
        context_id: id("cc"),
        cosine: 0.99,
        kept_apart: KeptApart::NumbersDiffer.to_string(),
    };
    let mut command = new("d1");
    command.verdict = Verdict::New {
        neighbour: Some(neighbour.clone()),
        subscribers: Vec::new(),
    };
    let events = ContextDecider::decide(&ContextState::default(), command).expect("accepted");
    let [ContextEvent::Shared(shared)] = events.as_slice() else {
        panic!("not shared: {events:?}");
    };
    assert_eq!(shared.neighbour, Some(neighbour));
}

#[test]
fn the_same_content_again_is_merged_without_a_vector() {
    given([shared("d1")])
        .when(same("d2"))
        .then([merged("d2", "aa", 1.0, true)]);
    given([shared("d1")])
        .when(same("d2"))
        .then_idempotent(same("d2"));
    // Decided before the first was known: the stream knows better.
    given([shared("d1")])
        .when(new("d2"))
        .then([merged("d2", "aa", 1.0, true)]);
}

#[test]
fn what_says_the_same_is_merged_with_its_cosine() {
    let again = "I was charged 129.90 EUR twice for the order 4711!";
    given([shared("d1")])
        .when(near("d2", again))
        .then([merged("d2", "bb", 0.97, false)]);
    given([shared("d1")])
        .when(near("d2", again))
        .then_idempotent(near("d2", again));
}

#[test]
fn a_repeated_delivery_changes_nothing_however_it_is_routed() {
    let history = || [shared("d1"), merged("d2", "bb", 0.97, false)];
    for delivery in ["d1", "d2"] {
        given(history()).when(new(delivery)).then([]);
        given(history()).when(same(delivery)).then([]);
        given(history()).when(near(delivery, "anything 5")).then([]);
    }
}

#[test]
fn another_claim_is_not_merged_even_if_the_index_says_so() {
    given([shared("d1")])
        .when(near("d2", "I was charged 12.99 EUR twice for order 4711."))
        .then_rejected(ContextRejection::KeptApart(KeptApart::NumbersDiffer));
}

#[test]
fn another_kind_subject_or_space_is_not_merged() {
    type Case = (fn(&mut Received), KeptApart);
    let cases: [Case; 3] = [
        (|r| r.kind = "invoice".to_owned(), KeptApart::KindDiffers),
        (|r| r.subject = "bob".to_owned(), KeptApart::SubjectDiffers),
        (|r| r.space = Space::new("hr"), KeptApart::SpaceDiffers),
    ];
    for (change, why) in cases {
        let mut command = same("d2");
        change(&mut command.received);
        given([shared("d1")])
            .when(command)
            .then_rejected(ContextRejection::KeptApart(why));
    }
}

#[test]
fn nothing_is_merged_into_what_was_never_shared() {
    given([])
        .when(same("d1"))
        .then_rejected(ContextRejection::NotShared);
    given([])
        .when(near("d1", TEXT))
        .then_rejected(ContextRejection::NotShared);
}

#[test]
fn a_stream_does_not_take_other_content_as_its_own() {
    let mut command = new("d2");
    command.received.content_sha256 = "bb".to_owned();
    given([shared("d1")])
        .when(command)
        .then_rejected(ContextRejection::OtherContent);
}

#[test]
fn a_context_reported_often_stays_small() {
    let many = (0..REMEMBERED_MERGES + 10).map(|i| merged(&format!("m{i}"), "bb", 0.97, false));
    let state = std::iter::once(shared("d1"))
        .chain(many)
        .fold(ContextState::default(), |state, event| {
            ContextDecider::evolve(state, &event)
        });
    let known = state.known.expect("shared");
    assert_eq!(known.merged.len(), REMEMBERED_MERGES);
    assert_eq!(known.merges, REMEMBERED_MERGES as u64 + 10);
    assert!(known.holds(EventId::derive(&["d1"])));
}

#[test]
fn each_subscriber_is_told_once_of_a_shared_context_and_never_of_a_merge() {
    let record = |event| Recorded {
        meta: Metadata {
            id: EventId::derive(&["e"]),
            tenant: TenantId::new("acme"),
            correlation: CorrelationId::of_delivery("zapier", "1"),
            causation: None,
            stream: id("aa").to_string(),
            version: 1,
            at: Timestamp::from_millis(1),
            source: "/agentmesh/federation".to_owned(),
            traceparent: None,
            actor: None,
        },
        event,
    };
    let told = ContextDecider::react(&record(shared("d1")));
    let ids: Vec<NotificationId> = told
        .iter()
        .map(|NotificationEvent::Notified(notice)| notice.notification_id)
        .collect();
    assert_eq!(ids.len(), 2);
    assert_ne!(ids[0], ids[1]);
    assert_eq!(told, ContextDecider::react(&record(shared("d1"))));
    assert!(ContextDecider::react(&record(merged("d2", "bb", 0.97, false))).is_empty());
}
