//! Tokens of issuers.

use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain_kernel::TenantId;
use jsonwebtoken::Algorithm;
use platform_http::reqwest::StatusCode;
use platform_identity::KnownIssuer;
use platform_resilience::CircuitState;
use serde_json::json;

use crate::issuer::Issuer;
use crate::{PAUSE_MS, Registered, ask, identity, listen, server, who};

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
