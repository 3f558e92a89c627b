use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use domain_delivery::{AuthMethod, DeliveryAccepted, DeliveryEvent};
use domain_kernel::{CorrelationId, EventId, Metadata, Recorded, Space, TenantId, Timestamp};
use platform_config::Settings;
use platform_log::{Encoder, Producer, SchemaRegistry};
use platform_postgres::Pool;
use platform_testkit::{Proc, TestBed, eventually};
use schemas::{Deliveries, catalogue};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(90);

/// Refuses one delivery, for as long as it is there.
const TRIGGER: &str = "
    CREATE FUNCTION deliveries.refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN RAISE EXCEPTION 'no room for this one'; END$$;
    CREATE TRIGGER refuse BEFORE INSERT ON deliveries.accepted
        FOR EACH ROW WHEN (NEW.delivery_id = 'msg_bad') EXECUTE FUNCTION deliveries.refuse();";

fn run(settings: &Settings, arguments: &[&str]) -> Output {
    Proc::command(settings)
        .unwrap()
        .args(arguments)
        .output()
        .unwrap()
}

/// What a command that succeeds prints.
fn said(settings: &Settings, arguments: &[&str]) -> String {
    let output = run(settings, arguments);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

fn code(settings: &Settings, arguments: &[&str]) -> i32 {
    run(settings, arguments).status.code().unwrap()
}

fn listed(settings: &Settings, more: &[&str]) -> Vec<Value> {
    let arguments = [&["dead-letters", "list", "--json"][..], more].concat();
    said(settings, &arguments)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

async fn open(settings: &Settings, count: usize) -> Vec<Value> {
    eventually(PATIENCE, || async {
        let letters = listed(settings, &[]);
        (letters.len() == count)
            .then_some(letters.clone())
            .ok_or(letters)
    })
    .await
    .unwrap()
}

fn accepted(delivery_id: &str) -> Recorded<DeliveryEvent> {
    let correlation = CorrelationId::of_delivery("zapier", delivery_id);
    Recorded {
        meta: Metadata {
            id: EventId::derive(&[delivery_id]),
            tenant: TenantId::new("acme"),
            correlation,
            causation: None,
            stream: correlation.to_string(),
            version: 1,
            at: Timestamp::from_millis(1_760_000_000_000),
            source: "/agentmesh/gateway".to_owned(),
            traceparent: None,
            actor: None,
        },
        event: DeliveryEvent::Accepted(DeliveryAccepted {
            source_id: "zapier".to_owned(),
            delivery_id: delivery_id.to_owned(),
            space: Space::new("support"),
            scheme: "standard-webhooks".to_owned(),
            auth: AuthMethod::HmacSha256,
            key_id: None,
            content_type: "application/json".to_owned(),
            body: b"{}".to_vec(),
            body_sha256: "00".to_owned(),
            signed_headers: Vec::new(),
            event_type: "support.ticket.created".to_owned(),
            subject: None,
            request: None,
            source_version: None,
            quarantine: None,
        }),
    }
}

async fn text(pool: &Pool, sql: &str) -> Option<String> {
    let client = pool.get().await.ok()?;
    let row = client.query_one(sql, &[]).await.ok()?;
    row.try_get(0).ok()
}

async fn text_is(pool: &Pool, sql: &str, wanted: &str) {
    eventually(PATIENCE, || async {
        let found = text(pool, sql).await;
        (found.as_deref() == Some(wanted))
            .then_some(())
            .ok_or(found)
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_listed_shown_redriven_and_discarded() {
    let mut bed = TestBed::new("cli_letters").await.unwrap();
    bed.settings.dead_letters.attempts = 2;
    bed.settings.dead_letters.first_pause_ms = 50;
    let settings = Arc::new(bed.settings.clone());
    for prepare in [
        &["topics", "apply"][..],
        &["schemas", "register"],
        &["migrate"],
    ] {
        said(&settings, prepare);
    }
    let pool = Pool::connect(&settings.postgres).unwrap();
    let client = pool.get().await.unwrap();
    client.batch_execute(TRIGGER).await.unwrap();
    let mut projections = Proc::spawn("projections", &settings).unwrap();
    projections.ready().await.unwrap();
    assert_eq!(listed(&settings, &[]).len(), 0);

    // One that the deliveries cannot take for now, and one that nobody can read.
    let registry = SchemaRegistry::new(&settings.schema_registry).unwrap();
    let entries = catalogue()
        .iter()
        .map(|entry| (entry.topic, entry.name, entry.text));
    let encoder = Encoder::resolve(&registry, entries).await.unwrap();
    let producer = Producer::new(&settings.kafka).unwrap();
    let bad = encoder.encode::<Deliveries>(&accepted("msg_bad")).unwrap();
    let unread = encoder
        .encode::<Deliveries>(&accepted("msg_unread"))
        .unwrap()
        .without_value();
    producer.append_all(vec![bad, unread]).await.unwrap();

    let letters = open(&settings, 3).await;
    let of = |consumer: &str, event: &str| {
        let id = EventId::derive(&[event]).to_string();
        letters
            .iter()
            .find(|letter| letter["consumer"] == consumer && letter["event_id"] == id.as_str())
            .unwrap_or_else(|| panic!("{letters:?}"))
            .clone()
    };
    let refused = of("deliveries", "msg_bad");
    assert_eq!(refused["attempts"], 2);
    assert_eq!(refused["tenant"], "acme");
    assert_eq!(refused["topic"], "mesh.deliveries");
    let unread = of("audit", "msg_unread");
    assert_eq!(unread["attempts"], 1);
    assert_eq!(
        listed(&settings, &["--consumer", "audit"]),
        std::slice::from_ref(&unread)
    );
    assert_eq!(
        listed(&settings, &["--because", "no room"]),
        std::slice::from_ref(&refused)
    );
    assert_eq!(listed(&settings, &["--tenant", "globex"]).len(), 0);

    let id = refused["id"].as_str().unwrap();
    let shown: Value = serde_json::from_str(&said(
        &settings,
        &["dead-letters", "show", &id[..8], "--json"],
    ))
    .unwrap();
    assert!(shown["causes"].as_array().unwrap().len() > 1);
    assert_eq!(shown["content"]["delivery_id"], "msg_bad");
    let for_people = said(&settings, &["dead-letters", "show", id]);
    assert!(for_people.contains("no room for this one"), "{for_people}");
    assert!(
        for_people.contains("header       mesh-tenant: acme"),
        "{for_people}"
    );

    // Too early: it comes back.
    let redrive = ["dead-letters", "redrive", id, "--operator", "ada"];
    said(&settings, &redrive);
    let again = eventually(PATIENCE, || async {
        listed(&settings, &[])
            .into_iter()
            .find(|letter| letter["id"] == id && letter["redrives"] == 1)
    })
    .await
    .unwrap();
    assert_eq!(again["occurrences"], 2);

    client
        .batch_execute("DROP TRIGGER refuse ON deliveries.accepted")
        .await
        .unwrap();
    let by_filter = [
        "dead-letters",
        "redrive",
        "--consumer",
        "deliveries",
        "--because",
        "no room",
        "--operator",
        "ada",
        "--note",
        "there is room now",
    ];
    said(&settings, &by_filter);
    let rows = "SELECT count(*)::text FROM deliveries.accepted WHERE delivery_id = 'msg_bad'";
    text_is(&pool, rows, "1").await;
    // The others had it all along, and once.
    let audited = "SELECT count(*)::text FROM audit.event WHERE type = 'DeliveryAccepted'";
    text_is(&pool, audited, "1").await;
    assert_eq!(open(&settings, 2).await.len(), 2);

    let discard = ["dead-letters", "discard", unread["id"].as_str().unwrap()];
    assert_eq!(code(&settings, &discard), 2, "a reason is asked for");
    let discard = [
        &discard[..],
        &["--reason", "a broken sender", "--operator", "ada"],
    ]
    .concat();
    said(&settings, &discard);
    assert!(said(&settings, &discard).contains("before"));
    assert_eq!(open(&settings, 1).await[0]["consumer"], "deliveries");
    let statuses: Vec<Value> = listed(&settings, &["--all"])
        .into_iter()
        .map(|letter| letter["status"].clone())
        .collect();
    assert_eq!(statuses.len(), 3);
    for status in ["open", "redriven", "discarded"] {
        assert!(statuses.contains(&status.into()), "{statuses:?}");
    }

    let unread_id = unread["id"].as_str().unwrap();
    assert_eq!(code(&settings, &["dead-letters", "redrive", unread_id]), 1);
    assert_eq!(code(&settings, &["dead-letters", "redrive"]), 2);
    assert_eq!(code(&settings, &["dead-letters", "show", "ffffffff"]), 5);
    assert_eq!(
        code(
            &settings,
            &["dead-letters", "redrive", "--consumer", "nobody"]
        ),
        5
    );

    // Who decided what, and why, is itself on the log and in the audit.
    let decided = "SELECT string_agg(type || ' ' || (body::jsonb->>'operator') || ' '
                       || coalesce(body::jsonb->>'note', body::jsonb->>'reason', '-'), ', '
                       ORDER BY recorded_at)
                   FROM audit.event WHERE topic = 'mesh.dead-letters'";
    text_is(
        &pool,
        decided,
        "DeadLetterRedriven ada -, DeadLetterRedriven ada there is room now, \
         DeadLetterDiscarded ada a broken sender",
    )
    .await;
    let correlation = CorrelationId::of_delivery("zapier", "msg_bad").to_string();
    let trace = said(&settings, &["trace", &correlation]);
    assert!(trace.contains("└─ DeadLetterRedriven"), "{trace}");

    let mut away = settings.as_ref().clone();
    away.kafka.brokers = "127.0.0.1:9".to_owned();
    assert_eq!(code(&away, &["dead-letters", "list"]), 4);
}
