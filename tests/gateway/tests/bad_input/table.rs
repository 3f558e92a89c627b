use crate::{
    connections, documents, http, identity, outbound, rapid_reset, repeats, signatures, smuggling,
};
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use domain_delivery::DeliveryEvent;
use platform_testkit::eventually;
use sha2::{Digest, Sha256};
use tests_gateway::{Case, Ground, Kept, Response, Row, Step, body, exchange, markdown};

/// What one row may cost the gateway, in bytes, however much is sent.
const MEMORY: u64 = 16 << 20;

/// What the page says as long as nobody has had it written.
const DEMANDS: &str =
    "This table is still the one of demands: it has not been replaced by a printed one yet.\n\n";

/// By SHA-256 of the body: deliveries, of these quarantined, and refusals.
pub(crate) type OnTheLog = BTreeMap<String, (usize, usize, usize)>;

#[tokio::test(flavor = "multi_thread")]
async fn forty_eight_kinds_of_bad_input() {
    // Loopback is allowed on a laptop; here nothing is but what is public.
    let ground = Ground::with("bad_input", |settings| settings.outbound.allow.clear());
    let ground = ground.await.unwrap();
    let mut cases = signatures::cases(&ground);
    cases.extend(documents::cases(&ground));
    cases.extend(http::cases(&ground));
    cases.extend(identity::cases(&ground));

    let mut rows = Vec::new();
    let mut due: OnTheLog = BTreeMap::new();
    for case in &cases {
        rows.push(run(&ground, case, &mut due).await);
    }
    rows.extend(repeats::run(&ground, &mut due).await);
    rows.push(smuggling::run(&ground, &mut due).await);
    rows.extend(connections::run(&ground, &mut due).await);
    rows.push(rapid_reset::run(&ground, &mut due).await);
    rows.push(identity::unknown_source_takes_as_long(&ground, &mut due).await);
    rows.push(outbound::run(&ground).await);

    // Refusals are recorded behind the answer.
    eventually(Duration::from_secs(60), || async {
        let found = on_the_log(&ground).await;
        let missing: Vec<_> = due
            .iter()
            .filter(|(sha256, due)| found.get(*sha256).copied().unwrap_or_default() != **due)
            .map(|(sha256, due)| format!("{sha256}: due {due:?}, found {:?}", found.get(sha256)))
            .collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(missing)
        }
    })
    .await
    .unwrap();
    let found = on_the_log(&ground).await;
    let probe = digest(&body("probe"));
    for (sha256, events) in &found {
        assert!(
            due.contains_key(sha256) || *sha256 == probe,
            "nobody expects {events:?} of {sha256}"
        );
    }
    assert!(ground.is_alive());
    for row in &rows {
        assert!(
            row.memory <= MEMORY,
            "B{} took {} bytes",
            row.row,
            row.memory
        );
    }
    let mut numbers: Vec<u8> = rows.iter().map(|row| row.row).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=48).collect::<Vec<u8>>());

    let table = markdown(&rows);
    println!("{table}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/BAD-INPUT.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (before, _) = text.split_once("| # |").unwrap();
        let before = before.replace(DEMANDS, "");
        std::fs::write(path, format!("{before}{table}")).unwrap();
    }
}

async fn run(ground: &Ground, case: &Case, due: &mut OnTheLog) -> Row {
    let memory = ground.memory().begin().unwrap();
    let mut answers = BTreeMap::new();
    let mut kept = Vec::new();
    for step in &case.steps {
        let place = format!("B{} {}: {}", case.row, case.what, step.note);
        let answer = exchange(ground.address(), &step.sent.bytes()).await;
        let answer = answer.unwrap_or_else(|error| panic!("{place}: {error:?}"));
        let said = check(&place, step, answer.as_ref());
        *answers.entry(said).or_insert(0_usize) += 1;
        if let Some(body) = step.sent.body() {
            note(due, body, step.kept);
        }
        if !kept.contains(&step.kept.as_str()) {
            kept.push(step.kept.as_str());
        }
    }
    Row {
        row: case.row,
        what: case.what.to_owned(),
        requests: case.steps.len(),
        answers: counted(&answers),
        kept: kept.join("; "),
        memory: memory.peak().unwrap(),
    }
}

/// What was answered, in words, once it is what is due.
fn check(place: &str, step: &Step, answer: Option<&Response>) -> String {
    let answer = answer.unwrap_or_else(|| panic!("{place}: closed without an answer"));
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, step.expect.status, "{place}: {text}");
    assert!(answer.status < 500, "{place}: {text}");
    if answer.status == 401 {
        tells_nothing(place, answer);
    }
    match step.expect.problem {
        Some(slug) => {
            assert_eq!(answer.problem().as_deref(), Some(slug), "{place}: {text}");
            format!("{} `{slug}`", answer.status)
        }
        None => {
            assert_eq!(answer.problem(), None, "{place}: {text}");
            answer.status.to_string()
        }
    }
}

/// Whoever is not believed is told the same, whatever was wrong: all answers with
/// 401 are one, header by header and to the byte, but for their date.
pub(crate) fn tells_nothing(place: &str, answer: &Response) {
    static SAID: OnceLock<Response> = OnceLock::new();
    let mut answer = answer.clone();
    answer.headers.retain(|(name, _)| name != "date");
    assert_eq!(answer, *SAID.get_or_init(|| answer.clone()), "{place}");
}

pub(crate) fn counted(answers: &BTreeMap<String, usize>) -> String {
    let several = answers.values().sum::<usize>() > 1 && answers.len() > 1;
    let texts: Vec<_> = answers
        .iter()
        .map(|(said, times)| {
            if several {
                format!("{times} × {said}")
            } else {
                said.clone()
            }
        })
        .collect();
    texts.join(", ")
}

pub(crate) fn note(due: &mut OnTheLog, body: &[u8], kept: Kept) {
    let entry = due.entry(digest(body)).or_default();
    match kept {
        Kept::Delivery => entry.0 += 1,
        Kept::Quarantine => {
            entry.0 += 1;
            entry.1 += 1;
        }
        Kept::Refusal => entry.2 += 1,
        Kept::Nothing | Kept::Before => {}
    }
}

pub(crate) fn digest(body: &[u8]) -> String {
    hex::encode(Sha256::digest(body))
}

async fn on_the_log(ground: &Ground) -> OnTheLog {
    let mut found = OnTheLog::new();
    for recorded in ground.deliveries().await.unwrap() {
        match recorded.event {
            DeliveryEvent::Accepted(accepted) => {
                // Never half: what stands there is what its digest says.
                assert_eq!(digest(&accepted.body), accepted.body_sha256);
                let entry = found.entry(accepted.body_sha256).or_default();
                entry.0 += 1;
                entry.1 += usize::from(accepted.quarantine.is_some());
            }
            DeliveryEvent::Refused(refused) => {
                found.entry(refused.body_sha256).or_default().2 += 1;
            }
        }
    }
    found
}
