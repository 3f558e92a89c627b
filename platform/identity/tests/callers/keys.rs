//! Keys, and no credential at all.

use domain_kernel::{TenantId, Timestamp};
use platform_http::reqwest::StatusCode;
use platform_identity::{KnownKey, mint};
use serde_json::{Value, json};

use crate::{ROOT, Registered, ask, server};

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
