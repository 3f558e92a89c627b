use std::process::Output;

use domain_delivery::{DeliveryEvent, DeliveryRefused, RefusalReason};
use domain_kernel::{CorrelationId, EventId, Metadata, Recorded, Space, TenantId, Timestamp};
use platform_log::{Encoder, Position, Producer, SchemaRegistry};
use platform_testkit::{Proc, TestBed};
use schemas::{Deliveries, catalogue};
use serde_json::{Value, json};

const READ_MODELS: [&str; 2] = ["deliveries", "executions"];
const TENANTS: u64 = 12;

/// One of two that share servers but neither database, topics nor keys.
struct Deployment {
    bed: TestBed,
    encoder: Encoder,
    producer: Producer,
}

impl Deployment {
    async fn new(name: &str) -> Self {
        let bed = TestBed::new(name).await.unwrap();
        let registry = SchemaRegistry::new(&bed.settings.schema_registry).unwrap();
        let producer = Producer::new(&bed.settings.kafka).unwrap();
        for prepare in [&["topics", "apply"], &["schemas", "register"]] {
            let output = run(&bed, prepare);
            assert!(output.status.success(), "{}", complaint(&output));
        }
        let entries = catalogue()
            .iter()
            .map(|entry| (entry.topic, entry.name, entry.text));
        Self {
            encoder: Encoder::resolve(&registry, entries).await.unwrap(),
            bed,
            producer,
        }
    }

    /// Appends the events and builds the read models of the log as it is then.
    async fn take(&self, events: &[Recorded<DeliveryEvent>]) -> Vec<Position> {
        let outgoing = events
            .iter()
            .map(|event| self.encoder.encode::<Deliveries>(event).unwrap());
        let positions = self.producer.append_all(outgoing.collect()).await.unwrap();
        let output = run(
            &self.bed,
            &[&["replay", "rebuild"][..], &READ_MODELS].concat(),
        );
        assert!(output.status.success(), "{}", complaint(&output));
        positions
    }

    fn digest(&self, arguments: &[&str]) -> Output {
        run(&self.bed, &[&["replay", "digest"], arguments].concat())
    }

    fn url(&self) -> &str {
        &self.bed.settings.postgres.url
    }
}

fn run(bed: &TestBed, arguments: &[&str]) -> Output {
    Proc::command(&bed.settings)
        .unwrap()
        .args(arguments)
        .output()
        .unwrap()
}

