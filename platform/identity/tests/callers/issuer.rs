//! An issuer that turns its keys, and what it signs with.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use platform_http::axum::routing::get;
use platform_http::axum::{Json, Router};
use platform_http::reqwest::StatusCode;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};
use serde_json::{Value, json};

use crate::listen;

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
pub(crate) struct Issuer {
    pub(crate) url: String,
    keys: Keys,
    pub(crate) asked: Arc<AtomicUsize>,
    pub(crate) away: Arc<AtomicBool>,
}

impl Issuer {
    pub(crate) async fn start() -> Self {
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
    pub(crate) fn turn(&self, id: &str) {
        self.turn_to(id, Algorithm::EdDSA);
    }

    pub(crate) fn turn_to(&self, id: &str, algorithm: Algorithm) {
        *self.keys.lock().unwrap() = vec![Key::new(id, algorithm)];
    }

    pub(crate) fn token(&self, change: impl FnOnce(&mut Value)) -> String {
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
