//! Callers in front of a server, and an issuer of tokens that turns its keys.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain_kernel::{TenantId, Timestamp};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use platform_config::{Secret, Settings};
use platform_http::axum::routing::get;
use platform_http::axum::{Json, Router};
use platform_http::reqwest::StatusCode;
use platform_http::{ClientOptions, Limits, bind, client, serve};
use platform_identity::{
    Asking, Directory, Identity, KnownCertificate, KnownIssuer, KnownKey, mint, protect,
};
use platform_resilience::CircuitState;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
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

fn known_key(id: &str, secret_sha256: &str, expires_at: Option<Timestamp>) -> KnownKey {
    KnownKey {
        id: id.to_owned(),
        tenant: TenantId::new("acme"),
        subject: "ada".to_owned(),
        scopes: vec!["read".to_owned()],
        secret_sha256: secret_sha256.to_owned(),
        expires_at,
    }
}

#[tokio::test]
async fn keys_are_believed_and_every_failure_looks_alike() {
    let (good, old) = (mint("good"), mint("old"));
    let keys = vec![
        known_key("good", &good.secret_sha256, None),
        known_key("old", &old.secret_sha256, Some(Timestamp::from_millis(1))),
    ];
    let registered = Registered {
        keys,
        issuers: Vec::new(),
    };
    let base = server(registered, true).await;

    let (status, who) = ask(&base, &[&format!("bearer {}", good.text)]).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(who["actor"], "key:good/ada");
    assert_eq!(who["tenant"], "acme");
    let (status, who) = ask(&base, &[&format!("Bearer {ROOT}")]).await;
    assert_eq!((status, &who["actor"]), (StatusCode::OK, &json!("root")));

    let bearer = |text: &str| format!("Bearer {text}");
    let stranger = mint("nobody");
    let other = mint("good");
    let mut seen = Vec::new();
    for wrong in [
        vec![],
        vec![bearer(&stranger.text)],
        vec![bearer(&other.text)],
        vec![bearer(&old.text)],
        vec![bearer("x.y.z")],
        vec![bearer("")],
        vec![format!("Basic {}", good.text)],
        vec![bearer(&good.text), bearer(&good.text)],
    ] {
        let wrong: Vec<&str> = wrong.iter().map(String::as_str).collect();
        seen.push(ask(&base, &wrong).await);
    }
    assert!(seen.iter().all(|answer| *answer == seen[0]), "{seen:?}");
    assert_eq!(seen[0].0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn where_nobody_need_show_anything_a_wrong_credential_is_wrong_all_the_same() {
    let base = server(Registered::default(), false).await;
    let (status, who) = ask(&base, &[]).await;
    assert_eq!((status, &who["actor"]), (StatusCode::OK, &Value::Null));
    let (status, _) = ask(&base, &["Bearer amk_nobody_x"]).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

/// What is signed with: PKCS #8, but for RSA, whose library wants PKCS #1.
#[derive(Clone)]
struct Key {
    id: String,
    algorithm: Algorithm,
    der: Vec<u8>,
}

impl Key {
    fn new(id: &str, algorithm: Algorithm) -> Self {
        let random = SystemRandom::new();
        let der = match algorithm {
            Algorithm::EdDSA => Ed25519KeyPair::generate_pkcs8(&random)
                .unwrap()
                .as_ref()
                .to_vec(),
            Algorithm::ES256 => {
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
                    .unwrap()
                    .as_ref()
                    .to_vec()
            }
            Algorithm::RS256 => rsa_key(),
            other => panic!("no keys for {other:?}"),
        };
        Self {
            id: id.to_owned(),
            algorithm,
            der,
        }
    }

    fn signing(&self) -> EncodingKey {
        match self.algorithm {
            Algorithm::EdDSA => EncodingKey::from_ed_der(&self.der),
            Algorithm::ES256 => EncodingKey::from_ec_der(&self.der),
            _ => EncodingKey::from_rsa_der(&self.der),
        }
    }

    /// RFC 7517 and RFC 7518, section 6; RFC 8037 for Ed25519.
    fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match self.algorithm {
            Algorithm::EdDSA => {
                let pair = Ed25519KeyPair::from_pkcs8(&self.der).unwrap();
                json!({"kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref())})
            }
            Algorithm::ES256 => {
                let pair = EcdsaKeyPair::from_pkcs8(
                    &ECDSA_P256_SHA256_FIXED_SIGNING,
                    &self.der,
                    &SystemRandom::new(),
                )
                .unwrap();
                // A mark for "not compressed", then both coordinates.
                let point = pair.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "x": text(&point[1..33]), "y": text(&point[33..])})
            }
            _ => {
                let pair = RsaKeyPair::from_der(&self.der).unwrap();
                let public = PublicKeyComponents::<Vec<u8>>::from(pair.public());
                json!({"kty": "RSA", "n": text(&public.n), "e": text(&public.e)})
            }
        };
        jwk["kid"] = json!(self.id);
        jwk["use"] = json!("sig");
        jwk
    }
}

/// No library here makes such keys.
fn rsa_key() -> Vec<u8> {
    let made = Command::new("openssl")
        .args(["genrsa", "-traditional", "2048"])
        .output()
        .unwrap();
    assert!(made.status.success(), "openssl made no key");
    let mut der = Command::new("openssl")
        .args(["rsa", "-traditional", "-outform", "DER"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    der.stdin.take().unwrap().write_all(&made.stdout).unwrap();
    der.wait_with_output().unwrap().stdout
}

type Keys = Arc<Mutex<Vec<Key>>>;

/// Signs tokens; hands out the keys it has at the moment.
struct Issuer {
    url: String,
    keys: Keys,
    asked: Arc<AtomicUsize>,
    away: Arc<AtomicBool>,
}

impl Issuer {
    async fn start() -> Self {
        let keys: Keys = Arc::default();
        let asked: Arc<AtomicUsize> = Arc::default();
        let away: Arc<AtomicBool> = Arc::default();
        let url: Arc<Mutex<String>> = Arc::default();
        let router = Router::new()
            .route(
                "/.well-known/openid-configuration",
                get({
                    let url = url.clone();
                    async move || {
                        let url = url.lock().unwrap().clone();
                        Json(json!({"issuer": url, "jwks_uri": format!("{url}/keys")}))
                    }
                }),
            )
            .route(
                "/keys",
                get({
                    let (keys, asked, away) = (keys.clone(), asked.clone(), away.clone());
                    async move || {
                        asked.fetch_add(1, Ordering::SeqCst);
                        if away.load(Ordering::SeqCst) {
                            return Err(StatusCode::SERVICE_UNAVAILABLE);
                        }
                        let keys = keys.lock().unwrap().clone();
                        let keys: Vec<Value> = keys
                            .iter()
                            .map(Key::jwk)
                            .chain([json!({"kty": "from the future", "kid": "x"})])
                            .collect();
                        Ok(Json(json!({ "keys": keys })))
                    }
                }),
            );
        let base = listen(router).await;
        url.lock().unwrap().clone_from(&base);
        let issuer = Self {
            url: base,
            keys,
            asked,
            away,
        };
        issuer.turn("first");
        issuer
    }

    /// From now on there is only this key.
    fn turn(&self, id: &str) {
        self.turn_to(id, Algorithm::EdDSA);
    }

    fn turn_to(&self, id: &str, algorithm: Algorithm) {
        *self.keys.lock().unwrap() = vec![Key::new(id, algorithm)];
    }

    fn token(&self, change: impl FnOnce(&mut Value)) -> String {
        let key = self.keys.lock().unwrap()[0].clone();
        let now = platform_telemetry::now().as_millis() / 1_000;
        let mut claims = json!({
            "iss": self.url, "aud": "mesh", "sub": "ada@example.com",
            "exp": now + 60, "nbf": now, "scope": "openid invoke",
        });
        change(&mut claims);
        let mut header = Header::new(key.algorithm);
        header.kid = Some(key.id.clone());
        let token = encode(&header, &claims, &key.signing()).unwrap();
        format!("Bearer {token}")
    }
}

fn known_issuer(url: &str, tenant: &str, audience: &str) -> KnownIssuer {
    KnownIssuer {
        id: format!("{tenant}-login"),
        tenant: TenantId::new(tenant),
        url: url.to_owned(),
        audiences: vec![audience.to_owned()],
        algorithms: vec!["EdDSA".to_owned()],
        scopes: vec!["invoke".to_owned(), "read".to_owned()],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_believed_as_their_issuer_is_registered() {
    let issuer = Issuer::start().await;
    let registered = Registered {
        keys: Vec::new(),
        issuers: vec![
            known_issuer(&issuer.url, "acme", "mesh"),
            known_issuer(&issuer.url, "other", "another-mesh"),
        ],
    };
    let base = server(registered, true).await;

    let (status, who) = ask(&base, &[&issuer.token(|_| ())]).await;
    assert_eq!(status, StatusCode::OK, "{who}");
    assert_eq!(who["actor"], "user:acme-login/ada@example.com");
    // What the token is for, as far as the registration goes.
    assert_eq!(who["scopes"], json!(["invoke"]));
    // Whose it is follows from the audience.
    let theirs = issuer.token(|claims| claims["aud"] = json!(["x", "another-mesh"]));
    assert_eq!(ask(&base, &[&theirs]).await.1["tenant"], "other");

    let now = platform_telemetry::now().as_millis() / 1_000;
    let mut forged = issuer.token(|_| ());
    forged.truncate(forged.len() - 8);
    forged.push_str("AAAAAAAA");
    let unsigned = format!(
        "Bearer {}.{}.",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#),
        URL_SAFE_NO_PAD.encode(format!(r#"{{"iss":"{}","sub":"eve"}}"#, issuer.url)),
    );
    let mut seen = Vec::new();
    for wrong in [
        forged,
        unsigned,
        issuer.token(|claims| claims["exp"] = json!(now - 6)),
        issuer.token(|claims| claims["nbf"] = json!(now + 30)),
        issuer.token(|claims| claims["aud"] = json!("elsewhere")),
        issuer.token(|claims| claims["aud"] = json!(["mesh", "another-mesh"])),
        issuer.token(|claims| claims["iss"] = json!("https://unknown.example.com")),
        issuer.token(|claims| claims["sub"] = json!("a\nb")),
        issuer.token(|claims| {
            claims.as_object_mut().unwrap().remove("exp");
        }),
    ] {
        seen.push(ask(&base, &[&wrong]).await);
    }
    assert!(seen.iter().all(|answer| *answer == seen[0]), "{seen:?}");
    assert_eq!(seen[0].0, StatusCode::UNAUTHORIZED);
    // A clock that is a little behind is forgiven.
    let late = issuer.token(|claims| claims["exp"] = json!(now - 1));
    assert_eq!(ask(&base, &[&late]).await.0, StatusCode::OK);
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 1, "keys are kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_nobody_knows_is_asked_for_but_not_each_time() {
    let issuer = Issuer::start().await;
    let registered = Registered {
        keys: Vec::new(),
        issuers: vec![known_issuer(&issuer.url, "acme", "mesh")],
    };
    let base = server(registered, true).await;
    assert_eq!(ask(&base, &[&issuer.token(|_| ())]).await.0, StatusCode::OK);

    issuer.turn("second");
    let began = std::time::Instant::now();
    // At once it is too soon to ask again; after the pause the new key is found.
    loop {
        let (status, _) = ask(&base, &[&issuer.token(|_| ())]).await;
        if status == StatusCode::OK {
            break;
        }
        assert!(began.elapsed().as_secs() < 30, "the new key is never found");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let asked = issuer.asked.load(Ordering::SeqCst);
    for number in 0..50 {
        let made_up = issuer.token(|_| ()).replace("Bearer ", "");
        let (_, rest) = made_up.split_once('.').unwrap();
        let header = format!(r#"{{"alg":"EdDSA","kid":"made-up-{number}"}}"#);
        let made_up = format!("Bearer {}.{rest}", URL_SAFE_NO_PAD.encode(header));
        assert_eq!(ask(&base, &[&made_up]).await.0, StatusCode::UNAUTHORIZED);
    }
    let more = issuer.asked.load(Ordering::SeqCst) - asked;
    let pauses = began.elapsed().as_millis() / u128::from(PAUSE_MS) + 1;
    assert!(
        (more as u128) <= pauses,
        "{more} questions in {pauses} pauses"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_fails_is_asked_twice_and_then_left_alone() {
    let issuer = Issuer::start().await;
    let other = Issuer::start().await;
    let registered = Registered {
        keys: Vec::new(),
        issuers: vec![
            known_issuer(&issuer.url, "acme", "mesh"),
            known_issuer(&other.url, "other", "mesh"),
        ],
    };
    let identity = identity(registered, true, 0);
    let base = listen(who(&identity)).await;
    issuer.away.store(true, Ordering::SeqCst);
    assert_eq!(identity.issuers_circuit(), CircuitState::Closed);
    let token = issuer.token(|_| ());
    let mut asked = Vec::new();
    for _ in 0..5 {
        assert_eq!(ask(&base, &[&token]).await.0, StatusCode::UNAUTHORIZED);
        asked.push(issuer.asked.load(Ordering::SeqCst));
    }
    assert_eq!(asked, [2, 4, 6, 6, 6], "open after the third time");
    assert_eq!(identity.issuers_circuit(), CircuitState::Open);
    // It is no other issuer's trouble.
    assert_eq!(ask(&base, &[&other.token(|_| ())]).await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn issuers_sign_with_what_they_are_registered_for() {
    for (name, algorithm) in [
        ("EdDSA", Algorithm::EdDSA),
        ("ES256", Algorithm::ES256),
        ("RS256", Algorithm::RS256),
    ] {
        let issuer = Issuer::start().await;
        issuer.turn_to("only", algorithm);
        for (registered, expected) in [
            (name, StatusCode::OK),
            ("HS256", StatusCode::UNAUTHORIZED),
            ("PS512", StatusCode::UNAUTHORIZED),
        ] {
            let mut known = known_issuer(&issuer.url, "acme", "mesh");
            known.algorithms = vec![registered.to_owned()];
            let registered = Registered {
                keys: Vec::new(),
                issuers: vec![known],
            };
            let base = server(registered, true).await;
            let token = issuer.token(|_| ());
            assert_eq!(ask(&base, &[&token]).await.0, expected, "{name}");
            // One letter of the signature, and it is nobody's.
            let (signed, signature) = token.rsplit_once('.').unwrap();
            let other = if signature.starts_with('A') { "B" } else { "A" };
            let forged = format!("{signed}.{other}{}", &signature[1..]);
            let (status, _) = ask(&base, &[&forged]).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{name}");
        }
    }
}