fn printed(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn complaint(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// With a password, which nobody is to see; these servers ask for none.
fn with_password(url: &str) -> String {
    url.replacen('@', ":hidden@", 1)
}

fn refused(tenant: u64, version: u64) -> Recorded<DeliveryEvent> {
    let name = format!("{tenant}/{version}");
    let correlation = CorrelationId::of_delivery("zapier", &name);
    Recorded {
        meta: Metadata {
            id: EventId::derive(&[&name]),
            tenant: TenantId::new(format!("t{tenant}")),
            correlation,
            causation: None,
            stream: correlation.to_string(),
            version: 1,
            at: Timestamp::from_millis(1_760_000_000_000),
            source: "/agentmesh/gateway".to_owned(),
            traceparent: None,
            actor: None,
        },
        event: DeliveryEvent::Refused(DeliveryRefused {
            source_id: "zapier".to_owned(),
            space: Space::new("support"),
            reason: RefusalReason::StaleTimestamp,
            detail: "old".to_owned(),
            body_sha256: "00".to_owned(),
            body_size: 1,
        }),
    }
}

/// What a comparison of one read model prints first.
fn line(read_model: &str, said: &str) -> String {
    format!("{read_model:<16} {said}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_deployments_are_compared_by_their_digests() {
    let here = Deployment::new("cli_digest_here").await;
    let there = Deployment::new("cli_digest_there").await;
    let events: Vec<_> = (0..TENANTS).map(|tenant| refused(tenant, 1)).collect();
    let first = here.take(&events).await;
    assert_eq!(first, there.take(&events).await);
    let saved = there.digest(&["deliveries", "executions", "--json"]);
    assert!(saved.status.success(), "{}", complaint(&saved));
    let file = there.bed.dir().join("there.jsonl");
    std::fs::write(&file, &saved.stdout).unwrap();
    let (file, url) = (file.to_str().unwrap(), there.url());
    let secret = with_password(url);
    let compared = [
        "deliveries",
        "executions",
        "--against",
        &secret,
        "--against",
        file,
    ];

    let same = here.digest(&compared);
    assert_eq!(same.status.code(), Some(0), "{}", complaint(&same));
    for other in [url, file] {
        for read_model in READ_MODELS {
            let expected = line(read_model, &format!("the same as in {other}"));
            assert!(printed(&same).contains(&expected), "{}", printed(&same));
        }
    }
    let digest: Value = serde_json::from_str(printed(&saved).lines().next().unwrap()).unwrap();
    assert_eq!(digest["rows"], TENANTS, "there is something to compare");

    // One more event here: its partition has come further, which proves nothing.
    let more = here.take(&[refused(3, 2)]).await;
    let partition = more[0].partition;
    let ahead = here.digest(&compared);
    assert_eq!(ahead.status.code(), Some(6), "{}", complaint(&ahead));
    let mut named = Vec::new();
    for other in [url, file] {
        let said = format!(
            "not compared with {other} in partitions {partition}: they stand at other offsets"
        );
        let expected =
            line("deliveries", &said) + &line("executions", &format!("the same as in {other}"));
        assert!(printed(&ahead).contains(&expected), "{}", printed(&ahead));
        named.push(format!("deliveries from {other}"));
    }
    let summary = format!(
        "agentmesh: not shown to be the same: {}\n",
        named.join(", ")
    );
    assert_eq!(complaint(&ahead), summary);

    // A repeat there, so that both stand at the same offsets but not with the same rows.
    assert_eq!(there.take(&[refused(3, 1)]).await, more);
    let rows = 1 + first.iter().filter(|at| at.partition == partition).count();
    let differs = here.digest(&[
        "deliveries",
        "executions",
        "--by-partition",
        "--against",
        &secret,
    ]);
    assert_eq!(differs.status.code(), Some(6), "{}", complaint(&differs));
    let expected = line("deliveries", &format!("differs from {url}"))
        + &format!(
            "  partition {partition}: {rows} rows here, {} there\n",
            rows - 1
        )
        + &line("executions", &format!("the same as in {url}"));
    assert!(
        printed(&differs).ends_with(&expected),
        "{}",
        printed(&differs)
    );

    // As many rows again, at the same offsets, but made from other records.
    let repeated = here.take(&[refused(3, 1)]).await;
    assert_eq!(there.take(&[refused(3, 2)]).await, repeated);
    let by_program = here.digest(&["deliveries", "--json", "--against", &secret]);
    assert_eq!(by_program.status.code(), Some(6));
    let verdict: Value =
        serde_json::from_str(printed(&by_program).lines().nth(1).unwrap()).unwrap();
    let expected = json!({
        "read_model": "deliveries", "verdict": "differs", "against": url, "elsewhere": [],
        "partitions": [{
            "partition": partition.to_string(), "rows_here": rows, "rows_there": rows,
        }],
    });
    assert_eq!(verdict, expected);

    // What there is nothing to compare with is not the same either.
    let cache = here.digest(&["context-cache", "--against", &secret, "--against", file]);
    assert_eq!(cache.status.code(), Some(6), "{}", complaint(&cache));
    for (other, why) in [
        (url, "it is not kept in Postgres; compare it with a file"),
        (file, "the file does not name it"),
    ] {
        let expected = line(
            "context-cache",
            &format!("not compared with {other}: {why}"),
        );
        assert!(printed(&cache).contains(&expected), "{}", printed(&cache));
    }
    for output in [&same, &ahead, &differs, &by_program, &cache] {
        assert!(!printed(output).contains("hidden"));
        assert!(!complaint(output).contains("hidden"));
    }

    // Nobody there, no such file, and a file of something else are errors.
    let away = with_password("postgres://mesh@127.0.0.1:9/mesh");
    let away = here.digest(&["deliveries", "--against", &away]);
    assert_eq!(away.status.code(), Some(4), "{}", complaint(&away));
    assert!(!complaint(&away).contains("hidden"), "{}", complaint(&away));
    let missing = here.digest(&["deliveries", "--against", "nowhere.jsonl"]);
    assert_eq!(missing.status.code(), Some(1), "{}", complaint(&missing));
    assert!(complaint(&missing).contains("nowhere.jsonl"));
    std::fs::write(file, "{}\n").unwrap();
    let other = here.digest(&["deliveries", "--against", file]);
    assert_eq!(other.status.code(), Some(1), "{}", complaint(&other));
    assert!(complaint(&other).contains(file));
}
