//! A Redis that speaks TLS and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use platform_certs::{Request, RoleNames, Store};
use platform_config::Redis as Settings;
use platform_redis::{Error, Redis};
use platform_testkit::{eventually, free_port};

const HOUR: Duration = Duration::from_secs(3_600);

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn store(dir: &std::path::Path) -> Store {
    let store = Store::new(dir);
    store.init(HOUR).unwrap();
    let names = RoleNames::new("redis", "mesh.internal").unwrap();
    store
        .issue(&Request::new(names, HOUR).on_this_machine())
        .unwrap();
    store
}

#[tokio::test]
async fn a_certified_server_is_used_and_another_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let certificates = store(&dir.path().join("certs"));
    let port = free_port().unwrap();
    let server = Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--bind", "127.0.0.1"])
        .args(["--tls-port", &port.to_string()])
        .arg("--tls-cert-file")
        .arg(certificates.certificate("redis"))
        .arg("--tls-key-file")
        .arg(certificates.key("redis"))
        .arg("--tls-ca-cert-file")
        .arg(certificates.authorities())
        .args(["--tls-auth-clients", "no", "--dir"])
        .arg(dir.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let _server = Server(server);
    let settings = Settings {
        url: format!("rediss://127.0.0.1:{port}"),
        key_prefix: "t:".to_owned(),
        authorities: Some(certificates.authorities()),
    };
    let redis = Redis::connect(&settings).await.unwrap();
    eventually(Duration::from_secs(60), || redis.ping())
        .await
        .unwrap();
    redis.set("a", "b", None).await.unwrap();
    assert_eq!(redis.get("a").await.unwrap().as_deref(), Some(&b"b"[..]));

    let elsewhere = store(&dir.path().join("elsewhere"));
    let distrusting = Settings {
        authorities: Some(elsewhere.authorities()),
        ..settings.clone()
    };
    let redis = Redis::connect(&distrusting).await.unwrap();
    assert!(redis.ping().await.is_err());

    let nowhere = Settings {
        authorities: Some(dir.path().join("nothing.pem")),
        ..settings
    };
    let error = Redis::connect(&nowhere).await.unwrap_err();
    assert!(matches!(error, Error::Authorities { .. }), "{error:?}");
}
