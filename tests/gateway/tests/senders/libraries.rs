//! The libraries that senders sign with, as their registries have them: what
//! they make is sent as it is. They are installed once, into `target/senders`;
//! where no registry can be reached, that is said and they are left out, unless
//! `REQUIRE_SENDERS=1` is set.

use std::path::{Path, PathBuf};

use tests_gateway::{Ground, now};
use tokio::process::Command;

use crate::documented::{has, left_out};
use crate::{SECRET, WHSEC, deliver};

const NPM: [&str; 3] = [
    "standardwebhooks@1.1.1",
    "@octokit/webhooks-methods@6.0.0",
    "stripe@23.1.0",
];
const PYPI: &str = "standardwebhooks==1.1.0";
const CRATE: &str = "1.0.1";

const BODY: &str = r#"{"event_type":"support.ticket.created","type":"invoice.paid","id":"evt_lib","sender":{"login":"octocat"},"payload":{"customer":{"email":"lib@example.com"},"text":"Zwölf €"},"data":{"object":{"customer":"cus_1"}}}"#;

/// Prints one header value a line, for what the environment says.
const JAVASCRIPT: &str = r#"
import { Webhook } from 'standardwebhooks';
import { sign } from '@octokit/webhooks-methods';
import Stripe from 'stripe';
const { BODY, WHSEC, SECRET, AT } = process.env;
const at = new Date(Number(AT) * 1000);
console.log(new Webhook(WHSEC).sign('msg_npm', at, BODY));
console.log(await sign(SECRET, BODY));
console.log(Stripe.webhooks
  ? Stripe.webhooks.generateTestHeaderString({ payload: BODY, secret: SECRET, timestamp: Number(AT) })
  : new Stripe('sk_test').webhooks.generateTestHeaderString({ payload: BODY, secret: SECRET, timestamp: Number(AT) }));
"#;

const PYTHON: &str = r#"
import datetime, os
from standardwebhooks.webhooks import Webhook
at = datetime.datetime.fromtimestamp(int(os.environ['AT']), tz=datetime.timezone.utc)
print(Webhook(os.environ['WHSEC']).sign('msg_pypi', at, os.environ['BODY']))
"#;

const RUST: &str = r#"
fn main() {
    let env = |name: &str| std::env::var(name).unwrap();
    let webhook = standardwebhooks::Webhook::new(&env("WHSEC")).unwrap();
    let at = env("AT").parse().unwrap();
    println!("{}", webhook.sign("msg_crate", at, env("BODY").as_bytes()).unwrap());
}
"#;

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../target/senders")
        .join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

pub(crate) async fn all(ground: &Ground) {
    if let Some(lines) = npm().await {
        standard(ground, "msg_npm", &lines[0]).await;
        let json = ("content-type", "application/json");
        let headers = [
            json,
            ("x-github-event", "push"),
            ("x-hub-signature-256", &*lines[1]),
        ];
        deliver(ground, "github", &headers, BODY.as_bytes()).await;
        let headers = [json, ("stripe-signature", &*lines[2])];
        let delivery = deliver(ground, "stripe", &headers, BODY.as_bytes()).await;
        assert_eq!(delivery.delivery_id, "evt_lib");
        println!("accepted: {}", NPM.join(", "));
    }
    if let Some(lines) = pypi().await {
        standard(ground, "msg_pypi", &lines[0]).await;
        println!("accepted: {PYPI} of PyPI");
    }
    if let Some(lines) = crates_io().await {
        standard(ground, "msg_crate", &lines[0]).await;
        println!("accepted: standardwebhooks {CRATE} of crates.io");
    }
}

async fn standard(ground: &Ground, id: &str, signature: &str) {
    let at = now().to_string();
    // The libraries signed for this second or the one before.
    let (signed_at, signature) = signature.split_once(' ').unwrap_or((&at, signature));
    let headers = [
        ("content-type", "application/json"),
        ("webhook-id", id),
        ("webhook-timestamp", signed_at),
        ("webhook-signature", signature),
    ];
    let delivery = deliver(ground, "curl", &headers, BODY.as_bytes()).await;
    assert_eq!(delivery.delivery_id, id);
    assert_eq!(delivery.key_id.as_deref(), Some("primary"));
}

/// What a command printed, line by line, with the time it was to sign put before
/// the first. What is installed has to work.
async fn lines(mut command: Command, what: &str) -> Vec<String> {
    let at = now().to_string();
    let output = command
        .env("AT", &at)
        .env("BODY", BODY)
        .env("WHSEC", WHSEC)
        .env("SECRET", SECRET)
        .output()
        .await
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{what}: {errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines[0] = format!("{at} {}", lines[0]);
    lines
}

/// Runs an installation; false when there is nothing to install from.
async fn install(mut command: Command, what: &str) -> bool {
    let output = command.output().await;
    let done = output.as_ref().is_ok_and(|output| output.status.success());
    if !done {
        let why = output.map_or_else(
            |error| error.to_string(),
            |output| String::from_utf8_lossy(&output.stderr).into_owned(),
        );
        left_out(&format!("{what} cannot be installed: {}", why.trim()));
    }
    done
}

async fn npm() -> Option<Vec<String>> {
    if !has("node").await || !has("npm").await {
        return None;
    }
    let folder = folder("npm");
    let mut command = Command::new("npm");
    command
        .current_dir(&folder)
        .args([
            "install",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--prefix",
            ".",
        ])
        .args(NPM);
    if !install(command, "npm packages").await {
        return None;
    }
    std::fs::write(folder.join("sign.mjs"), JAVASCRIPT).unwrap();
    let mut node = Command::new("node");
    node.current_dir(&folder).arg("sign.mjs");
    Some(lines(node, "node").await)
}

async fn pypi() -> Option<Vec<String>> {
    if !has("python3").await {
        return None;
    }
    let folder = folder("pypi");
    let mut command = Command::new("python3");
    command
        .current_dir(&folder)
        .args(["-m", "pip", "install", "--quiet", "--target", ".", PYPI]);
    if !folder.join("standardwebhooks").exists()
        && !install(command, "standardwebhooks of PyPI").await
    {
        return None;
    }
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", &folder).args(["-c", PYTHON]);
    Some(lines(python, "python3").await)
}

async fn crates_io() -> Option<Vec<String>> {
    let folder = folder("crate");
    let manifest = format!(
        "[package]\nname = \"sign\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\nstandardwebhooks = \"={CRATE}\"\n"
    );
    std::fs::create_dir_all(folder.join("src")).unwrap();
    std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    std::fs::write(folder.join("src/main.rs"), RUST).unwrap();
    let mut command = Command::new("cargo");
    command
        .current_dir(&folder)
        .args(["build", "--quiet", "--target-dir", "target"]);
    if !install(command, "standardwebhooks of crates.io").await {
        return None;
    }
    Some(lines(Command::new(folder.join("target/debug/sign")), "sign").await)
}
