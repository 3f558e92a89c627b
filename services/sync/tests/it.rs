//! The sync role on a real log, with a real CRM behind a door that misbehaves.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::Arc;

use common::crm::{Crm, Mood};
use common::{Mesh, PATIENCE, effect, names};
use domain_effect::{EffectCancelled, EffectEvent, EffectRequest, EffectRequested, Operation};
use platform_testkit::eventually;
use schemas::Effects;
use serde_json::{Value, json};
use tokio::sync::Notify;

/// Long enough that a call never times out by itself.
const NEVER_MS: u64 = 600_000;

fn upsert(name: &str, external_id: &str) -> EffectRequested {
    let properties = json!({"subject": name});
    effect(name, Operation::Upsert, external_id, &properties)
}

async fn call_off(mesh: &Mesh, effect: &EffectRequested) {
    let event = EffectRequest::Cancelled(EffectCancelled {
        effect_id: effect.effect_id,
        workflow_id: effect.workflow_id,
        step: effect.step.clone(),
        connector_id: effect.connector_id.clone(),
        object: effect.object.clone(),
        external_id: effect.external_id.clone(),
        reason: "no answer before the deadline".to_owned(),
    });
    let stream = effect.effect_id.to_string();
    mesh.append::<Effects>("acme", &stream, 2, event).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_is_written_and_attested() {
    let mesh = Mesh::new("sync_attests", 3).await;
    let crm = Crm::start().await;
    mesh.connector("crm", &crm.url, 10_000).await;
    let role = mesh.start();

    let wanted = upsert("a", "T-1");
    mesh.ask("acme", &wanted).await;
    let story = mesh.whole_story(&wanted).await;
    assert_eq!(names(&story), ["attempted 1", "confirmed"]);
    let tickets = crm.tickets().await;
    assert_eq!(tickets.len(), 1);
    assert_eq!(tickets[0]["properties"]["agentmesh_id"], "T-1");
    let Some(EffectEvent::Confirmed(confirmed)) = story.last() else {
        panic!("it is not confirmed");
    };
    assert_eq!(tickets[0]["id"], confirmed.remote_id.as_str());
    assert_eq!(tickets[0]["updatedAt"], confirmed.remote_version.as_str());
    // SHA-256 of {"subject":"a"}, computed elsewhere.
    assert_eq!(
        confirmed.properties_sha256,
        "8238bb90b2f5875a97d571e76aa1e6bd61132f0bc72bcfb74f0c64327f7e4d2f"
    );

    // The same request once more is neither answered nor done again.
    mesh.ask("acme", &wanted).await;
    let bad = effect("bad", Operation::Upsert, "T-2", &json!({"no_such": "x"}));
    let missing = effect(
        "missing",
        Operation::Update,
        "T-3",
        &json!({"subject": "x"}),
    );
    let nobody = EffectRequested {
        connector_id: "nobody".to_owned(),
        ..upsert("nobody", "T-4")
    };
    let late = EffectRequested {
        deadline: platform_telemetry::now(),
        ..upsert("late", "T-5")
    };
    let foreign = upsert("foreign", "T-6");
    for (tenant, effect, wanted) in [
        ("acme", &bad, vec!["attempted 1", "failed rejected"]),
        ("acme", &missing, vec!["attempted 1", "failed not-found"]),
        ("acme", &nobody, vec!["failed unknown-connector"]),
        ("acme", &late, vec!["failed deadline"]),
        // The connector exists, but it is another tenant's.
        ("globex", &foreign, vec!["failed unknown-connector"]),
    ] {
        mesh.ask(tenant, effect).await;
        let story = mesh.whole_story(effect).await;
        assert_eq!(names(&story), wanted, "{}", effect.external_id);
    }
    role.stop().await;
    assert_eq!(mesh.story(&wanted).await.len(), 2);
    assert_eq!(crm.tickets().await.len(), 1);
    assert_eq!(crm.calls().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubt_is_settled_by_reading_the_record() {
    let mesh = Mesh::new("sync_doubts", 3).await;
    let crm = Crm::start().await;
    mesh.connector("crm", &crm.url, 1_500).await;
    let role = mesh.start();

    // Done, but the answer is lost.
    crm.moods([Mood::DoAndHang]);
    let done = effect("done", Operation::Create, "T-1", &json!({"subject": "x"}));
    mesh.ask("acme", &done).await;
    let story = mesh.whole_story(&done).await;
    let found = ["attempted 1", "unknown", "reconciled true", "confirmed"];
    assert_eq!(names(&story), found);
    assert_eq!(crm.tickets().await.len(), 1);

    // Failed in the middle, and not done.
    crm.says(500, Value::Null);
    let open = effect("open", Operation::Create, "T-2", &json!({"subject": "x"}));
    mesh.ask("acme", &open).await;
    let story = mesh.whole_story(&open).await;
    let again = [
        "attempted 1",
        "unknown",
        "reconciled false",
        "attempted 2",
        "confirmed",
    ];
    assert_eq!(names(&story), again);
    assert_eq!(crm.tickets().await.len(), 2);

    // A pause is kept, and attempts run out.
    let pause = || Mood::Say(429, vec![("retry-after", "1")], Value::Null);
    crm.moods([pause(), pause(), pause()]);
    let refused = upsert("refused", "T-3");
    let begun = std::time::Instant::now();
    mesh.ask("acme", &refused).await;
    let story = mesh.whole_story(&refused).await;
    let spent = [
        "attempted 1",
        "attempted 2",
        "attempted 3",
        "failed unavailable",
    ];
    assert_eq!(names(&story), spent);
    assert!(begun.elapsed().as_secs() >= 2);
    role.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_records_writes_stay_in_order_and_can_be_called_off() {
    // With one partition, everything is read in the order it was asked for.
    let mesh = Mesh::new("sync_order", 1).await;
    let crm = Crm::start().await;
    mesh.connector("crm", &crm.url, NEVER_MS).await;
    let role = mesh.start();

    let gate = Arc::new(Notify::new());
    crm.moods([Mood::Wait(Arc::clone(&gate))]);
    let first = upsert("first", "T-1");
    let called_off = upsert("called off", "T-1");
    let last = upsert("last", "T-1");
    mesh.ask("acme", &first).await;
    crm.called(1).await;
    mesh.ask("acme", &called_off).await;
    mesh.ask("acme", &last).await;
    call_off(&mesh, &called_off).await;
    call_off(&mesh, &first).await;
    // Of another record, so it does not wait; once it is answered, all before it was read.
    let mark = EffectRequested {
        connector_id: "nobody".to_owned(),
        ..upsert("mark", "T-2")
    };
    mesh.ask("acme", &mark).await;
    mesh.whole_story(&mark).await;
    for waiting in [&called_off, &last] {
        assert!(mesh.story(waiting).await.is_empty());
    }
    gate.notify_one();

    // It was on its way when it was called off, so it is done.
    let story = mesh.whole_story(&first).await;
    assert_eq!(names(&story), ["attempted 1", "confirmed"]);
    let story = mesh.whole_story(&called_off).await;
    assert_eq!(names(&story), ["failed cancelled"]);
    let story = mesh.whole_story(&last).await;
    assert_eq!(names(&story), ["attempted 1", "confirmed"]);
    let subjects: Vec<Value> = crm
        .calls()
        .iter()
        .map(|call| call.body["inputs"][0]["properties"]["subject"].clone())
        .collect();
    assert_eq!(subjects, ["first", "last"]);
    let tickets = crm.tickets().await;
    assert_eq!(tickets.len(), 1);
    assert_eq!(tickets[0]["properties"]["subject"], "last");
    role.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_of_a_call_leaves_one_record() {
    let mesh = Mesh::new("sync_killed", 3).await;
    let crm = Crm::start().await;
    mesh.connector("crm", &crm.url, NEVER_MS).await;

    // Done by the CRM, but the process dies before it hears of it.
    let role = mesh.start();
    crm.moods([Mood::DoAndHang]);
    let done = effect("done", Operation::Create, "T-1", &json!({"subject": "x"}));
    mesh.ask("acme", &done).await;
    eventually(PATIENCE, || async { crm.tickets().await.len() == 1 })
        .await
        .unwrap();
    role.kill().await;
    assert_eq!(names(&mesh.story(&done).await), ["attempted 1"]);

    let role = mesh.start();
    let story = mesh.whole_story(&done).await;
    let found = ["attempted 1", "unknown", "reconciled true", "confirmed"];
    assert_eq!(names(&story), found);
    assert_eq!(crm.tickets().await.len(), 1);

    // The process dies, and the CRM has done nothing.
    let before = crm.calls().len();
    crm.moods([Mood::Wait(Arc::new(Notify::new()))]);
    let open = upsert("open", "T-2");
    mesh.ask("acme", &open).await;
    crm.called(before + 1).await;
    role.kill().await;
    let role = mesh.start();
    let story = mesh.whole_story(&open).await;
    let again = [
        "attempted 1",
        "unknown",
        "reconciled false",
        "attempted 2",
        "confirmed",
    ];
    assert_eq!(names(&story), again);
    assert_eq!(crm.tickets().await.len(), 2);
    role.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_before_the_schemas_are_published_waits_for_them() {
    let mesh = Mesh::without_schemas("sync_early", 3).await;
    let crm = Crm::start().await;
    let role = mesh.start();
    eventually(PATIENCE, || async {
        role.state().contains("waiting for the schemas")
    })
    .await
    .unwrap();
    assert!(!role.readiness.is_ready());
    mesh.publish_schemas().await;
    eventually(PATIENCE, || async { role.readiness.is_ready() })
        .await
        .unwrap();
    mesh.connector("crm", &crm.url, 10_000).await;
    let wanted = upsert("a", "T-1");
    mesh.ask("acme", &wanted).await;
    let story = mesh.whole_story(&wanted).await;
    assert_eq!(names(&story), ["attempted 1", "confirmed"]);
    role.stop().await;
}
