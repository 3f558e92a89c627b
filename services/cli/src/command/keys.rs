//! `agentmesh keys`: API keys made, listed and revoked. The secret is made here;
//! the registry only ever sees its digest.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use platform_config::Settings;
use platform_http::reqwest::{Client, Method, RequestBuilder, StatusCode};
use platform_http::{ClientOptions, peer_client};
use platform_redis::Redis;
use serde_json::{Value, json};

use crate::certificates::origin;
use crate::settings;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// Make a key and print it, this once
    Create {
        #[command(flatten)]
        whose: Whose,
        /// Id of the key, the visible part of it (default: the subject)
        #[arg(long)]
        id: Option<String>,
        /// Who will call with it
        #[arg(long)]
        subject: String,
        /// What it opens; may be repeated
        #[arg(long = "scope", required = true, value_name = "SCOPE")]
        scopes: Vec<String>,
        /// Days after which it no longer counts (default: it does not expire)
        #[arg(long, value_name = "DAYS")]
        expires_in: Option<i64>,
    },
    /// Print the keys of a tenant, with what they open and when they were last used
    List {
        #[command(flatten)]
        whose: Whose,
    },
    /// Make a key count no longer
    Revoke {
        #[command(flatten)]
        whose: Whose,
        /// Id of the key
        id: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Whose {
    /// The tenant
    #[arg(long)]
    tenant: String,
    /// A key that may change the registry (default: identity.root_key, if set)
    #[arg(long, env = "AGENTMESH_KEY", hide_env_values = true)]
    key: Option<String>,
}

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

pub(crate) async fn run(config: Option<&Path>, action: Action) -> anyhow::Result<()> {
    let settings = settings::load_as_running(config).await?;
    let http = peer_client(ClientOptions::default(), &settings.tls, "registry")?;
    match action {
        Action::Create {
            whose,
            id,
            subject,
            scopes,
            expires_in,
        } => {
            let id = id.unwrap_or_else(|| subject.clone());
            let minted = platform_identity::mint(&id);
            let expires_at =
                expires_in.map(|days| platform_telemetry::now().plus_millis(days * DAY_MS));
            let key = json!({
                "subject": subject,
                "scopes": scopes,
                "secret_sha256": minted.secret_sha256,
                "expires_at": expires_at.map(|time| time.to_rfc3339()),
            });
            let request = request(&http, &settings, &whose, Method::PUT, &format!("/{id}"))
                // An id that is taken stays whose it is.
                .header("if-none-match", "*")
                .json(&key);
            answer(request).await?;
            println!("{}", minted.text);
        }
        Action::List { whose } => {
            let request = request(&http, &settings, &whose, Method::GET, "?limit=1000");
            let listed = answer(request).await?;
            let used = last_used(&settings).await;
            for item in listed["items"].as_array().into_iter().flatten() {
                let id = item["id"].as_str().unwrap_or_default();
                let resource = &item["resource"];
                println!(
                    "amk_{id}_…  {}  {}  expires {}  last used {}",
                    text(&resource["subject"]),
                    scopes(&resource["scopes"]),
                    text(&resource["expires_at"]),
                    match &used {
                        Some(redis) => used_at(redis, id).await,
                        None => last_use(None),
                    }
                );
            }
        }
        Action::Revoke { whose, id } => {
            let request = request(&http, &settings, &whose, Method::DELETE, &format!("/{id}"));
            answer(request).await?;
            println!("{id} counts no longer");
        }
    }
    Ok(())
}

fn request(
    http: &Client,
    settings: &Settings,
    whose: &Whose,
    method: Method,
    rest: &str,
) -> RequestBuilder {
    let registry = origin(settings.registry.listen, &settings.registry.tls);
    let url = format!("{registry}/v1/keys{rest}");
    let request = http
        .request(method, url)
        .header("mesh-tenant", &whose.tenant);
    match (&whose.key, &settings.identity.root_key) {
        (Some(key), _) => request.bearer_auth(key),
        (None, Some(root)) => request.bearer_auth(root.expose()),
        (None, None) => request,
    }
}

async fn answer(request: RequestBuilder) -> anyhow::Result<Value> {
    let response = request
        .send()
        .await
        .context("the registry cannot be reached; is `agentmesh dev` running?")?;
    let status = response.status();
    let body = response.text().await?;
    if status == StatusCode::PRECONDITION_FAILED {
        bail!("there is a key of this id already");
    }
    ensure!(
        status.is_success(),
        "the registry answered {status}: {body}"
    );
    Ok(serde_json::from_str(&body).unwrap_or_default())
}

/// Where the gateways note when a key was used; none while Redis is away.
async fn last_used(settings: &Settings) -> Option<Redis> {
    let redis = Redis::connect(&settings.redis).await.ok()?;
    redis.ping().await.ok()?;
    Some(redis)
}

async fn used_at(redis: &Redis, id: &str) -> String {
    last_use(redis.get(&format!("key-used:{id}")).await.ok().flatten())
}

/// What is noted of a key's last use. Where nothing is, the key may have been
/// used all the same: the note is in Redis only, which may have been emptied.
fn last_use(noted: Option<Vec<u8>>) -> String {
    noted
        .and_then(|text| String::from_utf8(text).ok())
        .unwrap_or_else(|| "not known".to_owned())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("never")
}

fn scopes(value: &Value) -> String {
    let scopes = value.as_array().into_iter().flatten();
    scopes
        .filter_map(Value::as_str)
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    use super::last_use;

    #[test]
    fn what_is_not_noted_is_not_said_to_be_unused() {
        assert_eq!(last_use(None), "not known");
        assert_eq!(last_use(Some(vec![0xff])), "not known");
        let noted = b"2026-11-27T10:00:00Z".to_vec();
        assert_eq!(last_use(Some(noted)), "2026-11-27T10:00:00Z");
    }
}
