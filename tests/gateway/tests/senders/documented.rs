//! Sources and code, taken out of the pages.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tests_gateway::{Ground, TOKEN};
use tokio::process::Command;

use crate::{SECRET, WHSEC, deliver, put, recorded};

fn pages() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/senders")
}

/// The code blocks behind `<!-- kind: name -->`, with their names.
fn blocks(kind: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(pages())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for part in text.split(&format!("<!-- {kind}: ")).skip(1) {
            let (name, rest) = part.split_once(" -->").unwrap();
            let (_, rest) = rest.split_once("```").unwrap();
            let (_, code) = rest.split_once('\n').unwrap();
            let (code, _) = code.split_once("\n```").unwrap();
            found.push((name.to_owned(), code.to_owned()));
        }
    }
    found
}

fn block(name: &str) -> String {
    let found = blocks("run").into_iter().find(|(known, _)| known == name);
    found
        .unwrap_or_else(|| panic!("no page has the code {name}"))
        .1
}

/// Every page's source is taken by the registry as it stands there, but for the
/// secret.
pub(crate) async fn register_all(ground: &Ground) {
    let mut names = Vec::new();
    for (name, text) in blocks("source") {
        let mut source: Value = serde_json::from_str(&text).unwrap();
        let scheme = source["scheme"].as_str().unwrap();
        source["secret"] = json!(match scheme {
            "standard-webhooks" => WHSEC,
            "bearer" => TOKEN,
            _ => SECRET,
        });
        put(ground, "sources", &name, &source).await;
        names.push(name);
    }
    names.sort();
    let expected = [
        "airflow",
        "curl",
        "custom",
        "github",
        "hubspot",
        "make",
        "make-bearer",
        "n8n",
        "n8n-bearer",
        "salesforce-marketing-cloud",
        "shopify",
        "slack",
        "stripe",
        "zapier",
    ];
    assert_eq!(names, expected);
}

pub(crate) async fn run_all(ground: &Ground) {
    zapier(ground).await;
    airflow(ground).await;
    curl(ground).await;
}

/// Runs a program with `code` as its script; what it printed.
pub(crate) async fn run(program: &str, flag: &str, code: &str, env: &[(&str, &str)]) -> String {
    let output = Command::new(program)
        .arg(flag)
        .arg(code)
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// What cannot be done on this machine is said and left out, which the test
/// survives; with `REQUIRE_SENDERS=1` it does not.
pub(crate) fn left_out(why: &str) {
    let required = std::env::var_os("REQUIRE_SENDERS").is_some_and(|value| value == "1");
    assert!(!required, "REQUIRE_SENDERS=1, but {why}");
    println!("left out: {why}");
}

/// Whether a program is here at all; what needs it is left out where it is not.
pub(crate) async fn has(program: &str) -> bool {
    // OpenSSL 3.0 knows no `--version`.
    let ask = match program {
        "openssl" => "version",
        _ => "--version",
    };
    let found = Command::new(program)
        .arg(ask)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await;
    let here = found.is_ok_and(|status| status.success());
    if !here {
        left_out(&format!("{program} is not installed"));
    }
    here
}

/// The Code step runs as Zapier runs it; what it returns is sent as the POST
/// step sends it.
async fn zapier(ground: &Ground) {
    let input = |ticket: &str| {
        json!({
            "secret": SECRET, "ticket_id": ticket, "subject": "Zwölf \"Euro\"",
            "body": "Bitte zurück 💶", "name": "Ada", "email": "ada@example.com",
        })
        .to_string()
    };
    let mut outputs = Vec::new();
    if has("node").await {
        let code = "const input = JSON.parse(process.env.INPUT);
             const step = new Function('inputData', 'require', process.env.STEP);
             console.log(JSON.stringify(step(input, require)));";
        let step = block("zapier-javascript");
        let env = [("INPUT", &*input("T-js")), ("STEP", &*step)];
        outputs.push(run("node", "-e", code, &env).await);
    }
    if has("python3").await {
        let code = format!(
            "import json, os\ninput_data = json.loads(os.environ['INPUT'])\n{}\nprint(json.dumps(output))",
            block("zapier-python")
        );
        outputs.push(run("python3", "-c", &code, &[("INPUT", &*input("T-py"))]).await);
    }
    for output in outputs {
        let step: Value = serde_json::from_str(&output).unwrap();
        let json = [("content-type", "application/json")];
        let delivery = deliver(ground, "zapier", &json, step.to_string().as_bytes()).await;
        assert_eq!(delivery.event_type, "support.ticket.created");
        // The payload went out as text and is read as what it says.
        assert_eq!(delivery.subject.as_deref(), Some("ada@example.com"));
        assert_eq!(delivery.quarantine, None);
    }
}

async fn airflow(ground: &Ground) {
    if !has("python3").await {
        return;
    }
    let code = format!(
        "{}\nimport os\nprint(json.dumps(notify_mesh(os.environ['URL'], os.environ['SECRET'], 'manual__2026-notify', \
         'support.ticket.created', {{'customer': {{'email': 'air@example.com'}}}})))",
        block("airflow")
    );
    let url = format!("http://{}/hooks/airflow", ground.address());
    let said = run("python3", "-c", &code, &[("URL", &*url), ("SECRET", WHSEC)]).await;
    let said: Value = serde_json::from_str(&said).unwrap();
    let delivery = recorded(ground, said["correlation_id"].as_str().unwrap()).await;
    assert_eq!(delivery.delivery_id, "manual__2026-notify");
    assert_eq!(delivery.subject.as_deref(), Some("air@example.com"));
}

async fn curl(ground: &Ground) {
    if !has("curl").await || !has("openssl").await {
        return;
    }
    let gateway = format!("http://{}", ground.address());
    let env = [("GATEWAY", &*gateway), ("SECRET", WHSEC)];
    let said = run("sh", "-c", &block("curl"), &env).await;
    let said: Value = serde_json::from_str(&said).unwrap();
    let delivery = recorded(ground, said["correlation_id"].as_str().unwrap()).await;
    assert_eq!(delivery.event_type, "support.ticket.created");
}
