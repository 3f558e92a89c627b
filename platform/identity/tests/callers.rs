//! Callers in front of a server, and an issuer of tokens that turns its keys.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "callers/issuer.rs"]
mod issuer;
#[path = "callers/keys.rs"]
mod keys;
#[path = "callers/tokens.rs"]
mod tokens;

use platform_config::{Secret, Settings};
use platform_http::axum::routing::get;
use platform_http::axum::{Json, Router};
use platform_http::reqwest::StatusCode;
use platform_http::{ClientOptions, Limits, bind, client, serve};
use platform_identity::{
    Asking, Directory, Identity, KnownCertificate, KnownIssuer, KnownKey, protect,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Between two questions to an issuer.
const PAUSE_MS: u64 = 200;
const ROOT: &str = "a-root-key-that-is-long-enough-for-anybody";

#[derive(Debug, Default)]
struct Registered {
    keys: Vec<KnownKey>,
    issuers: Vec<KnownIssuer>,
}

impl Directory for Registered {
    fn is_complete(&self) -> bool {
        true
    }

    fn key(&self, id: &str) -> Option<KnownKey> {
        self.keys.iter().find(|key| key.id == id).cloned()
    }

    fn issuers(&self, url: &str) -> Vec<KnownIssuer> {
        let of_url = self.issuers.iter().filter(|issuer| issuer.url == url);
        of_url.cloned().collect()
    }

    fn certificates(&self, _: &str) -> Vec<KnownCertificate> {
        Vec::new()
    }
}

async fn listen(router: Router) -> String {
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let limits = Limits::default();
    tokio::spawn(serve(
        "test",
        listener,
        router,
        limits,
        CancellationToken::new(),
    ));
    base
}

/// A server that tells its callers who they are.
async fn server(registered: Registered, required: bool) -> String {
    let identity = identity(registered, required, PAUSE_MS);
    listen(who(&identity)).await
}

fn identity(registered: Registered, required: bool, refresh_pause_ms: u64) -> Identity {
    let mut settings = Settings::defaults().unwrap().identity;
    settings.required = required;
    settings.root_key = Some(Secret::new(ROOT));
    settings.jwks_refresh_pause_ms = refresh_pause_ms;
    settings.leeway_s = 5;
    Identity::new(&settings, registered).unwrap()
}

fn who(identity: &Identity) -> Router {
    let router = Router::new().route(
        "/who",
        get(|asking: Asking| async move {
            let caller = asking.0.as_ref();
            Json(json!({
                "actor": asking.actor(),
                "tenant": caller.and_then(|caller| caller.tenant.clone()),
                "scopes": caller.map(|caller| caller.scopes.clone()),
            }))
        }),
    );
    protect(router, identity)
}

async fn ask(base: &str, authorization: &[&str]) -> (StatusCode, Value) {
    let mut request = client(ClientOptions::default())
        .unwrap()
        .get(format!("{base}/who"));
    for value in authorization {
        request = request.header("authorization", *value);
    }
    let response = request.send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}
